"""Recall with honest denominators, how far it can be trusted, and whether two runs really differ.

Triplets are the unit: intervals resample triplets, and two runs on the same triplets are compared
pair by pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.stats import binomtest, bootstrap, false_discovery_control, rankdata

from covrr_utils.frames import pd

KS = (1, 5, 10, 50)

LEVEL = 0.95

Ranks = Sequence[int | None]  # of the target, one per triplet, from 1; None where a triplet failed

Values = Sequence[float] | Shaped[np.ndarray, " N"]  # one per triplet

RESAMPLES = 5000

DRAWN_AT_ONCE = 1 << 18  # values in memory while correlations are resampled

COMPARISON_COLUMNS = (
    "first",
    "second",
    "recall first",
    "recall second",
    "gain",
    "low",
    "high",
    "only first",
    "only second",
    "p",
    "p adjusted",
)


def hits_at(ranks: Ranks, k: int) -> Bool[np.ndarray, " N"]:
    """Whose target ranks within the first k. ``None`` (a failed triplet) is a miss.

    Raises
    ------
    ValueError
        If there are no triplets, or a rank is below 1.
    """
    if not len(ranks):
        raise ValueError("recall of no triplets is undefined")
    if any(rank is not None and rank < 1 for rank in ranks):
        raise ValueError("ranks start at 1")
    return np.array([rank is not None and rank <= k for rank in ranks])


def recall_at(ranks: Ranks, k: int) -> float:
    """Share of *all* triplets whose target ranks within the first k, in 0..1."""
    return float(hits_at(ranks, k).mean())


def recalls(ranks: Ranks, ks: Sequence[int] = KS) -> dict[str, float]:
    """Recall at each k: ``{"1": ..., "5": ...}``."""
    return {str(k): recall_at(ranks, k) for k in ks}


def bootstrap_interval(
    values: Values, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of one value per triplet, triplets drawn with
    replacement (Efron 1979).

    Values that are all equal, a single one among them, give an interval without width;
    `recall_interval` and `compare` say what that means for them.

    Raises
    ------
    ValueError
        If there are no values.
    """
    sample = np.asarray(values, np.float64)
    if not len(sample):
        raise ValueError("the mean of no values has no interval")
    if (sample == sample[0]).all():
        return float(sample[0]), float(sample[0])
    interval = bootstrap(
        (sample,),
        np.mean,
        n_resamples=resamples,
        confidence_level=level,
        method="percentile",
        vectorized=True,
        batch=500,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def recall_interval(ranks: Ranks, k: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of recall at k: the bootstrap over triplets, and Wilson's score interval where every
    triplet hits or none does.

    There the bootstrap has no width although the recall is uncertain (Wilson 1927; 0 of 400 gives
    [0, 0.0095], a single hit [0.2065, 1]).
    """
    hits = hits_at(ranks, k)
    if hits.all() or not hits.any():
        interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(level, method="wilson")
        return float(interval.low), float(interval.high)
    return bootstrap_interval(hits, level)


def rank_correlation(
    first: Values, second: Values, level: float = LEVEL, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Spearman's rho of two values per triplet and its percentile bootstrap interval, triplets
    drawn with replacement: (rho, low, high).

    Undefined, three NaN, for fewer than three triplets and where one of the two does not vary;
    resamples in which one does not vary are drawn again.
    """
    pairs = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    if pairs.shape[1] < 3 or (pairs == pairs[:, :1]).all(axis=1).any():
        return float("nan"), float("nan"), float("nan")
    rng, count = np.random.default_rng(seed), pairs.shape[1]
    at_once = max(DRAWN_AT_ONCE // count, 1)
    correlations: list[float] = []
    while lacking := resamples - len(correlations):
        drawn = pairs[:, rng.integers(0, count, (min(lacking, at_once), count))]
        vary = (drawn != drawn[:, :, :1]).any(axis=2).all(axis=0)
        correlations.extend(_correlations(rankdata(drawn[:, vary], axis=2)))
    low, high = np.quantile(correlations, [(1 - level) / 2, (1 + level) / 2])
    (rho,) = _correlations(rankdata(pairs[:, None], axis=2))
    return float(rho), float(low), float(high)


def _correlations(pairs: Float[np.ndarray, "2 drawn triplets"]) -> Float[np.ndarray, " drawn"]:
    """Pearson's correlation of the two values, one for each draw."""
    first, second = pairs - pairs.mean(axis=2, keepdims=True)
    squares = (first**2).sum(1) * (second**2).sum(1)
    return (first * second).sum(1) / np.sqrt(squares)


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same triplets: recalls in 0..1, ``gain`` = second - first with its paired
    bootstrap interval, McNemar's exact p.

    ``only_first`` and ``only_second`` count the triplets that just one of them found.
    """

    recall_first: float
    recall_second: float
    gain: float
    interval: tuple[float, float]
    only_first: int
    only_second: int
    p: float


def compare(first: Ranks, second: Ranks, k: int = 1, level: float = LEVEL) -> Comparison:
    """Does ``second`` find more within the first k than ``first``? Paired by triplet.

    The p-value is that of McNemar's exact test: under "no difference" each triplet found by one
    alone is a fair coin. Where every triplet gains the same (a single triplet, or two equal runs),
    the bootstrap has no width, and the interval says nothing of the uncertainty: read p.

    Raises
    ------
    ValueError
        If the two have not the same number of triplets.
    """
    if len(first) != len(second):
        raise ValueError(
            f"paired comparison of {len(first)} with {len(second)} triplets; both must be runs on"
            " the same triplets, in the same order"
        )
    one, two = hits_at(first, k), hits_at(second, k)
    only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
    p = binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
    difference = two.astype(np.float64) - one
    return Comparison(
        float(one.mean()),
        float(two.mean()),
        float(difference.mean()),
        bootstrap_interval(difference, level),
        only_first,
        only_second,
        float(p),
    )


def comparisons(
    runs: Mapping[str, Ranks], k: int = 1, baseline: str | None = None, level: float = LEVEL
) -> pd.DataFrame:
    """Compare runs by name, each with ``baseline`` or, without one, every pair; recalls and gains
    in percent points.

    ``p adjusted`` is corrected for the number of comparisons in this table (Benjamini and Hochberg
    1995: of the differences called real at 0.05, at most 5 % are expected not to be).

    Raises
    ------
    ValueError
        If the baseline is not among the runs, or there is nothing to compare.
    """
    if baseline is not None and baseline not in runs:
        raise ValueError(f"unknown baseline {baseline!r}; known: {', '.join(runs)}")
    pairs = (
        list(combinations(runs, 2))
        if baseline is None
        else [(baseline, name) for name in runs if name != baseline]
    )
    if not pairs:
        raise ValueError("a comparison needs at least two runs")
    rows = []
    for first, second in pairs:
        paired = compare(runs[first], runs[second], k, level)
        percent = (
            100 * value
            for value in (paired.recall_first, paired.recall_second, paired.gain, *paired.interval)
        )
        rows.append((first, second, *percent, paired.only_first, paired.only_second, paired.p))
    adjusted = false_discovery_control([row[-1] for row in rows])
    return pd.DataFrame([(*row, p) for row, p in zip(rows, adjusted)], columns=COMPARISON_COLUMNS)
