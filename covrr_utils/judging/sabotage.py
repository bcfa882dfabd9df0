"""Traces that a judge must not like: the test of the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from covrr_utils.judging.judges import Case
from covrr_utils.traces.trace import SLOTS, ReasoningTrace


def sabotaged(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """The cases with traces that a judge must not like: the test of the test.

    ``another's`` gives every case its neighbour's trace, ``slots mixed up`` moves every slot's
    assertions to the next slot, ``nothing changes`` keeps only what holds before the edit,
    ``empty`` says nothing.
    """
    usable = [case for case in cases if case.trace is not None]
    moved = [replace(case, trace=usable[i - 1].trace) for i, case in enumerate(usable)]
    return {
        "as written": usable,
        "another's": moved,
        "slots mixed up": [replace(case, trace=mixed_up(case.judged_trace())) for case in usable],
        "nothing changes": [replace(case, trace=unchanged(case.judged_trace())) for case in usable],
        "empty": [replace(case, trace=ReasoningTrace()) for case in usable],
    }


def mixed_up(trace: ReasoningTrace, by: int = 1) -> ReasoningTrace:
    """The trace with every slot's assertions moved on by so many slots, the last to the first."""
    return ReasoningTrace(**{slot: getattr(trace, SLOTS[i - by]) for i, slot in enumerate(SLOTS)})


def unchanged(trace: ReasoningTrace) -> ReasoningTrace:
    """The trace with every ``before -> after`` cut down to ``before``."""
    return ReasoningTrace(
        **{
            slot: tuple(before for where, before, _ in trace.rows() if where == slot)
            for slot in SLOTS
        }
    )
