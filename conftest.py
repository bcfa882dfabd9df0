"""Loads nbval, which executes the notebooks as tests. pytest would load it by itself, but with a
parser of IRIs, as `covrr_utils.experiments.execution` says: it takes every process of the tests
seconds to make, and no schema of notebooks asks for it.
"""

import sys

sys.modules["rfc3987_syntax"] = None

import nbval.plugin  # noqa: E402

del sys.modules["rfc3987_syntax"]

pytest_plugins = [nbval.plugin.__name__]
