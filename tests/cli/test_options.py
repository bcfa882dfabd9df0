"""Every option of every command comes from `RunConfig` or from the command's own model."""

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

from covrr_utils import paths
from covrr_utils.cli import main, options
from covrr_utils.experiments import workbook
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.workbook import read_parameters

WITH_RUNS = ("run", "rerun", "score", "report", "mine", "submit")

PUBLISHED = sorted((paths.ROOT / "notebooks" / "parameters").glob("*.yaml"))


def command(name):
    return import_module(f"covrr_utils.cli.{main.COMMANDS[name][0]}").COMMANDS[name]


def parsed(name, *arguments):
    own, request = options.parse(name, "", command(name), arguments)
    return own, request


def help_of(name, capsys, columns="100"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", columns)
        assert main.main([name, "--help"] if name else ["--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", WITH_RUNS)
def test_every_command_with_a_run_takes_all_that_decides_it(name, capsys):
    said = help_of(name, capsys)
    left_out = {"rerun": {"benchmark", "backbone"}, "submit": {"benchmark", "strategies"}}
    expected = set(RunConfig.model_fields) - left_out.get(name, {"strategies"} - {"run"})
    if name in ("run", "score"):
        expected = set(RunConfig.model_fields)
    shown = {option.replace("-", "_") for option in re.findall(r"--([a-z][a-z-]*)", said)}
    assert expected <= shown and "parameters" in shown
    for title in ("data", "backbone", "prompt", "reasoning", "retrieval"):
        assert f" {title} options " in said, "grouped"


@pytest.mark.parametrize("name", ["", *main.COMMANDS])
def test_help_fits_a_hundred_columns(name, capsys):
    assert max(map(len, help_of(name, capsys).splitlines())) <= 100


def test_options_are_parsed_without_reading_sources_or_notebooks(monkeypatch, capsys):
    """tyro would look in sources for what it is not told, and only a parameter file names what
    notebooks alone know.
    """

    def fail(*_):
        raise AssertionError("this takes long")

    monkeypatch.setattr(inspect, "getsource", fail)
    monkeypatch.setattr(workbook, "own_parameters", fail)
    assert " retrieval options " in help_of("run", capsys)
    _, request = parsed("run", "--limit", "3")
    assert request.config == RunConfig(limit=3)


def test_help_names_the_valid_values(capsys):
    said = help_of("run", capsys)
    for values in (
        "slots|keyword|dense|reasoning",
        "mean|weighted_mean",
        "vote|model",
        "8bit|4bit",
    ):
        assert values in said


def test_options_become_the_fields_of_the_run():
    arguments = {
        "gallery": "targets",
        "label_layout": "webvid-csv",
        "limit": 3,
        "backbone": "mini-1m",
        "revision": "main",
        "device": "cuda:1",
        "dtype": "float16",
        "attention": "eager",
        "device_map": "auto",
        "quantization": "4bit",
        "batch_size": 2,
        "fps": 0.5,
        "video_pixels": 70000,
        "prompt_style": "dense",
        "max_new_tokens": 7,
        "grammar": "json",
        "samples": 3,
        "synthesis": "model",
        "seed": 4,
        "pooling": "mean",
        "scheme": "idf",
        "source": "layer 1",
    }
    given = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    given += ["--strategies", "gold_trace", "two_stage", "--layers", "0.5", "1"]
    given += ["--videos", "a=x", "b=y", "--videos", "z"]
    _, request = parsed("run", *given)
    several = {
        "strategies": ("gold_trace", "two_stage"),
        "layers": (0.5, 1.0),
        "videos": ("a=x", "b=y", "z"),
    }
    assert dict(request.given) == arguments | several
    assert request.config == RunConfig(**arguments, **several)
    dashed = [text.replace("_", "-") if text.startswith("--") else text for text in given]
    assert parsed("run", *dashed)[1] == request
    assert parsed("run", "--num-frames", "4")[1].config == RunConfig(num_frames=4)


def test_none_is_a_value_where_the_default_is_none(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("LIMIT: 5\nGRAMMAR: json")
    _, request = parsed("run", "--parameters", str(file), "--limit", "None")
    assert request.config == RunConfig(grammar="json") and set(request.given) == {
        "limit",
        "grammar",
    }


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
@pytest.mark.parametrize("name", [*WITH_RUNS, "check"])
def test_every_command_takes_the_published_configurations(name, file):
    written = read_parameters(file)
    _, request = parsed(name, "--parameters", str(file))
    assert request.config == RunConfig.from_parameters(written)
    assert {key.upper() for key in request.given} == set(written)


def test_options_beside_a_parameter_file_win(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("SEED: 1\nPOOLING: max\nROUNDS: [1, 2]")
    _, request = parsed("rerun", "--pooling", "mean", "--parameters", str(file))
    assert (request.config.seed, request.config.pooling) == (1, "mean")
    assert request.others == {"ROUNDS": [1, 2]}, "what only chapter 05 reads"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("runn", "unknown command 'runn'; did you mean 'run'?"),
        ("run --poolin mean", "--pooling"),
        ("run --pooling men", "unknown pooling 'men'; did you mean 'mean'?"),
        ("run --strategies two_stag", "unknown strategy 'two_stag'; did you mean 'two_stage'?"),
        ("run --strategies", "strategies must be at least 1 of single_stage|"),
        ("run --device gpu", "did you mean 'cuda'?"),
        ("run --limit x", "limit must be a whole number of at least 1, got 'x'"),
        ("run --limit 0", "limit must be a whole number of at least 1, got 0"),
        ("run --fps nan", "fps must be a number above 0"),
        ("run --fps 1 --num-frames 2", "give fps or num_frames, not both"),
        ("run --layers 2", "each of layers must be a number above 0 and at most 1"),
        ("score --judge slot", "unknown judge 'slot'; did you mean 'slots'?"),
        ("mine --traces gol", "unknown traces 'gol'; did you mean 'gold'?"),
        ("report --strategy two", "unknown strategy 'two'; did you mean 'two_stage'?"),
        ("rerun --notebooks 04_retrival", "unknown notebook '04_retrival'; did you mean '04_ret"),
        ("rerun --workers 0", "workers must be a whole number of at least 1, got 0"),
        ("results --jso", "--json"),
        ("check", "covrr check BENCHMARK needs"),
        ("submit", "covrr submit LABELS needs"),
        ("submit --strategy two_stag x.json", "unknown strategy 'two_stag'"),
        ("verify --clips 0", "clips must be a whole number of at least 1, got 0"),
    ],
)
def test_a_mistake_ends_with_two_and_names_the_nearest(arguments, message, runs, capsys):
    assert main.main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not runs.exists(), "nothing ran"


def test_a_mistake_in_a_parameter_file_is_told_like_any_other(tmp_path, runs, capsys):
    file = tmp_path / "p.yaml"
    for text, message in (
        ("SEDE: 1", "unknown parameter SEDE; did you mean SEED?"),
        ("POOLING: men", "unknown pooling 'men'; did you mean 'mean'?"),
        ("STRATEGIES: two_stage", "strategies must be a list of names"),
        ("FPS: [1]", "fps must be a number above 0, got [1]"),
    ):
        file.write_text(text)
        for name in ("run", "score", "rerun"):
            assert main.main([name, "--parameters", str(file)]) == 2
            assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["results"], ["benchmarks"], ["run", "--help"]])
def test_lists_and_help_load_no_model_libraries(arguments, tmp_path):
    code = (
        "import sys; from covrr_utils.cli.main import main; assert main(sys.argv[1:]) == 0;"
        " slow = {'torch', 'transformers', 'matplotlib', 'scipy'};"
        " print(sorted(slow & sys.modules.keys()), file=sys.stderr)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"COVRR_RUNS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert process.stderr == "[]\n" and process.stdout


def test_a_terminal_that_is_not_utf_8_gets_escapes(tmp_path, runs):
    labels = tmp_path / "l.csv"
    labels.write_text("pth1,pth2,edit\n日本,b\x1b[31m,Mach es groß.\n", encoding="utf-8")
    for arguments in (["check", str(labels), "--videos", str(tmp_path)], ["run", "--help"]):
        process = subprocess.run(
            [sys.executable, "-m", "covrr_utils", *arguments],
            env=os.environ | {"PYTHONIOENCODING": "ascii", "COVRR_RUNS": str(runs)},
            capture_output=True,
        )
        assert process.returncode in (0, 2) and b"Traceback" not in process.stderr
        assert process.stdout.isascii() and b"\x1b" not in process.stdout + process.stderr


@pytest.mark.parametrize(
    ("arguments", "roots"),
    [
        (("labels.csv", "--videos", "a", "b"), ("a", "b")),
        (("--videos", "a", "--videos", "b", "labels.csv"), ("a", "b")),
        (("--videos", "a", "b", "labels.csv", "--json"), ("a", "b")),
        (("--videos", "a", "labels.csv", "--link-roots", "c"), ("a",)),
    ],
)
def test_what_is_checked_may_stand_before_or_after_a_list(arguments, roots):
    _, request = parsed("check", *arguments)
    assert request.config.benchmark == "labels.csv"
    assert [str(root) for root in request.config.videos] == list(roots)


def test_a_list_is_not_parted_where_that_would_be_a_guess():
    _, request = parsed("check", "--videos", "a", "b", "--link-roots", "c", "d")
    assert "benchmark" not in request.given
