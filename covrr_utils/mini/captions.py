"""The truth of a clip in words: the gold trace of an edit, and how descriptions and traces are read
back into the eight attributes.
"""

from __future__ import annotations

import re
from dataclasses import asdict

from covrr_utils.mini.world import ATTRIBUTES, SLOT_OF, Shot
from covrr_utils.traces.trace import ARROW, SLOTS, ReasoningTrace


def gold_trace(before: Shot, after: Shot) -> ReasoningTrace:
    """The trace that leads from ``before`` to ``after``; what stays is stated once."""

    def change(old: str, new: str) -> str:
        return old if old == new else f"{old} {ARROW} {new}"

    pairs = [(f"{before.colour} {before.kind}", f"{after.colour} {after.kind}", "states")]
    pairs += [
        (getattr(before, name), getattr(after, name), SLOT_OF[name]) for name in ATTRIBUTES[2:]
    ]
    return ReasoningTrace(
        **{
            slot: tuple(change(old, new) for old, new, where in pairs if where == slot)
            for slot in SLOTS
        }
    )


_DESCRIPTION = re.compile(
    r"The (?P<colour>\w+) (?P<kind>\w+) is (?P<state>\w+)\. It (?P<action>\w+)\. The scene is the"
    r" (?P<place>\w+) (?P<light>by day|at night)\. "
    r"The camera is (?P<camera>[\w\- ]+)\. The tempo is (?P<tempo>\w+)\."
)


def read_description(text: str) -> dict[str, str]:
    """The eight attributes a description states; empty when it does not have the five sentences."""
    match = _DESCRIPTION.match(text.strip())
    return {} if match is None else {**match.groupdict(), "light": match["light"].split()[-1]}


def read_trace(trace: ReasoningTrace) -> dict[str, str]:
    """The attributes that a trace says hold after the edit; those it leaves out are missing."""
    after = trace.after()
    colour, _, kind = (after["states"] or ("",))[0].partition(" ")
    values = {
        "colour": colour,
        "kind": kind,
        "state": "".join(after["states"][1:2]),
        "action": "".join(after["actions"][:1]),
        "place": "".join(after["scene"][:1]),
        "light": "".join(after["scene"][1:2]),
        "camera": "".join(after["camera"][:1]),
        "tempo": "".join(after["tempo"][:1]),
    }
    return {name: value for name, value in values.items() if value}


def slot_accuracy(stated: list[dict[str, str]], shots: list[Shot]) -> dict[str, float]:
    """Share of ``shots`` whose attribute is stated rightly, per attribute; what is not stated
    counts as wrong.
    """
    truths = [asdict(shot) for shot in shots]
    return {
        name: (
            sum(
                values.get(name) == truth[name]
                for values, truth in zip(stated, truths, strict=True)
            )
            / len(shots)
        )
        for name in ATTRIBUTES
    }
