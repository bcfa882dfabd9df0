"""Relative paths mean the caller's folder; figures that are committed are written by the committed
parameters alone.
"""

import json
import shutil

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from covrr_utils import paths
from covrr_utils.cli.main import main
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.workbook import parameters_of
from covrr_utils.plotting.style import save_figure

LOOKS = """
from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.experiments.config import RunConfig
config = RunConfig.from_notebook(globals())
loaded = load_benchmark(config.benchmark, config.gallery, config.videos)
videos = [loaded.video_path(video) for video in loaded.videos()]
assert len(videos) == 2 and all(video.is_file() for video in videos), videos
paths.figures_dir().mkdir(parents=True)
(paths.figures_dir() / "one.csv").write_text("1")
"""

DECLARED = "BENCHMARK = 'mini'\nBACKBONE = 'mini-3m'\nVIDEOS = []\nGALLERY = None\nLIMIT = None"


def files(folder):
    """All files below a folder, links not followed."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_relative_paths_reach_the_notebooks_and_nothing_is_written_into_the_checkout(
    make_workbook, tmp_path, monkeypatch
):
    root = make_workbook({"10_looks": LOOKS}, DECLARED)
    caller = tmp_path / "caller"
    (caller / "clips").mkdir(parents=True)
    for number, clip in enumerate(sorted((paths.mini_dir() / "videos" / "val").glob("*"))[:2]):
        shutil.copy(clip, caller / "clips" / f"{number}.mp4")
    (caller / "labels.csv").write_text("pth1,pth2,edit\n0,1,Make it night.\n")
    (caller / "gallery.txt").write_text("0\n1\n")
    (caller / "mine.yaml").write_text("VIDEOS: [../caller/clips]\nGALLERY: gallery.txt\n")
    before = files(root)
    monkeypatch.chdir(caller)
    monkeypatch.setenv("COVRR_RUNS", "kept")
    monkeypatch.delenv("COVRR_FIGURES")
    command = "rerun --benchmarks labels.csv --notebooks 10_looks --backbones mini-3m"
    assert main([*command.split(), "--parameters", "mine.yaml"]) == 0
    assert files(root) == before
    (executed,) = (caller / "kept").glob("labels@*/mini-3m/10_looks*/10_looks.ipynb")
    assert (executed.parent / "figures" / "one.csv").is_file()
    given = json.loads((executed.parent / "parameters.json").read_text())
    assert given["VIDEOS"] == [str(caller / "clips")]
    assert given["GALLERY"] == str(caller / "gallery.txt")
    assert given["BENCHMARK"] == str(caller / "labels.csv")


@pytest.fixture
def by_hand(make_workbook, monkeypatch):
    """``by_hand(**changes)`` draws a figure as the cells of a notebook do whose parameters were
    changed by hand; the folder of the checkout.
    """
    root = make_workbook({"10_draws": "pass"}, DECLARED)
    monkeypatch.delenv("COVRR_FIGURES")
    monkeypatch.delenv("COVRR_RUNS")
    monkeypatch.setattr(paths, "_figures", [])

    def draw(**changes):
        RunConfig.from_notebook(parameters_of("10_draws") | changes)
        figure = plt.figure()
        save_figure(figure, "one", pd.DataFrame({"x": [1]}))
        plt.close(figure)

    return root, draw


def test_only_the_committed_parameters_write_the_committed_figures(by_hand, capsys):
    root, draw = by_hand
    draw()
    assert (root / "figures" / "one.csv").is_file() and capsys.readouterr().out == ""
    committed = {path: path.read_bytes() for path in (root / "figures").iterdir()}
    (root / "figures" / "one.csv").write_text("committed")
    committed[root / "figures" / "one.csv"] = b"committed"
    draw(LIMIT=5)
    assert {path: path.read_bytes() for path in (root / "figures").iterdir()} == committed
    (drawn,) = (root / "runs").rglob("one.csv")
    said = capsys.readouterr().out
    assert said == f"other parameters: figures go to {paths.relative(drawn.parent)}\n"
    assert "limit-5" in drawn.parent.name


def test_figures_of_a_run_elsewhere_are_elsewhere(by_hand, tmp_path, monkeypatch):
    root, draw = by_hand
    monkeypatch.setenv("COVRR_RUNS", str(tmp_path / "kept"))
    draw()
    assert not (root / "figures").exists()
    assert (tmp_path / "kept" / "figures" / "one.csv").is_file()
