import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import R
from jaxtyping import TypeCheckError

from covrr_utils.retrieval.metrics import (
    bootstrap_interval,
    compare,
    comparisons,
    recall_at,
    recall_interval,
    recalls,
)
from covrr_utils.retrieval.ranking import rank_of_target, similarities, top


def test_cosine_by_hand():
    s = similarities(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]))
    assert np.allclose(s, [[1, 0, np.sqrt(0.5)]])


def test_ties_count_against_the_query():
    assert rank_of_target(np.array([0.5, 0.5, 0.5, 0.1]), 1) == 3
    assert rank_of_target(np.zeros(7), 0) == 7, "a constant embedding comes last, it does not hit"


@pytest.mark.parametrize("gallery, width", [(7, 64), (97, 384), (2103, 192)])
def test_a_constant_embedding_never_hits(gallery, width):
    # A matrix product rounds equal rows differently, depending on where they stand; that must not
    # break ties.
    rng = np.random.default_rng(0)
    query, same = (
        rng.standard_normal((1, width)).astype(np.float32),
        rng.standard_normal(width).astype(np.float32),
    )
    scores = similarities(query, np.tile(same, (gallery, 1)))[0]
    assert {rank_of_target(scores, target) for target in range(gallery)} == {gallery}
    assert rank_of_target(scores, 0, [1, 2]) == gallery - 2


def test_the_reference_can_be_left_out():
    scores = np.array([0.9, 0.8, 0.1])
    assert rank_of_target(scores, 1) == 2 and rank_of_target(scores, 1, [0]) == 1
    assert top(scores, 2, [0]).tolist() == [1, 2]
    with pytest.raises(ValueError, match="excluded from its own ranking"):
        rank_of_target(scores, 0, [0])


def test_nan_and_zero_vectors_are_errors():
    with pytest.raises(ValueError, match="NaN"):
        rank_of_target(np.array([0.1, np.nan]), 0)
    with pytest.raises(ValueError, match=r"gallery vectors \[1\]"):
        similarities(np.ones((1, 2)), np.array([[1.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="same pooling"):
        similarities(np.ones((1, 2)), np.ones((1, 3)))


def test_recall_counts_every_triplet():
    assert recalls([1, 3, None, 60]) == {"1": 0.25, "5": 0.5, "10": 0.5, "50": 0.5}
    with pytest.raises(ValueError, match="no triplets"):
        recall_at([], 1)
    with pytest.raises(ValueError, match="start at 1"):
        recall_at([0], 1)


@given(st.integers(1, 30), st.integers(2, 40), st.integers(0, 10_000))
def test_recall_equals_an_established_evaluator(queries, gallery, seed):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(gallery, dtype=float), (queries, 1)), axis=1)
    targets = rng.integers(0, gallery, queries)
    ranks = [rank_of_target(row, target) for row, target in zip(scores, targets.tolist())]
    qrels = {str(q): {str(t): 1} for q, t in enumerate(targets)}
    run = {str(q): {str(g): float(s) for g, s in enumerate(row)} for q, row in enumerate(scores)}
    theirs = ir_measures.calc_aggregate([R @ k for k in (1, 5, 10, 50)], qrels, run)
    for k in (1, 5, 10, 50):
        assert recall_at(ranks, k) == pytest.approx(theirs[R @ k])


def test_the_bootstrap_interval_is_the_binomial_one():
    """Resampling N triplets of which h hit draws Binomial(N, h / N): the percentiles are known
    without resampling.
    """
    from scipy.stats import binom

    low, high = recall_interval([1] * 120 + [9] * 280, 1)
    assert (low, high) == (
        pytest.approx(binom.ppf(0.025, 400, 0.3) / 400, abs=0.003),
        pytest.approx(binom.ppf(0.975, 400, 0.3) / 400, abs=0.003),
    )
    assert recall_interval([1] * 120 + [9] * 280, 1) == (low, high), (
        "the same ranks give the same interval"
    )


def test_where_all_or_none_hit_the_interval_is_wilsons():
    # Wilson, 0 of 10 at 95 %: from 0 to z^2 / (n + z^2) = 3.8415 / 13.8415
    assert recall_interval([None] * 10, 1) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert recall_interval([1] * 10, 1) == (pytest.approx(0.7225, abs=1e-4), 1.0)


def test_one_triplet_has_an_interval_and_nothing_is_nan():
    # Wilson, 1 of 1 at 95 %: from 1 / (1 + z^2) to 1
    assert recall_interval([1], 1) == (pytest.approx(0.2065, abs=1e-4), 1.0)
    assert recall_interval([None], 1) == (0.0, pytest.approx(0.7935, abs=1e-4))
    table = comparisons({"a": [2], "b": [1]})
    assert not table.isna().any(axis=None) and table["p"].tolist() == [1.0]
    with pytest.raises(ValueError, match="no values has no interval"):
        bootstrap_interval([])


def test_shapes_in_signatures_are_checked_while_tests_run():
    with pytest.raises(TypeCheckError, match="gallery"):
        similarities(np.ones((2, 4)), np.ones(4))
    with pytest.raises(TypeCheckError, match="scores"):
        rank_of_target(np.ones((2, 3)), 0)


def test_bootstrap_of_few_values_by_hand():
    # Two values 0 and 1: the resampled mean is 0, 0.5 or 1 with probability 1/4, 1/2, 1/4, so the
    # 95 % interval is all of it.
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    assert bootstrap_interval([0.3, 0.3]) == (0.3, 0.3)


def test_mcnemar_by_hand():
    # 1 triplet found by the first alone, 9 by the second alone, 5 by both, 5 by neither: p = 2
    # (C(10,0) + C(10,1)) / 2^10
    first = [1] + [7] * 9 + [1] * 5 + [None] * 5
    second = [7] + [1] * 9 + [1] * 5 + [None] * 5
    found = compare(first, second)
    assert (found.only_first, found.only_second) == (1, 9) and found.p == pytest.approx(22 / 1024)
    assert (
        found.gain == pytest.approx(8 / 20) and found.interval[0] > 0 and found.recall_first == 0.3
    )
    assert compare(first, first).p == 1.0 and compare(first, first).interval == (0.0, 0.0)
    with pytest.raises(
        ValueError, match="2 with 1 triplets; both must be runs on the same triplets"
    ):
        compare([1, 2], [1])


def test_comparisons_are_corrected_for_their_number():
    runs = {"a": [1] + [7] * 19, "b": [7] + [1] * 9 + [7] * 10, "c": [1] + [7] * 19}
    pairs = comparisons(runs)
    assert list(zip(pairs["first"], pairs["second"])) == [("a", "b"), ("a", "c"), ("b", "c")]
    # Benjamini-Hochberg by hand: p = 22/1024 twice and 1; sorted ranks 1, 2, 3 of 3: min over later
    # of p * 3 / rank
    assert pairs["p adjusted"].tolist() == pytest.approx(
        [22 / 1024 * 3 / 2, 1.0, 22 / 1024 * 3 / 2]
    )
    assert comparisons(runs, baseline="b")["gain"].tolist() == pytest.approx([-40.0, -40.0])
    with pytest.raises(ValueError, match="unknown baseline 'x'; known: a, b, c"):
        comparisons(runs, baseline="x")
    with pytest.raises(ValueError, match="at least two runs"):
        comparisons({"a": [1]})
