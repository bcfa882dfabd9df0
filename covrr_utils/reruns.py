"""Notebooks executed by papermill with other parameters than their own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covrr_utils import paths


class UnknownNotebook(ValueError):
    """A notebook that the workbook does not have."""


@dataclass(frozen=True)
class Execution:
    """What became of one notebook: the executed copy (also when it failed, up to the failing cell), the time, the error."""

    name: str
    path: Path
    seconds: float
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


def execute(name: str, parameters: Mapping[str, object], folder: Path) -> Execution:
    """Execute ``notebooks/<name>.ipynb`` with ``parameters`` into ``folder/<name>.ipynb``.

    The notebook itself checks the parameters (`RunConfig.from_notebook`): a misspelt one makes it fail with the valid names.

    Raises
    ------
    UnknownNotebook
        If there is no such notebook.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = paths.notebooks_dir() / f"{name}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in paths.notebooks_dir().glob("*.ipynb")))
        raise UnknownNotebook(f"unknown notebook {name!r}; known: {known}")
    folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / f"{name}.ipynb", folder / f".{name}.running.ipynb"
    begun, error = time.perf_counter(), None
    try:
        papermill.execute_notebook(
            str(source), str(beside), parameters=dict(parameters), kernel_name="python3", cwd=str(paths.notebooks_dir()), progress_bar=False
        )
    except PapermillExecutionError as failure:
        error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    os.replace(beside, target)
    return Execution(name, target, time.perf_counter() - begun, error)
