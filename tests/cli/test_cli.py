import json
import re

from covrr_utils import paths
from covrr_utils.cli import main, printing
from covrr_utils.experiments.workbook import read_parameters


def test_lists_for_people_and_machines(capsys):
    assert main.main(["benchmarks"]) == 0
    people = capsys.readouterr().out
    assert (
        people.splitlines()[0].split()[:3] == ["name", "kind", "triplets"] and "mini-val" in people
    )
    assert main.main(["benchmarks", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mini"]["triplets"] == 400 and rows["mini"]["gallery"] == 2100
    assert main.main(["backbones", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} >= {"mini-3m"}


def test_results_before_and_after_a_run(capsys, runs, small_benchmark):
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run

    assert main.main(["results"]) == 0 and "no results below" in capsys.readouterr().out
    assert main.main(["results", "--json"]) == 0 and json.loads(capsys.readouterr().out) == []
    Run(RunConfig(benchmark=str(small_benchmark), device="cpu")).evaluate("single_stage")
    assert main.main(["results", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    asked = {
        "benchmark",
        "gallery",
        "gallery_size",
        "backbone",
        "strategy",
        "pooling",
        "seed",
        "coverage",
        "recall",
    }
    assert asked <= set(row) and set(row["recall"]) == {"1", "5", "10", "50"}
    assert main.main(["results"]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith("measured here, mini") and "single_stage" in line and "1.000" in line


def test_mistakes_are_one_line_and_exit_code_two(capsys, runs):
    for arguments, message in (
        (["run", "--benchmark", "webvid"], "unknown benchmark 'webvid'; embedded: mini, mini-val"),
        (["run", "--limit", "0"], "limit must be a whole number of at least 1, got 0"),
    ):
        assert main.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("covrr: ") and message in error and error.count("\n") == 1


def test_table_aligns():
    text = printing.text_table([{"a": "x", "b": 1}, {"a": "longer", "b": 22}], ["a", "b"])
    assert text == "a        b\n------- --\nx        1\nlonger  22"


def test_parameter_files(tmp_path, capsys, runs):
    path = tmp_path / "p.yaml"
    for text, message in (
        ("- 1", "expected notebook parameters"),
        ("a: 1", "expected notebook parameters"),
        (":", "cannot be read|expected"),
    ):
        path.write_text(text)
        assert main.main(["rerun", "--parameters", str(path)]) == 2
        assert re.search(message, capsys.readouterr().err)
    assert main.main(["rerun", "--parameters", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read as a parameter file" in capsys.readouterr().err
    path.write_text("SEDE: 1")
    assert main.main(["rerun", "--parameters", str(path)]) == 2
    assert (
        "unknown parameter SEDE; did you mean SEED?" in capsys.readouterr().err
        and not runs.exists()
    ), "nothing ran"


def test_the_parameter_files_of_the_workbook_are_valid():
    from covrr_utils.experiments.config import RunConfig

    files = sorted((paths.notebooks_dir() / "parameters").glob("*.yaml"))
    assert files
    for file in files:
        RunConfig.from_notebook(read_parameters(file))


def test_what_went_wrong_stands_below_the_table():
    from covrr_utils.experiments.results import Result

    measured = {"1": 0.5}, {"1": (0.1, 0.9)}, {}
    good = Result(
        "measured here, mini",
        "mini",
        "all",
        9,
        1.0,
        "b",
        "0",
        "two_stage",
        "mean",
        "word",
        "predicts",
        0,
        3,
        1.0,
        *measured,
    ).summary()
    bad = good | {
        "failures": {"video: missing": 2},
        "cut_off": {"queries": 1, "gallery": 0},
        "retried": 3,
    }
    assert "two_stage, mean: " not in printing.results_table([good])
    assert (
        printing.results_table([good, bad]).splitlines()[-1]
        == "b, two_stage, mean: 2 x video: missing; 1 descriptions of queries cut off at the token"
        " limit; 3 traces asked for again under a grammar"
    )
