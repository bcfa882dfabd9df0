"""Ranks, recall and results from scores alone: no model, no store, no file."""

from pathlib import Path

import numpy as np
import pytest

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.evaluation import SHOWN, rank
from covrr_utils.experiments.results import Method
from covrr_utils.retrieval.scores import Scores, by_cosine

METHOD = Method(
    "some benchmark", "some backbone", "w" * 16, "by hand", seed=3, options={"fps": 2.0}
)


def benchmark(rows, gallery, exclude_reference=True, sections=(), per_section=False):
    """A benchmark of (reference, target) pairs; ids and sections by place."""
    triplets = tuple(
        Triplet(f"t{place}", reference, "Make it so.", target, section=section)
        for place, (reference, target, section) in enumerate(
            (*row, "")[:3] if len(row) == 2 else row for row in rows
        )
    )
    return Benchmark(
        "by hand",
        "real",
        triplets,
        tuple(gallery),
        "a gallery",
        Path("nowhere"),
        ".mp4",
        exclude_reference,
        per_section=per_section,
        sections=sections,
    )


def lost(id_, stage="trace", cause="unusable trace"):
    return {id_: Failure(id_, stage, cause, "why")}


def test_ranks_and_recall_by_hand():
    """Four videos. t0: target b, scored below its reference a (left out) and below c: rank 2. t1:
    target d is best: rank 1.
    """
    scores = Scores(
        {"t0": np.array([0.9, 0.5, 0.7, 0.1]), "t1": np.array([0.2, 0.1, 0.3, 0.8])}, "abcd"
    )
    result = rank(benchmark([("a", "b"), ("b", "d")], "abcd"), scores, METHOD)
    assert result.ranks == [2, 1] and result.recall["1"] == 0.5 and result.recall["5"] == 1.0
    first, second = result.queries
    assert first["top"] == ["c", "b", "d"] and first["scores"] == [0.7, 0.5, 0.1]
    assert second["top"] == ["d", "c", "a"], "the reference takes no part"
    assert (result.triplets, result.coverage, result.gallery_coverage) == (2, 1.0, 1.0)
    assert (result.backbone, result.strategy, result.seed, result.options) == (
        "some backbone",
        "by hand",
        3,
        {"fps": 2.0},
    )
    kept = rank(benchmark([("a", "b"), ("b", "d")], "abcd", False), scores, METHOD)
    assert kept.ranks == [3, 1], "where the benchmark keeps the reference, it competes"


def test_a_tie_counts_against_the_query_and_nan_is_an_error():
    rows = benchmark([("a", "b")], "abcd")
    assert rank(rows, Scores({"t0": np.ones(4)}, "abcd"), METHOD).ranks == [3]
    with pytest.raises(ValueError, match="NaN"):
        rank(rows, Scores({"t0": np.array([0, np.nan, 0, 0])}, "abcd"), METHOD)


def test_every_failure_is_a_miss_with_its_cause():
    rows = benchmark([("a", "b"), ("b", "a"), ("a", "c"), ("a", "b")], "abc")
    scores = Scores(
        {"t1": np.array([0.1, 0.2]), "t2": np.array([0.9, 0.1]), "t3": np.array([0.1, 0.2])},
        "ab",
        lost("t0"),
        lost("c", "video", "missing"),
    )
    result = rank(rows, scores, METHOD)
    assert result.ranks == [None, 1, None, 1]
    assert result.failures == {"trace: unusable trace": 1, "video: missing": 1}
    assert (result.triplets, result.coverage, result.recall["1"]) == (4, 0.5, 0.5)
    assert (result.present, result.recall_present["1"]) == (3, 2 / 3), "t2 lacks a video"
    assert result.gallery_coverage == 2 / 3
    assert [row["top"] for row in result.queries][0] == []


def test_sections_have_recalls_of_their_own_and_may_be_ranked_apart():
    rows = [("x/a", "x/b", "x"), ("y/a", "y/b", "y")]
    gallery = ("x/a", "x/b", "y/a", "y/b")
    scores = Scores(
        {"t0": np.array([0.0, 0.5, 0.9, 0.8]), "t1": np.array([0.0, 0.1, 0.9, 0.8])}, gallery
    )
    together = rank(benchmark(rows, gallery, sections=("x", "y")), scores, METHOD)
    assert together.ranks == [3, 1]
    assert together.sections["x"]["recall"]["1"] == 0 and together.sections["y"]["triplets"] == 1
    apart = rank(benchmark(rows, gallery, sections=("x", "y"), per_section=True), scores, METHOD)
    assert apart.ranks == [1, 1]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_gallery_smaller_than_five_is_ranked_like_any_other(count):
    """Also a gallery of one, whose only video is every target."""
    gallery = [f"v{number}" for number in range(count)]
    vectors = Outcomes({video: np.eye(count)[place] for place, video in enumerate(gallery)}, {})
    queries = Outcomes({"t0": np.eye(count)[0], "t1": np.ones(count)}, {})
    rows = benchmark([("elsewhere", "v0"), ("elsewhere", "v0")], gallery)
    result = rank(rows, by_cosine(queries, vectors), METHOD)
    assert result.ranks == [1, count] and result.recall["50"] == 1.0
    assert len(result.queries[0]["top"]) == count < SHOWN


def test_what_cannot_be_ranked_says_so():
    rows = benchmark([("a", "b")], "ab")
    nothing = by_cosine(Outcomes({}, lost("t0")), Outcomes({}, lost("b") | lost("a")))
    with pytest.raises(ValueError, match="no video of the gallery 'a gallery' could be described"):
        rank(rows, nothing, METHOD)
    with pytest.raises(ValueError, match="has no targets, so there is no recall"):
        rank(benchmark([("a", None)], "ab"), Scores({"t0": np.ones(2)}, "ab"), METHOD)
    with pytest.raises(ValueError, match="triplet t1 has no target, others have"):
        both = Scores({"t0": np.ones(2), "t1": np.ones(2)}, "ab")
        rank(benchmark([("a", "b"), ("a", None)], "ab"), both, METHOD)


def test_cosines_need_vectors_of_one_width_and_leave_out_what_failed():
    gallery = Outcomes({"a": np.array([1.0, 0.0])}, lost("b", "video", "missing"))
    scores = by_cosine(Outcomes({"t0": np.array([3.0, 4.0])}, lost("t1")), gallery)
    assert scores.by_query["t0"] == pytest.approx([0.6]) and list(scores.videos) == ["a"]
    assert set(scores.failures) == {"t1"} and set(scores.gallery_failures) == {"b"}
    with pytest.raises(ValueError, match="3 wide, gallery vectors 2"):
        by_cosine(Outcomes({"t0": np.ones(3)}, {}), gallery)
