"""A box below a cell asks the model, and says so where nobody is there to type."""

import builtins

import pytest
from IPython.core.error import StdinNotImplementedError

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.plotting import asking


@pytest.fixture
def run(small_benchmark, runs):
    return Run(RunConfig(benchmark=str(small_benchmark), backbone="mini-3m", device="cpu"))


@pytest.fixture
def typed(monkeypatch):
    """Makes these the lines that somebody types."""

    def put(*lines):
        rest = iter([*lines, ""])
        monkeypatch.setattr(builtins, "input", lambda question: next(rest))

    return put


def test_an_answer_is_that_of_the_method(run):
    triplet = run.benchmark.triplets[0]
    answer = asking.answered(run, triplet.reference, triplet.edit, first=3)
    query = run.queries("two_stage")[triplet.id]
    assert answer.trace == query.stage_1[0] and answer.description == query.text
    row = next(r for r in run.evaluate("two_stage").queries if r["triplet"] == triplet.id)
    assert [video for video, _ in answer.ranked] == list(row["top"][:3])
    assert [score for _, score in answer.ranked] == pytest.approx(row["scores"][:3], abs=1e-4)


def test_the_box_shows_answers_until_it_stays_empty(run, typed, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(asking, "display", shown.append)
    first, other = run.benchmark.gallery[:2]
    typed("Night falls.", f"{other}: Night falls.", "Look: night falls.")
    asking.ask(run, first)
    assert capsys.readouterr().out.count("tempo") >= 3
    assert len(shown) == 3 and all(repr(clips).startswith("clips: reference") for clips in shown)


def test_a_video_that_cannot_be_read_is_named_and_the_box_stays(run, typed, capsys):
    video = run.benchmark.gallery[0]
    run.benchmark.video_path(video).write_bytes(b"")
    typed("Night falls.")
    asking.ask(run, video)
    assert video in capsys.readouterr().out


@pytest.mark.parametrize("nobody", [StdinNotImplementedError, EOFError, OSError])
def test_where_nobody_types_one_sentence_says_so(monkeypatch, capsys, nobody):
    def silent(question):
        raise nobody

    monkeypatch.setattr(builtins, "input", silent)

    class Small:
        class benchmark:
            gallery = ("a",)

    asking.ask(Small(), "a")
    assert capsys.readouterr().out == f"{asking.NOBODY}\n"
