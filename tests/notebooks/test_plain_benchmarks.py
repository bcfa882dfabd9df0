"""Every chapter on a benchmark with nothing but videos and edits: it shows another example or says
in a sentence what is not there.
"""

import pytest
from cells import perform, plain_benchmark, small_val

from covrr_utils.experiments import examples
from covrr_utils.experiments.workbook import notebook_names

ROWS = (("0000", "0001", "Make it night."), ("0002", "0003", "Let it fall."))

SAID = {
    "00_start_here": "target, after: Make it night.",
    "01_triplets_and_videos": "The triplets of this benchmark carry no tags.",
    "02_reasoning_traces": "This benchmark has no gold traces",
    "03_pooling_embeddings": "edit:    Make it night.",
    "04_retrieval": "The triplets of this benchmark carry no tags.",
    "05_ablation_reasoning": "there is one line for all of them",
    "06_ablation_pooling": "4 gallery descriptions, 2 queries",
    "07_reasoning_score": "by hand equals the package: True",
    "08_judges": "an empty trace scores 0.0",
    "09_failures": "open it in a browser, no server needed",
    "10_ablation_backbone": "One backbone alone: there is nothing to compare it with.",
    "11_paper_figures": "some N from 2,400 to 3,000 gives all published recalls: False",
    "12_past_the_paper": "fusion by hand and by the package are the same: True",
    "13_your_own_videos": "every video is described or a named failure: True",
    "14_scaling_out": "operations by hand and by the package are the same: True",
    "A1_train_the_mini_backbones": "text    1600 steps of 32 clips",
    "A2_what_practice_explains": "the last school practises half as many traces: True",
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Runs and figures of this module, so that its chapters share a store; the embedded benchmark
    that chapters turn to is cut down to one triplet.
    """
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVRR_RUNS", str(folder / "runs"))
        patch.setenv("COVRR_FIGURES", str(folder / "figures"))
        patch.setattr(examples, "FALLBACK", small_val(folder / "val", 1))
        yield folder


def run_chapter(chapter, monkeypatch, benchmark, **parameters):
    quick = {"BACKBONE": "mini-1m", "BACKBONES": ["mini-1m"], "ROUNDS": [1], "LAYERS": [1.0]}
    quick |= {"LESSONS": 1, "CLIPS": 4}
    return perform(chapter, monkeypatch, BENCHMARK=benchmark, **quick, **parameters)


@pytest.fixture(scope="module")
def plain(elsewhere):
    return plain_benchmark(elsewhere / "s", ROWS)


def test_the_table_of_sentences_is_complete():
    assert set(SAID) == set(notebook_names())


@pytest.mark.parametrize(
    "chapter",
    [pytest.param(name, marks=pytest.mark.slow if name.startswith("08") else ()) for name in SAID],
)
def test_every_chapter_runs_on_a_plain_benchmark(chapter, plain, monkeypatch):
    assert SAID[chapter] in run_chapter(chapter, monkeypatch, plain)


def test_a_chapter_shows_what_can_be_read(elsewhere, monkeypatch):
    """The first reference is missing, and there are two triplets."""
    benchmark = plain_benchmark(elsewhere / "missing", ROWS, missing=["0000"])
    assert "2 triplets, all counted: True" in run_chapter("04_retrieval", monkeypatch, benchmark)


def test_a_chapter_on_one_triplet_and_two_videos(elsewhere, monkeypatch):
    benchmark = plain_benchmark(elsewhere / "one", ROWS[:1])
    assert SAID["11_paper_figures"] in run_chapter("11_paper_figures", monkeypatch, benchmark)


@pytest.mark.parametrize(
    ("chapter", "text"),
    [
        ("04_retrieval", "2 triplets, all counted: True"),
        ("11_paper_figures", "so the figure shows triplets that were missed"),
    ],
)
def test_a_chapter_where_nothing_was_found(elsewhere, monkeypatch, chapter, text):
    """Every target is missing: no triplet has a rank."""
    benchmark = plain_benchmark(elsewhere / chapter, ROWS, missing=["0001", "0003"])
    assert text in run_chapter(chapter, monkeypatch, benchmark)
