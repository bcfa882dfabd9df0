"""One run under the rules of others: does the reference take part in its own ranking, and whom does
a tie favour? Published systems differ in both, so their recalls differ for the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.frames import pd
from covrr_utils.retrieval import metrics
from covrr_utils.retrieval.ranking import TIE, rank_of_target
from covrr_utils.retrieval.scores import Scores


def _optimistic(scores: Float[np.ndarray, " G"], target: int, excluded: Iterable[int]) -> int:
    """1 + the number of other videos that score higher than the target."""
    taking_part = np.ones(len(scores), bool)
    taking_part[list(excluded)] = False
    return 1 + int((scores[taking_part] > scores[target] + TIE).sum())


TIE_RULES: dict[str, Callable[[Float[np.ndarray, " G"], int, set[int]], int]] = {
    "against the query": rank_of_target,  # the rule of this workbook
    "for the query": _optimistic,
}

MASKING = {"reference left out": True, "reference in": False}


def under_protocols(benchmark: Benchmark, scores: Scores) -> pd.DataFrame:
    """Recalls of the same scores under both maskings and both tie rules, in percent; ``tied``: the
    triplets whose target scores the same as another video.

    Every triplet counts, as ever. A reference that is the target of its own triplet is never left
    out.

    Raises
    ------
    ValueError
        If the benchmark has no targets, or a score is NaN.
    """
    benchmark.require_targets()
    rows = []
    for masking, exclude in MASKING.items():
        ranks = {rule: _ranks(benchmark, scores, exclude, rule) for rule in TIE_RULES}
        tied = sum(one != other for one, other in zip(*ranks.values(), strict=True))
        for rule, rule_ranks in ranks.items():
            recall = {f"R@{k}": 100 * value for k, value in metrics.recalls(rule_ranks).items()}
            rows.append(
                {"masking": masking, "ties": rule, "N": len(rule_ranks), **recall, "tied": tied}
            )
    return pd.DataFrame(rows)


def _ranks(
    benchmark: Benchmark, scores: Scores, exclude_reference: bool, rule: str
) -> list[int | None]:
    """The rank of every triplet's target; None where query or target has no scores."""
    ruled = replace(benchmark, exclude_reference=exclude_reference)
    places = {video: place for place, video in enumerate(scores.videos)}
    outside = ruled.outside(scores.videos)
    ranks: list[int | None] = []
    for triplet in ruled.triplets:
        if triplet.id not in scores.by_query or triplet.target not in places:
            ranks.append(None)
            continue
        row, target = np.asarray(scores.by_query[triplet.id]), places[triplet.target]
        if np.isnan(row).any():
            raise ValueError("scores contain NaN; they cannot be ranked")
        left_out = ruled.left_out(triplet, places, outside) - {target}
        ranks.append(TIE_RULES[rule](row, target, left_out))
    return ranks
