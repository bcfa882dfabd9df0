"""From scores to a result: `rank` is a pure function, it needs no model and no store.

Every triplet counts: what failed is in the result, by cause, and in the denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from covrr_utils.benchmarks.benchmark import Benchmark, Triplet
from covrr_utils.experiments.results import Method, QueryRank, Recalls, Result
from covrr_utils.retrieval import metrics
from covrr_utils.retrieval.scores import Scores

SHOWN = 10  # how many of the best gallery videos a result keeps per query


def rank(benchmark: Benchmark, scores: Scores, method: Method) -> Result:
    """The result of ranking the gallery by ``scores`` for every triplet of the benchmark.

    A triplet whose query or target is among the failures is a miss with that cause. ``method`` says
    where the scores come from and goes into the result as it is.

    Raises
    ------
    ValueError
        If no video of the gallery has scores, or the benchmark has no targets.
    """
    if not scores.videos:
        raise ValueError(
            f"no video of the gallery {benchmark.gallery_name!r} could be described;"
            " `covrr check` says what is there"
        )
    benchmark.require_targets()
    places = {video: place for place, video in enumerate(scores.videos)}
    rows = [_row(triplet, scores) for triplet in benchmark.triplets]
    _rank(benchmark, scores, rows, places)
    ranks = [row["rank"] for row in rows]
    total = _recalls(rows)
    return Result(
        kind=f"measured here, {benchmark.kind}",
        benchmark=method.benchmark,
        gallery=benchmark.gallery_name,
        gallery_size=len(benchmark.gallery),
        gallery_coverage=len(scores.videos) / len(benchmark.gallery),
        backbone=method.backbone,
        weights_hash=method.weights_hash,
        strategy=method.strategy,
        pooling=method.pooling,
        scheme=method.scheme,
        source=method.source,
        seed=method.seed,
        triplets=total["triplets"],
        coverage=sum(rank is not None for rank in ranks) / len(rows),
        recall=total["recall"],
        interval={str(k): metrics.recall_interval(ranks, k) for k in metrics.KS},
        failures=dict(Counter(row["cause"] for row in rows if row["cause"])),
        grammar=method.grammar,
        present=total["present"],
        recall_present=total["recall_present"],
        protocol=benchmark.protocol,
        reference_excluded=benchmark.exclude_reference,
        prompt_style=method.prompt_style,
        samples=method.samples,
        limit=method.limit,
        labels_hash=method.labels_hash,
        descriptions_key=method.descriptions_key,
        files=dict(method.files),
        options=dict(method.options),
        sections=_sections(benchmark, rows),
        queries=rows,
    )


def _row(triplet: Triplet, scores: Scores) -> QueryRank:
    """What is known of one triplet before it is ranked: the cause of a miss, where it failed."""
    if triplet.target is None:
        raise ValueError(f"triplet {triplet.id} has no target, others have; give it one")
    failures = [
        failed[id_]
        for failed, id_ in (
            (scores.failures, triplet.id),
            (scores.gallery_failures, triplet.target),
        )
        if id_ in failed
    ]
    return QueryRank(
        triplet=triplet.id,
        rank=None,
        cause=f"{failures[0].stage}: {failures[0].cause}" if failures else None,
        target=triplet.target,
        reference=triplet.reference,
        present=not any(failure.stage == "video" for failure in failures),
        top=[],
        scores=[],
    )


def _rank(
    benchmark: Benchmark, scores: Scores, rows: Sequence[QueryRank], places: Mapping[str, int]
) -> None:
    """Give every row that has not failed its target's rank and the best videos."""
    outside = benchmark.outside(scores.videos)
    whole = [
        (row, benchmark.left_out(triplet, places, outside))
        for row, triplet in zip(rows, benchmark.triplets, strict=True)
        if row["cause"] is None
    ]
    ranked = scores.ranked(
        [row["triplet"] for row, _ in whole],
        [places[row["target"]] for row, _ in whole],
        [left_out for _, left_out in whole],
        SHOWN,
    )
    for (row, _), ranking in zip(whole, ranked, strict=True):
        row["rank"] = ranking.rank
        row["top"] = [scores.videos[place] for place in ranking.places]
        row["scores"] = [round(float(score), 6) for score in ranking.scores]


def _sections(benchmark: Benchmark, rows: Sequence[QueryRank]) -> dict[str, Recalls]:
    """The recalls of every section, where the labels have several."""
    if len(benchmark.sections) < 2:
        return {}
    homes = [triplet.section for triplet in benchmark.triplets]
    return {
        section: _recalls([row for row, home in zip(rows, homes, strict=True) if home == section])
        for section in dict.fromkeys(homes)
    }


def _recalls(rows: Sequence[QueryRank]) -> Recalls:
    """Number and recall of all triplets, and of those present: whose reference and target could be
    read as videos.
    """
    present = [row["rank"] for row in rows if row["present"]]
    return Recalls(
        triplets=len(rows),
        recall=metrics.recalls([row["rank"] for row in rows]),
        present=len(present),
        recall_present=metrics.recalls(present) if present else {},
    )
