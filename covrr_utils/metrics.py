"""Recall with honest denominators, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import binomtest

KS = (1, 5, 10, 50)


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """Share of *all* triplets whose target ranks within the first k, in 0..1. ``None`` (a failed triplet) is a miss.

    Raises
    ------
    ValueError
        If there are no triplets, or a rank is below 1.
    """
    if not len(ranks):
        raise ValueError("recall of no triplets is undefined")
    if any(rank is not None and rank < 1 for rank in ranks):
        raise ValueError("ranks start at 1")
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def recalls(ranks: Sequence[int | None], ks: Sequence[int] = KS) -> dict[str, float]:
    """Recall at each k: ``{"1": ..., "5": ...}``."""
    return {str(k): recall_at(ranks, k) for k in ks}


def recall_interval(ranks: Sequence[int | None], k: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of recall at k, triplets taken as independent draws (Wilson 1927)."""
    hits = sum(rank is not None and rank <= k for rank in ranks)
    found = binomtest(hits, len(ranks)).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)
