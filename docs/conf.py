"""Configuration of the book: chapters, guides and the package's reference as one site.

The root of the repository is the source folder, so that links between chapters, guides and the
README lead to the same place in the book as in the repository. Chapters are shown with the outputs
that are committed; nothing is executed.
"""

import gc
import sys
from pathlib import Path

# documents are trees of objects that stay: looking through them all the time takes a seventh of it
gc.set_threshold(100_000, 20, 10)

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from covrr_utils import __version__  # noqa: E402

project = "The CoVR-R Workbook"
author = "The CoVR-R Workbook"
copyright = "the authors of the CoVR-R Workbook; Apache-2.0"
version = release = __version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "reference",
    "alternatives",
    "folding",
    "navigation",
    "longcells",
]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "notebooks/**.ipynb", "data/**.md"]
exclude_patterns = [".*", "runs", "**/.ipynb_checkpoints"]  # not looked through: .venv is large
default_role = "py:obj"

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "CoVR-R Workbook"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False
html_scaled_image_link = False  # the style sheet of phones finds figures below their cell
copybutton_prompt_text = r"    \$ |\$ "
