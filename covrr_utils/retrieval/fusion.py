"""Several scores of the same candidates become one.

Scores of different scorers are not comparable: a cosine lies in -1..1, BM25 has no upper bound, a
log-probability is negative. Every method here first brings each list to one scale, then sums the
lists with their weights. The rules are the same for all of them:

- NaN is an error, and so is plus infinity.
- A candidate that a scorer has no score for is `ABSENT` (minus infinity) in its list. It gets the
  lowest value that the list's present candidates could have on the common scale, after scaling: it
  never widens the range of the others, and never beats one of them in that list.
- A list whose present candidates all have the same score tells nothing. They all get the middle of
  the scale, so the list does not change their order.
- Equal scores stay equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64

ABSENT = -np.inf

CONSTANT = 1e-12  # a range below this share of the largest score is rounding, not a difference

RANK_CONSTANT = 60  # of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)

DEVIATIONS = 3.0  # distribution-based: this far from the mean the scale ends

GATED = "gated-residual"  # the fusion of R^3, see `gated_residual`

GATE = 0.5  # gated residual: how alike two lists must be at least

Present = Float64[np.ndarray, " P"]  # the scores of those candidates that have one


def _is_constant(scores: Present) -> bool:
    return bool(np.ptp(scores) <= CONSTANT * np.abs(scores).max())


def _min_max(scores: Present) -> Present:
    return (scores - scores.min()) / np.ptp(scores)


def _z_score(scores: Present) -> Present:
    return (scores - scores.mean()) / scores.std()


def _distribution(scores: Present) -> Present:
    reach = DEVIATIONS * scores.std()
    return np.clip((scores - scores.mean() + reach) / (2 * reach), 0.0, 1.0)


def _reciprocal_rank(scores: Present) -> Present:
    from scipy.stats import rankdata  # it takes a second to load, and options need this module

    return 1.0 / (RANK_CONSTANT + rankdata(-scores, method="max"))


MIN_MAX, Z_SCORE, DISTRIBUTION, RECIPROCAL_RANK = "min-max", "z-score", "distribution", "rrf"

# of each scale: the function, the value of candidates that all score the same (None: what the
# function gives), the value of an absent one (None: the lowest of those present)
SCALES: dict[str, tuple[Callable[[Present], Present], float | None, float | None]] = {
    MIN_MAX: (_min_max, 0.5, 0.0),
    Z_SCORE: (_z_score, 0.0, None),
    DISTRIBUTION: (_distribution, 0.5, 0.0),
    RECIPROCAL_RANK: (_reciprocal_rank, None, 0.0),
}


def scaled(scores: Float[np.ndarray, " N"], scale: str) -> Float64[np.ndarray, " N"]:
    """One list of scores on a common scale; see the rules of this module.

    ``min-max``: (s - min) / (max - min), in 0..1. ``z-score``: (s - mean) / standard deviation.
    ``distribution``: as min-max, between mean - 3 and mean + 3 standard deviations, cut off there.
    ``rrf``: 1 / (60 + rank), where the rank of a candidate is the number of candidates that score
    at least as high.

    >>> scaled(np.array([2.0, 4.0, 3.0, -np.inf]), "min-max").tolist()
    [0.0, 1.0, 0.5, 0.0]

    Raises
    ------
    ValueError
        For an unknown scale, NaN, or plus infinity.
    """
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; known: {', '.join(SCALES)}")
    function, middle, floor = SCALES[scale]
    scores, present = _checked(scores)
    values = np.zeros(len(scores))
    if present.any():
        finite = scores[present]
        if middle is not None and _is_constant(finite):
            values[present] = middle
        else:
            values[present] = function(finite)
        values[~present] = values[present].min() if floor is None else floor
    return values


def fuse(
    lists: Sequence[Float[np.ndarray, " N"]],
    scale: str = MIN_MAX,
    weights: Sequence[float] | None = None,
) -> Float64[np.ndarray, " N"]:
    """The weighted mean of several lists of scores of the same N candidates, each scaled first.

    A candidate that is absent from all lists is absent from the result.

    Parameters
    ----------
    lists : scores, higher is better; `ABSENT` where a scorer has none
    scale : a name of `SCALES`
    weights : one per list, at least 0 and not all 0 (default: all the same)

    Raises
    ------
    ValueError
        If there are no lists, they differ in length, or weights or scores are not as above.
    """
    if not lists:
        raise ValueError("there is nothing to fuse: give at least one list of scores")
    if len({len(scores) for scores in lists}) > 1:
        raise ValueError(
            f"lists of {', '.join(str(len(scores)) for scores in lists)} scores cannot be fused;"
            " all must be about the same candidates"
        )
    shares = np.ones(len(lists)) if weights is None else np.asarray(weights, np.float64)
    if len(shares) != len(lists):
        raise ValueError(f"{len(shares)} weights for {len(lists)} lists; give one for each")
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise ValueError(f"weights must be at least 0 and not all 0, got {shares.tolist()}")
    fused = sum(
        share * scaled(scores, scale) for share, scores in zip(shares / shares.sum(), lists)
    )
    everywhere_absent = np.all([np.asarray(scores) == ABSENT for scores in lists], axis=0)
    return np.where(everywhere_absent, ABSENT, fused)


def gated_residual(
    base: Float[np.ndarray, " N"],
    other: Float[np.ndarray, " N"],
    share: float = 0.5,
    gate: float = GATE,
    agreement: float | None = None,
) -> Float64[np.ndarray, " N"]:
    """``base + share * (other - base)`` where both agree, else ``base`` (the fusion of R^3).

    R^3 fuses cosines, so nothing is scaled here: both lists must be on one scale. ``agreement`` is
    what the gate looks at; R^3 takes the cosine of the two query vectors. Without it, the
    correlation of the two lists over the candidates that both have is taken; a constant list agrees
    with nothing. Where ``other`` has no score, ``base`` stands.

    Raises
    ------
    ValueError
        For lists of different lengths, NaN or plus infinity.
    """
    if len(base) != len(other):
        raise ValueError(f"lists of {len(base)} and {len(other)} scores cannot be fused")
    (first, here), (second, there) = _checked(base), _checked(other)
    both = here & there
    if agreement is None:
        agreement = _correlation(first[both], second[both])
    if agreement < gate:
        return first
    fused = first.copy()
    fused[both] += share * (second[both] - first[both])
    return fused


def _correlation(first: Present, second: Present) -> float:
    """Pearson's correlation; 0 where a list is constant or empty."""
    if not len(first) or _is_constant(first) or _is_constant(second):
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _checked(
    scores: Float[np.ndarray, " N"],
) -> tuple[Float64[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """The scores as float64, and which candidates are present."""
    scores = np.asarray(scores, np.float64)
    if np.isnan(scores).any() or (scores == np.inf).any():
        wrong = np.flatnonzero(np.isnan(scores) | (scores == np.inf)).tolist()
        raise ValueError(
            f"the scores of the candidates {wrong[:5]} are NaN or infinite; a candidate without a"
            " score is ABSENT (minus infinity)"
        )
    return scores, scores != ABSENT
