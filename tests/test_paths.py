"""Where things are written: the caller's folder, never a place that cannot be written, and said."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from covrr_utils import paths
from covrr_utils.cli.ending import Code
from covrr_utils.cli.main import main


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """No COVRR_RUNS, and a home for data of the test's own."""
    monkeypatch.setenv("COVRR_RUNS", "x")
    monkeypatch.delenv("COVRR_RUNS")
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "data" / name)
    return tmp_path / "data" / "covrr" / "runs"


def test_runs_lie_in_the_checkout(unset, capsys):
    assert paths.runs_dir() == paths.ROOT / "runs" and capsys.readouterr().err == ""


def test_a_read_only_checkout_writes_to_the_users_folder_and_says_so_once(
    unset, monkeypatch, capsys
):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and real(path, mode))
    assert paths.runs_dir() == unset
    said = capsys.readouterr().err
    assert "cannot be written" in said and str(unset) in said and "set COVRR_RUNS" in said
    assert paths.runs_dir() == unset and capsys.readouterr().err == ""
    assert os.environ["COVRR_RUNS"] == str(unset), "kernels write to the same folder"


def test_a_package_without_a_checkout_writes_to_the_users_folder(
    unset, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(paths, "ROOT", tmp_path)  # as site-packages: no notebooks lie there
    assert paths.runs_dir() == unset
    said = capsys.readouterr().err
    assert "is no checkout of the workbook" in said and str(unset) in said


@pytest.mark.parametrize(
    "command", ["run", "rerun", "benchmarks", "backbones", "check mini", "verify", "score"]
)
def test_a_package_without_a_checkout_says_what_is_not_with_it(
    unset, monkeypatch, tmp_path, capsys, command
):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert main(command.split()) == Code.MISTAKE
    (said,) = capsys.readouterr().err.splitlines()
    assert "not part of an installed package" in said
    assert "`pip install -e .`" in said and "COVRR_ROOT" in said


def test_a_package_without_a_checkout_lists_results_and_helps(unset, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert main(["results"]) == Code.DONE and main(["--help"]) == Code.DONE


@pytest.mark.parametrize("variable", ["COVRR_RUNS", "COVRR_FIGURES"])
def test_a_relative_folder_means_the_callers(monkeypatch, tmp_path, variable):
    folder = {"COVRR_RUNS": paths.runs_dir, "COVRR_FIGURES": paths.figures_dir}[variable]
    monkeypatch.setenv(variable, "mine")
    monkeypatch.chdir(tmp_path)
    assert folder() == tmp_path / "mine"
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")  # where kernels run
    assert folder() == tmp_path / "mine"
    there = subprocess.run(
        [sys.executable, "-c", f"import os; print(os.environ[{variable!r}])"],
        capture_output=True,
        text=True,
    )
    assert there.stdout.strip() == str(tmp_path / "mine")


def test_a_shown_path_is_one_line_that_a_terminal_does_not_obey():
    assert paths.relative(paths.ROOT / "a\x1b[31m\nb") == r"a\x1b[31m\nb"
    assert paths.relative(Path("/x/caf\udce9 é 日")) == r"/x/caf\udce9 é 日"
