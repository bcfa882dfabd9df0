"""The committed notebooks, the parameters that each declares, and files of parameters."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from pathlib import Path

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.options import nearest

PARAMETERS_TAG = "parameters"  # papermill's tag of the cell that declares them


class UnknownNotebook(ValueError):
    """A notebook that the workbook does not have."""


def notebook_names() -> list[str]:
    """The names of all committed notebooks, in reading order."""
    return sorted(path.stem for path in paths.notebooks_dir().glob("*.ipynb"))


def notebook_path(notebook: str) -> Path:
    """The committed notebook of that name; `UnknownNotebook` lists the known ones."""
    path = paths.notebooks_dir() / f"{notebook}.ipynb"
    if not path.is_file():
        known = notebook_names()
        near = nearest(notebook, known)
        raise UnknownNotebook(
            f"unknown notebook {notebook!r}{near or ';'} known: {', '.join(known)}"
        )
    return path


def code_cells(notebook: str) -> list[str]:
    """The sources of the notebook's code cells."""
    return [_source(cell) for cell in _cells(notebook) if cell["cell_type"] == "code"]


def parameters_of(notebook: str) -> dict[str, object]:
    """The parameters that a notebook declares, with its own defaults: what its cell with the tag
    ``parameters`` assigns to names in upper case.
    """
    declared: dict[str, object] = {}
    for cell in _cells(notebook):
        if PARAMETERS_TAG not in cell.get("metadata", {}).get("tags", []):
            continue
        for statement in ast.parse(_source(cell)).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                declared[statement.targets[0].id] = ast.literal_eval(statement.value)
    return declared


def own_parameters(notebooks: Iterable[str] | None = None) -> dict[str, object]:
    """The parameters, with defaults, that these notebooks (default: all) declare and that are no
    field of `RunConfig`: they read them by themselves.
    """
    fields = {name.upper() for name in RunConfig.model_fields}
    return {
        name: value
        for notebook in (notebook_names() if notebooks is None else notebooks)
        for name, value in parameters_of(notebook).items()
        if name not in fields
    }


def read_parameters(path: Path) -> dict[str, object]:
    """Notebook parameters from a yaml file: an object with UPPER_CASE names.

    Raises
    ------
    ValueError
        If the file is missing or holds anything else.
    """
    import yaml

    try:
        parameters = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path}: cannot be read as a parameter file ({' '.join(str(error).split())}); see"
            " notebooks/parameters for examples"
        ) from error
    if not isinstance(parameters, dict) or not all(
        isinstance(name, str) and name.isupper() for name in parameters
    ):
        raise ValueError(
            f"{path}: expected notebook parameters such as 'BACKBONE: mini-3m', one a line; see"
            " notebooks/parameters for examples"
        )
    return parameters


def _cells(notebook: str) -> list[dict]:
    return json.loads(notebook_path(notebook).read_text(encoding="utf-8"))["cells"]


def _source(cell: dict) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
