"""Notebooks are executed wherever the checkout lies and whatever kernels the user has."""

import json
import os
import sys

from covrr_utils import paths
from covrr_utils.experiments.execution import execute


def test_the_kernel_is_this_python_whatever_the_user_has(make_workbook, tmp_path, monkeypatch):
    make_workbook({"10_any": f"import sys\nassert sys.executable == {sys.executable!r}"})
    spec = {"argv": ["false", "{connection_file}"], "display_name": "mine", "language": "python"}
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("import sys\nsys.executable = 'mine'\n")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert execute("10_any", {}, tmp_path / "job").error is None
    assert os.environ["JUPYTER_PATH"] == str(tmp_path / "jupyter"), "put back afterwards"


def test_braces_in_a_path_are_not_parameters(make_workbook, tmp_path, monkeypatch):
    root = make_workbook({"10_any": "assert BACKBONE == '{BACKBONE}'"})
    moved = root.rename(tmp_path / "{BACKBONE} {0} {} {missing}")
    monkeypatch.setattr(paths, "ROOT", moved)
    folder = moved / "runs" / "{SEED}"
    execution = execute("10_any", {"BACKBONE": "{BACKBONE}"}, folder)
    assert execution.error is None and execution.path == folder / "10_any.ipynb"
    assert [path.name for path in folder.iterdir()] == ["10_any.ipynb"]
