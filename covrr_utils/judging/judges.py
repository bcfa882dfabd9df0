"""The Reasoning Score, 0 to 10: how good is a trace? One interface, several judges; the judge's
name and version stand with every score.

    slots      against the gold trace, exact: precision, recall and F1 of the assertions of every
               slot, and of those that change
    overlap    the share of words that trace and gold have in common, both ways: a baseline, also
               where the gold is prose
    outcome    what the description after the edit says of the gold values: the one score that
               strategies without a trace have too
    model      a backbone or an endpoint with a rubric of ten dimensions
               (`covrr_utils.judging.model_judge`)

Every triplet counts: where the method wrote no usable trace, or an empty one, the score is 0 under
every judge. What a *judge* could not score (no gold to compare with, an endpoint that fails) has no
score; it is left out of the mean and counted by cause.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from covrr_utils.traces.matching import canonical_pairs, slot_words, stated_share, stems
from covrr_utils.traces.trace import SLOTS, ReasoningTrace

CHANGES = "changes"


@dataclass(frozen=True)
class Case:
    """What a judge may see of one triplet.

    ``failure`` is the cause where the method has nothing to show.
    """

    id: str
    edit: str
    trace: ReasoningTrace | None
    description: str | None = None
    gold: ReasoningTrace | None = None
    gold_text: str | None = None
    before: str | None = None
    after: str | None = None
    reference: str | None = None
    failure: str | None = None

    def judged_trace(self) -> ReasoningTrace:
        """The trace; `ValueError` for a case without one, about which no judge may be asked."""
        if self.trace is None:
            raise ValueError(f"case {self.id!r} has no trace to judge")
        return self.trace

    def judged_description(self) -> str:
        """The description; `ValueError` for a case without one."""
        if self.description is None:
            raise ValueError(f"case {self.id!r} has no description to judge")
        return self.description


@dataclass(frozen=True)
class Verdict:
    """One score in 0..10 with its parts (by slot or dimension, 0..1 or 0..10 as the judge says);
    None where the judge could not score.
    """

    id: str
    score: float | None
    parts: dict[str, float] = field(default_factory=dict)
    cause: str | None = None


class Judge(Protocol):
    """``reads`` is ``trace`` or ``description``: what of a case it scores."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def reads(self) -> str: ...

    def verdicts(self, cases: Sequence[Case]) -> list[Verdict]: ...


class CaseByCase(ABC):
    """What judges share that look at each case alone."""

    @abstractmethod
    def verdict(self, case: Case) -> Verdict: ...

    def verdicts(self, cases: Sequence[Case]) -> list[Verdict]:
        return [self.verdict(case) for case in cases]


def ratios(found: frozenset, gold: frozenset) -> tuple[float, float, float] | None:
    """Precision, recall and F1 of a set against a gold set, in 0..1; None where both are empty and
    there is nothing to measure.
    """
    if not found and not gold:
        return None
    both = len(found & gold)
    return (
        both / len(found) if found else 0.0,
        both / len(gold) if gold else 0.0,
        2 * both / (len(found) + len(gold)),
    )


def slot_ratios(
    trace: ReasoningTrace, gold: ReasoningTrace
) -> dict[str, tuple[float, float, float]]:
    """(precision, recall, F1) by slot over canonical assertions, exact; ``changes`` is the same
    over the assertions that change, of all slots.
    """
    ours, theirs = canonical_pairs(trace), canonical_pairs(gold)
    by_slot = {slot: ratios(ours[slot], theirs[slot]) for slot in SLOTS}
    by_slot[CHANGES] = ratios(
        *(
            frozenset((s, b, a) for s in SLOTS for b, a in side[s] if b != a)
            for side in (ours, theirs)
        )
    )
    return {name: value for name, value in by_slot.items() if value is not None}


@dataclass(frozen=True)
class SlotsJudge(CaseByCase):
    """``10 * (mean F1 of the slots + F1 of the changes) / 2``: half for saying what holds, half for
    finding what changes.

    Without the second half a trace that changes nothing would score high, since most of a video
    stays as it is. Where neither trace nor gold changes anything, the first half counts alone.
    Parts: ``<slot> precision``, ``<slot> recall``, ``<slot> f1`` in 0..1.
    """

    name: str = "slots"
    version: str = "slots-1"
    reads: str = "trace"

    def verdict(self, case: Case) -> Verdict:
        if case.gold is None:
            return Verdict(case.id, None, cause="no gold trace")
        by_slot = slot_ratios(case.judged_trace(), case.gold)
        slots = float(np.mean([by_slot[slot][2] for slot in SLOTS if slot in by_slot]))
        score = (slots + by_slot[CHANGES][2]) / 2 if CHANGES in by_slot else slots
        parts = {
            f"{name} {what}": value[i]
            for name, value in by_slot.items()
            for i, what in enumerate(("precision", "recall", "f1"))
        }
        return Verdict(case.id, 10 * score, parts)


@dataclass(frozen=True)
class OverlapJudge(CaseByCase):
    """10 x F1 of how far the gold's words are covered by the trace's (recall) and the trace's by
    the gold's (precision), slot by slot.

    Where the gold is prose the slots are ignored. Words have no direction: what holds before and
    what holds after count alike, so a trace in which nothing changes scores high here. A baseline,
    not a judge of reasoning.
    """

    name: str = "overlap"
    version: str = "overlap-1"
    reads: str = "trace"

    def verdict(self, case: Case) -> Verdict:
        gold = (
            _words(case.gold, by_slot=True) if case.gold else Counter(stems(case.gold_text or ""))
        )
        if not gold:
            return Verdict(case.id, None, cause="no gold text")
        ours = _words(case.judged_trace(), by_slot=case.gold is not None)
        both = (ours & gold).total()
        parts = {"precision": both / max(ours.total(), 1), "recall": both / gold.total()}
        return Verdict(case.id, 10 * 2 * both / (ours.total() + gold.total()), parts)


def _words(trace: ReasoningTrace, by_slot: bool) -> Counter:
    """How often each stem occurs, by slot or in the whole trace."""
    pairs = [
        (slot, stem) for slot in SLOTS for item in getattr(trace, slot) for stem in stems(item)
    ]
    return Counter(pairs if by_slot else [stem for _, stem in pairs])


@dataclass(frozen=True)
class OutcomeJudge(CaseByCase):
    """``10 * (share of gold values said + share of changed gold values said) / 2``: the description
    after the edit, by its words.
    """

    name: str = "outcome"
    version: str = "outcome-1"
    reads: str = "description"

    def verdict(self, case: Case) -> Verdict:
        if case.gold is None or not case.gold.rows():
            return Verdict(case.id, None, cause="no gold trace")
        words = slot_words(case.judged_description())
        rows = [
            (slot, before != after, stated_share(slot, after, words))
            for slot, before, after in case.gold.rows()
        ]
        changed = [share for _, changes, share in rows if changes]
        halves = [
            float(np.mean([share for _, _, share in rows])),
            *([float(np.mean(changed))] if changed else []),
        ]
        parts = {
            slot: float(np.mean(shares))
            for slot in SLOTS
            if (shares := [share for where, _, share in rows if where == slot])
        }
        return Verdict(case.id, 10 * float(np.mean(halves)), parts)


JUDGES: dict[str, Callable[[], Judge]] = {
    "slots": SlotsJudge,
    "overlap": OverlapJudge,
    "outcome": OutcomeJudge,
}
