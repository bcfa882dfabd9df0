"""Where the repository's folders are. Nobody else knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def _chosen(variable: str) -> Path | None:
    """The folder that an environment variable names, None where it names none.

    A relative one means the folder in which the command was given. It is made absolute in the
    environment too, so that kernels, which run in ``notebooks/``, mean the same folder.
    """
    if not (given := os.environ.get(variable)):
        return None
    folder = Path(given).expanduser().absolute()
    os.environ[variable] = str(folder)
    return folder


ROOT = _chosen("COVRR_ROOT") or Path(__file__).resolve().parents[1]


class NoCheckout(ValueError):
    """A folder of the checkout is asked for, but the package was installed without it."""


def _of_checkout(name: str) -> Path:
    """A folder of the checkout.

    Raises
    ------
    NoCheckout
        If it is not there: a package that is copied into an environment (`pip install .`) comes
        without notebooks and data.
    """
    if not (folder := ROOT / name).is_dir():
        raise NoCheckout(
            f"there is no folder {name}/ in {printable(str(ROOT))}: notebooks, embedded benchmarks"
            " and checkpoints are not part of an installed package. Run `pip install -e .` in the"
            " checkout, or set COVRR_ROOT to the checkout"
        )
    return folder


def data_dir() -> Path:
    """Benchmarks, backbones and published numbers."""
    return _of_checkout("data")


def mini_dir() -> Path:
    """The embedded mini benchmark."""
    return data_dir() / "mini"


def backbones_dir() -> Path:
    """The embedded checkpoint folders, one per backbone."""
    return data_dir() / "backbones"


def judges_dir() -> Path:
    """The embedded judges: checkpoint folders that learned to judge traces and are no backbones."""
    return data_dir() / "judges"


def embedders_dir() -> Path:
    """The embedded embedders: checkpoint folders that make vectors and write nothing."""
    return data_dir() / "embedders"


def rerankers_dir() -> Path:
    """The embedded rerankers: checkpoint folders that learned to say whether a clip matches."""
    return data_dir() / "rerankers"


def committed_figures_dir() -> Path:
    """Where the figures of notebooks with their committed parameters go: ``figures/`` of the
    checkout, PDF, PNG and the CSV behind each; in ``paper/`` those that are drawn for print.

    ``COVRR_FIGURES`` puts them elsewhere. Where runs go elsewhere, figures go with them: nothing is
    then written into the checkout.
    """
    runs = runs_dir()
    usual = ROOT / "figures" if runs == ROOT / "runs" else runs / "figures"
    return _chosen("COVRR_FIGURES") or usual


_figures: list[Path] = []  # where the notebook of this process puts its figures, once it is known


def put_figures(folder: Path) -> None:
    """Let this process write its figures into ``folder``."""
    _figures[:] = [folder]


def figures_dir() -> Path:
    """Where figures are written: the folder of ``COVRR_FIGURES`` (which reruns set), else that of
    the notebook's parameters, else ``runs/figures``.
    """
    return _chosen("COVRR_FIGURES") or (_figures[0] if _figures else runs_dir() / "figures")


def announce(path: Path) -> None:
    """Tell the rerun that executes this notebook, if one does, of a file it made: a line in the
    file that ``COVRR_WRITTEN`` names.
    """
    if listed := os.environ.get("COVRR_WRITTEN"):
        with open(listed, "a", encoding="utf-8") as file:
            file.write(f"{path}\n")


def notebooks_dir() -> Path:
    """The workbook itself."""
    return _of_checkout("notebooks")


def runs_dir() -> Path:
    """Executed notebooks, results and stores; git-ignored. ``COVRR_RUNS`` puts it elsewhere.

    Where the checkout cannot be written, or the package is installed without one, it is a folder
    of the user's own. That is said once, on standard error; processes started later inherit it.
    """
    if chosen := _chosen("COVRR_RUNS"):
        return chosen
    checkout = (ROOT / "notebooks").is_dir()
    if checkout and _writable(ROOT / "runs"):
        return ROOT / "runs"
    from platformdirs import user_data_path

    folder = user_data_path("covrr") / "runs"
    os.environ["COVRR_RUNS"] = str(folder)
    why = "cannot be written" if checkout else "is no checkout of the workbook"
    print(
        f"covrr: {printable(str(ROOT))} {why}; results and stores go to"
        f" {printable(str(folder))} (set COVRR_RUNS to choose another folder)",
        file=sys.stderr,
    )
    return folder


def _writable(folder: Path) -> bool:
    """Whether a folder of the checkout can be written, or made where there is none."""
    return os.access(folder if folder.is_dir() else folder.parent, os.W_OK | os.X_OK)


def relative(path: Path) -> str:
    """``path`` as shown to people: relative to the repository when inside it, and without
    characters that a terminal would obey.
    """
    path = Path(path)
    return printable(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))


def printable(text: str) -> str:
    """``text`` in one line with control characters, and what UTF-8 cannot hold, as escapes."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )
