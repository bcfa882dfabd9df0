"""What the copies of `copies` need and takes long to import, for commands that execute notebooks.
It starts no thread, as a copy has none of them.
"""

import sys

sys.modules["rfc3987_syntax"] = None  # as `covrr_utils.experiments.execution` does, and why

import ipykernel.kernelspec  # noqa: E402
import papermill  # noqa: E402
import pydantic  # noqa: E402
import tyro  # noqa: E402

del sys.modules["rfc3987_syntax"]

__all__ = ["ipykernel", "papermill", "pydantic", "tyro"]
