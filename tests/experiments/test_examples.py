import shutil

import pytest

from covrr_utils import paths
from covrr_utils.experiments import examples
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run


@pytest.fixture
def small(small_benchmark, tiny, runs):
    return Run(RunConfig(benchmark=str(small_benchmark), backbone=tiny.name), tiny)


def test_the_running_example_is_that_of_the_book_where_there_is_one(small, monkeypatch):
    first, *_, last = small.benchmark.triplets
    assert examples.running(small) == first and examples.cliff_hanger(small) is None
    monkeypatch.setitem(examples.RUNNING, "small", last.id)
    monkeypatch.setitem(examples.CLIFF_HANGER, "small", last.id)
    assert examples.running(small) == last == examples.cliff_hanger(small)


def test_a_triplet_that_cannot_be_read_is_no_example(small, monkeypatch):
    first, second, *_ = small.benchmark.triplets
    monkeypatch.setitem(examples.RUNNING, "small", first.id)
    small.benchmark.video_path(first.reference).unlink()
    others = [t for t in small.benchmark.triplets if first.reference not in (t.reference, t.target)]
    assert examples.running(small) == others[0]
    for video in small.benchmark.videos():
        small.benchmark.video_path(video).unlink(missing_ok=True)
    with pytest.raises(examples.NoExample, match=f"none of the 6 .* {first.reference}: missing"):
        examples.running(small)


def test_a_chapter_turns_to_the_embedded_benchmark_and_says_so(tmp_path, tiny, small, capsys):
    assert examples.with_gold_traces(small) is small is examples.in_mini_world(small)
    (tmp_path / "videos").mkdir()
    for video in ("0000", "0001"):
        shutil.copy(paths.mini_dir() / "videos" / "test" / f"{video}.mp4", tmp_path / "videos")
    (tmp_path / "plain.csv").write_text("pth1,pth2,edit\n0000,0001,Make it night.\n")
    plain = Run(RunConfig(benchmark=str(tmp_path / "plain.csv"), backbone=tiny.name), tiny)
    for turn in (examples.with_gold_traces, examples.in_mini_world):
        assert turn(plain).benchmark.name == "mini-val"
        assert "plain " in (said := capsys.readouterr().err) and "embedded mini-val" in said
