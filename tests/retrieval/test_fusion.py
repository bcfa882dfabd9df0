import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from covrr_utils.retrieval.fusion import ABSENT, SCALES, fuse, gated_residual, scaled

SCORE = st.integers(-1000, 1000).map(lambda number: number / 8)
LISTS = st.lists(SCORE, min_size=1, max_size=12).map(np.array)
WITH_ABSENT = st.lists(SCORE | st.just(ABSENT), min_size=1, max_size=12).map(np.array)
NAMES = st.sampled_from(sorted(SCALES))
quickly = settings(deadline=None, max_examples=60)


@quickly
@given(LISTS, NAMES)
def test_a_scale_keeps_the_order_and_the_ties(scores, scale):
    values = scaled(scores, scale)
    if scale == "distribution":  # it is cut off at both ends
        assert all(
            values[i] <= values[j]
            for i in range(len(scores))
            for j in range(len(scores))
            if scores[i] <= scores[j]
        )
    else:
        np.testing.assert_array_equal(rankdata(values.round(9)), rankdata(scores))


@quickly
@given(LISTS, NAMES, st.sampled_from([0.5, 2.0, 16.0]), st.integers(-64, 64))
def test_unit_and_zero_of_a_scorer_do_not_matter(scores, scale, unit, zero):
    np.testing.assert_allclose(
        scaled(scores * unit + zero, scale), scaled(scores, scale), atol=1e-9
    )


@quickly
@given(WITH_ABSENT, NAMES)
def test_an_absent_candidate_beats_nobody_and_moves_nobody(scores, scale):
    values, present = scaled(scores, scale), scores != ABSENT
    if present.any():
        assert (values[~present] <= values[present].min()).all()
        np.testing.assert_array_equal(values[present], scaled(scores[present], scale))
    assert np.isfinite(values).all()


@quickly
@given(LISTS, NAMES, SCORE)
def test_a_constant_list_does_not_change_the_order(scores, scale, constant):
    fused = fuse([scores, np.full(len(scores), constant)], scale)
    np.testing.assert_array_equal(
        rankdata(fused.round(9)), rankdata(scaled(scores, scale).round(9))
    )


@quickly
@given(LISTS, NAMES, st.randoms(use_true_random=False))
def test_the_order_of_candidates_and_lists_does_not_matter(scores, scale, random):
    order = list(range(len(scores)))
    random.shuffle(order)
    other = scores[::-1].copy()
    fused = fuse([scores, other], scale, [0.3, 0.7])
    np.testing.assert_allclose(fuse([other, scores], scale, [0.7, 0.3]), fused)
    np.testing.assert_allclose(fuse([scores[order], other[order]], scale, [0.3, 0.7]), fused[order])


@quickly
@given(LISTS, NAMES)
def test_one_list_and_a_list_of_no_weight(scores, scale):
    alone = scaled(scores, scale)
    np.testing.assert_allclose(fuse([scores], scale), alone)
    np.testing.assert_allclose(fuse([scores, -scores], scale, [2.0, 0.0]), alone)
    np.testing.assert_allclose(fuse([scores, scores], scale), alone)


def test_scales_by_hand():
    scores = np.array([3.0, 1.0, 1.0, ABSENT])
    assert scaled(scores, "min-max").tolist() == [1.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(scaled(scores, "rrf"), [1 / 61, 1 / 63, 1 / 63, 0])
    deviation = np.std([3, 1, 1])
    z = (np.array([3, 1, 1, 1]) - 5 / 3) / deviation
    np.testing.assert_allclose(scaled(scores, "z-score"), z)
    np.testing.assert_allclose(scaled(scores, "distribution"), [*(z[:3] + 3) / 6, 0])
    assert scaled(np.full(3, 0.1 + 0.2), "min-max").tolist() == [0.5] * 3
    assert scaled(np.full(2, ABSENT), "z-score").tolist() == [0.0, 0.0]


def test_who_is_absent_everywhere_is_absent():
    lists = [np.array([1.0, ABSENT, ABSENT]), np.array([ABSENT, 2.0, ABSENT])]
    assert fuse(lists).tolist() == [0.25, 0.25, ABSENT]


def test_a_gate_lets_agreeing_scores_through():
    base, other = np.array([0.9, 0.5, 0.1]), np.array([0.7, 0.8, ABSENT])
    np.testing.assert_allclose(gated_residual(base, other, agreement=0.6), [0.8, 0.65, 0.1])
    np.testing.assert_array_equal(gated_residual(base, other, agreement=0.4), base)
    np.testing.assert_array_equal(gated_residual(base, other), base)  # they disagree
    np.testing.assert_allclose(gated_residual(base, base - 0.2), base - 0.1)
    np.testing.assert_array_equal(gated_residual(base, np.full(3, 0.5)), base)


def test_what_cannot_be_fused_is_told():
    good = np.array([1.0, 2.0])
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"candidates \[1\] are NaN or infinite"):
            fuse([good, np.array([1.0, wrong])])
        with pytest.raises(ValueError, match="NaN or infinite"):
            gated_residual(good, np.array([1.0, wrong]))
    with pytest.raises(ValueError, match="unknown scale 'max'; known: min-max, z-score"):
        fuse([good], "max")
    with pytest.raises(ValueError, match="lists of 2, 3 scores cannot be fused"):
        fuse([good, np.ones(3)])
    with pytest.raises(ValueError, match="nothing to fuse"):
        fuse([])
    with pytest.raises(ValueError, match="1 weights for 2 lists"):
        fuse([good, good], weights=[1.0])
    for weights in ([0.0, 0.0], [1.0, -1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="weights must be at least 0 and not all 0"):
            fuse([good, good], weights=weights)
