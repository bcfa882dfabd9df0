"""The text beside a figure: chapters keep it under ``alt`` in the metadata of the cell that draws,
where nbconvert reads it; here it reaches the pictures of the book too.
"""

import json

from sphinx.application import Sphinx


def hand_on(app: Sphinx, document: str, source: list[str]) -> None:
    """Copy each cell's ``alt`` to where myst-nb looks for it, before a chapter is read."""
    if not str(app.env.doc2path(document)).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if "alt" in cell["metadata"]:
            image = cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})
            image["alt"] = cell["metadata"]["alt"]
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", hand_on)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
