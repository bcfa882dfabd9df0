"""Why a triplet was missed: which video came first, and which stage made the first mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.frames import pd
from covrr_utils.judging.kinds import FAILED, UNEXPLAINED, kind_of
from covrr_utils.retrieval import metrics
from covrr_utils.traces.matching import (
    STATED,
    canonical_pairs,
    canonical_value,
    slot_words,
    stated_share,
)
from covrr_utils.traces.trace import SLOTS, ReasoningTrace


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
    description_wrong: tuple[str, ...] | None
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
        if self.description_wrong is None or self.target_wrong is None:
            return UNEXPLAINED
        wrong = {
            "trace": self.trace_wrong,
            "description": self.description_wrong,
            "gallery": self.target_wrong,
        }
        return next((stage for stage, slots in wrong.items() if slots), "embedding")


def diagnose(run: Run, result: Result) -> list[Diagnosis]:
    """One diagnosis per triplet, in the benchmark's order.

    What came first is named by the labelled distractors where it is one of them, else by what its
    description says (`covrr_utils.judging.kinds`); ``failed`` where the triplet never got to
    a ranking, ``unexplained`` where there is no gold trace to tell by.
    """
    queries = run.queries(result.strategy)
    texts = {video: described.text for video, described in run.gallery().items()}
    diagnoses = []
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
        diagnoses.append(
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
    return diagnoses


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


def _shares(what: str, values: Sequence[str | None]) -> pd.DataFrame:
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
        row: dict[str, str | float] = {"slot": slot}
        for name, hit in (("hits", True), ("misses", False)):
            for where in ("trace", "description"):
                wrong = [
                    d.trace_wrong if where == "trace" else d.description_wrong
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
