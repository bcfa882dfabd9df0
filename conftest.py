"""Loads nbval, which executes the notebooks as tests. pytest would load it by itself, but with a
parser of IRIs, as `covrr_utils.experiments.execution` says: it takes every process of the tests
seconds to make, and no schema of notebooks asks for it.
"""

import gc
import importlib
import os
import sys

# a process of the tests holds half a million objects: by default it looks for garbage among the
# new ones at every seven hundredth, which takes a tenth of its time
gc.set_threshold(10_000, 20, 20)

# two processes that import the same libraries for the first time both compile them: so the second
# begins with those to which the first comes last
LAST = ("seaborn", "scipy.stats", "pydantic.main", "tyro", "ray", "openai", "papermill")

sys.modules["rfc3987_syntax"] = None

import nbval.plugin  # noqa: E402

for library in LAST if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" else ():
    importlib.import_module(library)

del sys.modules["rfc3987_syntax"]

pytest_plugins = [nbval.plugin.__name__]
