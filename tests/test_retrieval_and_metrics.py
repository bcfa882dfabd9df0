import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import R

from covrr_utils.metrics import recall_at, recall_interval, recalls
from covrr_utils.retrieval import rank_of_target, similarities, top


def test_cosine_by_hand():
    s = similarities(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]))
    assert np.allclose(s, [[1, 0, np.sqrt(0.5)]])


def test_ties_count_against_the_query():
    assert rank_of_target(np.array([0.5, 0.5, 0.5, 0.1]), 1) == 3
    assert rank_of_target(np.zeros(7), 0) == 7, "a constant embedding comes last, it does not hit"


@pytest.mark.parametrize("gallery, width", [(7, 64), (97, 384), (2103, 192)])
def test_a_constant_embedding_never_hits(gallery, width):
    # A matrix product rounds equal rows differently, depending on where they stand; that must not break ties.
    rng = np.random.default_rng(0)
    query, same = rng.standard_normal((1, width)).astype(np.float32), rng.standard_normal(width).astype(np.float32)
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
        similarities(np.ones((1, 2)), np.array([[1, 1], [0, 0]]))
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
    ranks = [rank_of_target(row, target) for row, target in zip(scores, targets)]
    qrels = {str(q): {str(t): 1} for q, t in enumerate(targets)}
    run = {str(q): {str(g): float(s) for g, s in enumerate(row)} for q, row in enumerate(scores)}
    theirs = ir_measures.calc_aggregate([R @ k for k in (1, 5, 10, 50)], qrels, run)
    for k in (1, 5, 10, 50):
        assert recall_at(ranks, k) == pytest.approx(theirs[R @ k])


def test_interval_by_hand():
    # Wilson, 5 of 10 at 95 %: centre 0.5, half width 1.96 sqrt(0.25/10 + 1.96^2/400) / (1 + 1.96^2/10)
    low, high = recall_interval([1] * 5 + [9] * 5, 1)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
