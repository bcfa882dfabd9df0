"""The face of the package: the names that `import covrr_utils` offers, and what they load."""

import ast
import subprocess
import sys
from importlib import import_module

import pytest

import covrr_utils
from covrr_utils import paths

HEAVY = {"torch", "transformers", "matplotlib", "pandas", "numpy", "scipy", "cv2", "pydantic"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after ``code``."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.split(".")[0] for name in printed.split()}


def test_importing_the_package_loads_nothing_else():
    assert not modules_after("import covrr_utils; dir(covrr_utils)") & HEAVY


@pytest.mark.parametrize(
    "name",
    [
        "Prompt",
        "RunConfig",
        "list_backbones",
        "list_benchmarks",
        "parse_trace",
        "pool",
        "recall_at",
    ],
)
def test_a_name_that_needs_no_torch_loads_none(name):
    assert not modules_after(f"from covrr_utils import {name}") & {"torch", "transformers"}


@pytest.mark.parametrize("name", covrr_utils.__all__)
def test_every_name_resolves_to_what_its_room_holds(name):
    value = getattr(covrr_utils, name)
    room = import_module(value.__name__ if name == "prompts" else value.__module__)
    assert value is (room if name == "prompts" else getattr(room, name))
    assert room.__name__.startswith("covrr_utils.") and name in dir(covrr_utils)


def test_type_checkers_see_the_same_names():
    """What is imported for type checkers alone, what is offered, and what is looked up agree."""
    tree = ast.parse((paths.ROOT / "covrr_utils" / "__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: f"{node.module}"
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    rooms = {name: f"covrr_utils.{room}" for name, room in covrr_utils._ROOMS.items()}
    assert seen == rooms | {"prompts": "covrr_utils.reasoning"}
    assert set(covrr_utils.__all__) == set(rooms) and covrr_utils.__all__ == sorted(rooms)


def test_an_unknown_name_is_an_error_as_of_any_module():
    with pytest.raises(AttributeError, match="'covrr_utils' has no attribute 'Rum'"):
        covrr_utils.Rum  # noqa: B018 the access is what is tested


def test_versions_are_those_of_the_packages_that_are_imported(capsys):
    import platform

    import numpy
    import torch
    import transformers

    covrr_utils.show_versions("xgrammar")
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"python {platform.python_version()}, numpy {numpy.__version__}"
    assert second.startswith(
        f"torch {torch.__version__}, transformers {transformers.__version__}, xgrammar "
    )
