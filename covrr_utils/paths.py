"""Where the repository's folders are. Nobody else knows."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(os.environ.get("COVRR_ROOT") or Path(__file__).resolve().parents[1])


def data_dir() -> Path:
    """Benchmarks, backbones and published numbers."""
    return ROOT / "data"


def mini_dir() -> Path:
    """The embedded mini benchmark."""
    return data_dir() / "mini"


def backbones_dir() -> Path:
    """The embedded checkpoint folders, one per backbone."""
    return data_dir() / "backbones"


def judges_dir() -> Path:
    """The embedded judges: checkpoint folders that learned to judge traces and are no backbones."""
    return data_dir() / "judges"


def figures_dir() -> Path:
    """Regenerated figures: PDF, PNG and the CSV behind each.

    ``COVRR_FIGURES`` puts them elsewhere (reruns with other parameters do).
    """
    return Path(os.environ.get("COVRR_FIGURES") or ROOT / "figures")


def announce(path: Path) -> None:
    """Tell the rerun that executes this notebook, if one does, of a file it made: a line in the
    file that ``COVRR_WRITTEN`` names.
    """
    if listed := os.environ.get("COVRR_WRITTEN"):
        with open(listed, "a", encoding="utf-8") as file:
            file.write(f"{path}\n")


def notebooks_dir() -> Path:
    """The workbook itself."""
    return ROOT / "notebooks"


def runs_dir() -> Path:
    """Executed notebooks, results and stores; git-ignored. ``COVRR_RUNS`` puts it elsewhere."""
    return Path(os.environ.get("COVRR_RUNS") or ROOT / "runs")


def relative(path: Path) -> str:
    """``path`` as shown to people: relative to the repository when inside it."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
