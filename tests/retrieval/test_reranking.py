import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from covrr_utils.retrieval.fusion import ABSENT
from covrr_utils.retrieval.ranking import rank_of_target, top
from covrr_utils.retrieval.reranking import is_sure, reranked

FIRST = np.array([0.1, 0.9, 0.5, 0.8, 0.7])
CANDIDATES = np.array([1, 3, 4])  # the first three


def order(scores):
    return top(scores, len(scores)).tolist()


def test_the_candidates_are_put_in_the_order_of_the_reranker():
    scores = reranked(FIRST, CANDIDATES, np.array([-3.0, -2.0, -1.0]))
    assert order(scores) == [4, 3, 1, 2, 0] and scores[[2, 0]].tolist() == [0.5, 0.1]


def test_who_has_no_score_keeps_its_place():
    assert order(reranked(FIRST, CANDIDATES, np.array([-3.0, ABSENT, -1.0]))) == [4, 3, 1, 2, 0]
    assert order(reranked(FIRST, CANDIDATES, np.array([ABSENT, -2.0, -1.0]))) == [1, 4, 3, 2, 0]
    assert order(reranked(FIRST, CANDIDATES, np.full(3, ABSENT))) == [1, 3, 4, 2, 0]


def test_a_tie_stays_a_tie_and_counts_against_the_query():
    scores = reranked(FIRST, CANDIDATES, np.array([-1.0, -1.0, -2.0]))
    assert rank_of_target(scores, 1) == rank_of_target(scores, 3) == 2
    assert rank_of_target(scores, 4) == 3


def test_a_share_is_left_to_the_first_stage():
    new = np.array([-3.0, -2.9, -1.0])
    assert order(reranked(FIRST, CANDIDATES, new, weight=0.95))[:3] == [4, 3, 1]
    assert order(reranked(FIRST, CANDIDATES, new, weight=0.2))[:3] == [1, 3, 4]


def test_no_candidates_change_nothing():
    assert (reranked(FIRST, np.array([], int), np.array([])) == FIRST).all()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(0, 12),
    st.lists(st.integers(-5, 5) | st.just(ABSENT), min_size=12, max_size=12),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_candidates_stay_above_all_others(first, depth, new, weight):
    first = np.array(first, float)
    candidates = top(first, depth)
    scores = reranked(first, candidates, np.array(new[: len(candidates)], float), weight)
    assert sorted(order(scores)[: len(candidates)]) == sorted(candidates.tolist())
    rest = np.setdiff1d(np.arange(len(first)), candidates)
    assert (scores[rest] == first[rest]).all()
    if len(rest) and len(candidates):
        assert scores[candidates].min() > scores[rest].max()


def test_a_clear_lead_is_sure():
    assert is_sure(np.array([1.0, 0.7, 0.0]), np.array([0, 1, 2]))
    assert not is_sure(np.array([1.0, 0.8, 0.0]), np.array([0, 1, 2]))
    assert not is_sure(np.ones(3), np.array([0, 1, 2])) and is_sure(np.ones(1), np.array([0]))
