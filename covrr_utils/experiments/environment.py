"""The versions that a chapter was computed with, for its last cell."""

from __future__ import annotations

import platform
from importlib.metadata import version


def show_versions(*others: str) -> None:
    """Print the versions of Python and of the packages that decide numbers: numpy, PyTorch (with
    the build, such as ``+cu132``), transformers, and ``others`` by the names they are installed as.
    """
    import torch

    print(f"python {platform.python_version()}, numpy {version('numpy')}")
    more = "".join(f", {package} {version(package)}" for package in ("transformers", *others))
    print(f"torch {torch.__version__}{more}")
