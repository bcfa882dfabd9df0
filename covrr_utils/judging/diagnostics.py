"""Why a triplet was missed: which distractor came first, which slots were wrong, and whether a
better trace would have helped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.judging.distractors import Gallery, asked_rows
from covrr_utils.judging.scoring import Score
from covrr_utils.retrieval import metrics
from covrr_utils.traces.matching import (
    STATED,
    canonical_pairs,
    canonical_value,
    slot_words,
    stated_share,
)
from covrr_utils.traces.trace import SLOTS, ReasoningTrace

FAILED = "failed"

UNEXPLAINED = "unexplained"

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


@dataclass(frozen=True)
class Diagnosis:
    """One triplet of a result. ``kind`` says what came first instead of the target (None for a
    hit).

    The slots that are wrong, None where nothing can be told: in the trace, in the description after
    the edit, and in what the gallery says of the target.
    """

    id: str
    rank: int | None
    cause: str | None
    first: str | None
    kind: str | None
    trace_wrong: tuple[str, ...] | None
    said_wrong: tuple[str, ...] | None
    target_wrong: tuple[str, ...] | None

    @property
    def hit(self) -> bool:
        return self.rank == 1

    @property
    def stage(self) -> str:
        """The first stage with a mistake: trace, description, gallery (what it says of the target),
        else embedding; or failed, unexplained.
        """
        if self.rank is None:
            return FAILED
        if self.said_wrong is None or self.target_wrong is None:
            return UNEXPLAINED
        wrong = {
            "trace": self.trace_wrong,
            "description": self.said_wrong,
            "gallery": self.target_wrong,
        }
        return next((stage for stage, slots in wrong.items() if slots), "embedding")


def diagnose(run: Run, result: Result) -> list[Diagnosis]:
    """One diagnosis per triplet, in the benchmark's order.

    What came first is named by the labelled distractors where it is one of them, else by what its
    description says (`covrr_utils.judging.distractors`); ``failed`` where the triplet never got to
    a ranking, ``unexplained`` where there is no gold trace to tell by.
    """
    queries = run.queries(result.strategy)
    texts = {video: described.text for video, described in run.gallery().items()}
    found = []
    for triplet, row in zip(run.benchmark.triplets, result.queries, strict=True):
        query = queries.get(triplet.id)
        first = next((video for video in row["top"] if video != triplet.target), None)
        kind = (
            None
            if row["rank"] == 1
            else FAILED
            if row["rank"] is None
            else kind_of(triplet, first, texts)
        )
        found.append(
            Diagnosis(
                triplet.id,
                row["rank"],
                row["cause"],
                first,
                kind,
                (
                    wrong_in_trace(query.trace, triplet.gold_trace)
                    if query and query.trace and triplet.gold_trace
                    else None
                ),
                (
                    wrong_in_text(query.text, triplet.gold_trace)
                    if query and triplet.gold_trace
                    else None
                ),
                (
                    wrong_in_text(texts[triplet.target], triplet.gold_trace)
                    if triplet.target in texts and triplet.gold_trace
                    else None
                ),
            )
        )
    return found


def kind_of(triplet: Triplet, video: str, texts: dict[str, str]) -> str:
    """What a gallery video is to a triplet: the labelled kind, else the one its description speaks
    for, else ``unexplained``.
    """
    if labelled := [kind for kind, videos in triplet.distractors.items() if video in videos]:
        return labelled[0]
    if triplet.gold_trace is None or not triplet.gold_trace.rows() or video not in texts:
        return UNEXPLAINED
    return str(
        Gallery({video: texts[video]}).kinds(
            triplet.gold_trace, asked_rows(triplet.gold_trace, triplet.edit)
        )[0][0]
    )


def wrong_in_trace(trace: ReasoningTrace, gold: ReasoningTrace) -> tuple[str, ...]:
    """The slots whose assertions differ from the gold trace's, canonical form compared."""
    ours, theirs = canonical_pairs(trace), canonical_pairs(gold)
    return tuple(slot for slot in SLOTS if ours[slot] != theirs[slot])


def wrong_in_text(description: str, gold: ReasoningTrace) -> tuple[str, ...]:
    """The slots of which a description does not say every gold value after the edit."""
    words = slot_words(description)
    return tuple(
        dict.fromkeys(
            slot for slot, _, after in gold.rows() if stated_share(slot, after, words) < STATED
        )
    )


def misses_by_kind(diagnoses: Sequence[Diagnosis]) -> pd.DataFrame:
    """Share of the misses in percent that each kind of video explains, with 95% interval: kind, n,
    share, low, high, misses.
    """
    return _shares("kind", [diagnosis.kind for diagnosis in diagnoses if not diagnosis.hit])


def misses_by_stage(diagnoses: Sequence[Diagnosis]) -> pd.DataFrame:
    """Share of the misses in percent by the first stage that made a mistake (`Diagnosis.stage`):
    stage, n, share, low, high, misses.
    """
    return _shares("stage", [diagnosis.stage for diagnosis in diagnoses if not diagnosis.hit])


def _shares(what: str, values: Sequence[str]) -> pd.DataFrame:
    rows = []
    for value, count in Counter(values).most_common():
        low, high = metrics.recall_interval([1 if other == value else None for other in values], 1)
        rows.append((value, count, 100 * count / len(values), 100 * low, 100 * high, len(values)))
    return pd.DataFrame(rows, columns=[what, "n", "share", "low", "high", "misses"])


def wrong_slots(diagnoses: Sequence[Diagnosis]) -> pd.DataFrame:
    """Percent of hits and of misses in which each slot was wrong, in the trace and in the
    description; NaN where nothing could be compared.
    """
    rows = []
    for slot in SLOTS:
        row = {"slot": slot}
        for name, hit in (("hits", True), ("misses", False)):
            for where in ("trace", "description"):
                wrong = [
                    d.trace_wrong if where == "trace" else d.said_wrong
                    for d in diagnoses
                    if d.hit == hit
                ]
                known = [slot in slots for slots in wrong if slots is not None]
                row[f"{where}, {name}"] = 100 * float(np.mean(known)) if known else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def confusion(run: Run, strategy: str) -> pd.DataFrame:
    """Predicted against gold values after the edit, wrong ones only, the most frequent first: slot,
    gold, predicted, n.

    Within a slot the values that both name are taken out; what is left is paired in order, ``-``
    standing for a missing or superfluous one.
    """
    queries = run.queries(strategy)
    counts: Counter[tuple[str, str, str]] = Counter()
    for triplet in run.benchmark.triplets:
        trace = queries[triplet.id].trace if triplet.id in queries else None
        if trace is None or triplet.gold_trace is None:
            continue
        ours, theirs = _after(trace), _after(triplet.gold_trace)
        for slot in SLOTS:
            left = [value for value in theirs[slot] if value not in ours[slot]]
            extra = [value for value in ours[slot] if value not in theirs[slot]]
            for i in range(max(len(left), len(extra))):
                counts[slot, (left[i : i + 1] or ["-"])[0], (extra[i : i + 1] or ["-"])[0]] += 1
    return pd.DataFrame(
        [(*key, n) for key, n in counts.most_common()], columns=["slot", "gold", "predicted", "n"]
    )


def _after(trace: ReasoningTrace) -> dict[str, list[str]]:
    """Per slot, the canonical values after the edit, in the order written."""
    return {
        slot: [canonical_value(slot, value) for value in values]
        for slot, values in trace.after().items()
    }


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
        found = metrics.compare(base.ranks, ranks)
        percent = (
            100 * value
            for value in (found.recall_first, found.recall_second, found.gain, *found.interval)
        )
        rows.append((slot, len(traces), *percent, found.only_second, found.only_first, found.p))
    return pd.DataFrame(rows, columns=COUNTERFACTUAL_COLUMNS)
