"""What the quality of traces means for retrieval: do better traces find more, and what would one
right slot have been worth?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.frames import pd
from covrr_utils.judging.diagnostics import wrong_in_trace
from covrr_utils.judging.scoring import Score
from covrr_utils.retrieval import metrics
from covrr_utils.traces.trace import SLOTS

COUNTERFACTUAL_COLUMNS = (
    "slot",
    "replaced",
    "R@1",
    "R@1 with gold",
    "gain",
    "low",
    "high",
    "newly found",
    "newly lost",
    "p",
)


def quality_and_retrieval(score: Score, result: Result) -> tuple[dict[str, float], pd.DataFrame]:
    """Does trace quality predict retrieval? Spearman's rho of score and reciprocal rank (0 for a
    failed triplet) with interval; and R@1 in percent with interval among the best third of the
    scores, with all that are as good, and the lower and upper half of the others (ties stay
    together, so there may be fewer groups)."""
    if len(score.verdicts) != len(result.queries):
        raise ValueError(
            f"{len(score.verdicts)} scores for {len(result.queries)} triplets; both must come from"
            " the same run"
        )
    pairs = [
        (v.score, rank) for v, rank in zip(score.verdicts, result.ranks) if v.score is not None
    ]
    if not pairs:
        raise ValueError(f"{score.judge} has scored no triplet: {score.causes}")
    scores = np.array([value for value, _ in pairs])
    rho, low, high = metrics.rank_correlation(
        scores, [1 / rank if rank else 0.0 for _, rank in pairs]
    )
    others = scores[scores < np.quantile(scores, 2 / 3)]
    edges = [np.median(others), others.max()] if others.size else []
    places = np.digitize(scores, edges, right=True)
    rows = []
    for number in sorted(set(places.tolist())):
        ranks, group = (
            [rank for (_, rank), place in zip(pairs, places) if place == number],
            scores[places == number],
        )
        percent = (
            100 * value
            for value in (metrics.recall_at(ranks, 1), *metrics.recall_interval(ranks, 1))
        )
        rows.append((f"{group.min():.1f} to {group.max():.1f}", len(ranks), *percent))
    table = pd.DataFrame(rows, columns=["score", "n", "R@1", "low", "high"])
    return {"spearman": rho, "low": low, "high": high, "n": len(pairs)}, table


def counterfactual(
    run: Run, strategy: str = "two_stage", slots: Sequence[str] = SLOTS
) -> pd.DataFrame:
    """Replace one slot of every written trace by the gold one, describe again, rank again: what
    would a right slot have been worth?

    Only triplets whose slot was wrong are described again. Per slot: ``replaced``, R@1 before and
    after in percent, the gain in points over all triplets with its paired bootstrap interval, how
    many were newly found and newly lost, McNemar's p.
    """
    base = run.evaluate(strategy, save=False)
    written = {id_: query.trace for id_, query in run.queries(strategy).items() if query.trace}
    gold = {
        triplet.id: triplet.gold_trace
        for triplet in run.benchmark.triplets
        if triplet.gold_trace is not None and triplet.id in written
    }
    if not gold:
        raise ValueError(
            f"the counterfactual needs traces of {strategy!r} and gold traces; {run.benchmark.name}"
            " has none in common"
        )
    rows = []
    for slot in slots:
        traces = {
            id_: replace(written[id_], **{slot: getattr(right, slot)})
            for id_, right in gold.items()
            if slot in wrong_in_trace(written[id_], right)
        }
        name = f"{strategy} with gold {slot}"
        run.given(name, traces)
        new = run.evaluate(name, save=False).ranks if traces else base.ranks
        ranks = [
            new[i] if triplet.id in traces else base.ranks[i]
            for i, triplet in enumerate(run.benchmark.triplets)
        ]
        comparison = metrics.compare(base.ranks, ranks)
        percent = (
            100 * value
            for value in (
                comparison.recall_first,
                comparison.recall_second,
                comparison.gain,
                *comparison.interval,
            )
        )
        rows.append(
            (
                slot,
                len(traces),
                *percent,
                comparison.only_second,
                comparison.only_first,
                comparison.p,
            )
        )
    return pd.DataFrame(rows, columns=COUNTERFACTUAL_COLUMNS)
