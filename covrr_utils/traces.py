"""The reasoning trace: what an edit changes, in five slots.

A trace is stage 1's output (paper, section "Reason"): for each of *states, actions, scene, camera, tempo* at most four atomic,
observable assertions. An assertion that changes is written ``before -> after``; one that stays is written once.

>>> trace = parse_trace("states: red egg; raw -> fried\\nactions: rests\\nscene: kitchen; day\\ncamera: static\\ntempo: slow")
>>> trace.states
('red egg', 'raw -> fried')
>>> trace.rows()[1]
('states', 'raw', 'fried')
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

SLOTS = ("states", "actions", "scene", "camera", "tempo")
MAX_ASSERTIONS = 4
ARROW = "->"
_ARROWS = re.compile(r"\s*(?:->|→|=>|⇒|⟶)\s*")
_SLOT_LINE = re.compile(rf"^[\s\-*#\"'{{]*({'|'.join(SLOTS)})[\s*\"']*[:=]\s*(.*)$", re.IGNORECASE)


class TraceError(ValueError):
    """A text from which no trace can be read."""


@dataclass(frozen=True)
class ReasoningTrace:
    """Five slots of assertions, each a tuple of at most four strings (``before -> after`` or one value)."""

    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    scene: tuple[str, ...] = ()
    camera: tuple[str, ...] = ()
    tempo: tuple[str, ...] = ()

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise TraceError(f"trace slot {field.name!r}: expected a tuple of strings, got {value!r}")
            if len(value) > MAX_ASSERTIONS:
                raise TraceError(f"trace slot {field.name!r}: {len(value)} assertions, at most {MAX_ASSERTIONS} allowed")

    def text(self) -> str:
        """The canonical text: one line per slot, assertions joined by ``"; "``. ``parse_trace`` reads it back unchanged."""
        return "\n".join(f"{slot}: {'; '.join(getattr(self, slot))}".rstrip() for slot in SLOTS)

    def rows(self) -> list[tuple[str, str, str]]:
        """``(slot, before, after)`` for every assertion, in slot order; before equals after where nothing changes."""
        return [(slot, *split_assertion(item)) for slot in SLOTS for item in getattr(self, slot)]

    def after(self) -> dict[str, tuple[str, ...]]:
        """Per slot, the values that hold once the edit has been made."""
        return {slot: tuple(split_assertion(item)[1] for item in getattr(self, slot)) for slot in SLOTS}

    def to_dict(self) -> dict[str, list[str]]:
        return {slot: list(getattr(self, slot)) for slot in SLOTS}

    @classmethod
    def from_dict(cls, data: dict) -> ReasoningTrace:
        """From ``{slot: [assertion, ...]}``. Unknown slots are a `TraceError`; missing ones are empty."""
        if not isinstance(data, dict):
            raise TraceError(f"a trace must be an object with the slots {', '.join(SLOTS)}, got {type(data).__name__}")
        if unknown := sorted(set(data) - set(SLOTS)):
            raise TraceError(f"unknown trace slots {unknown}; the slots are {', '.join(SLOTS)}")
        return cls(**{slot: tuple(items) if isinstance(items, list) else items for slot, items in data.items()})


def split_assertion(assertion: str) -> tuple[str, str]:
    """``"raw -> fried"`` -> ``("raw", "fried")``; ``"static"`` -> ``("static", "static")``."""
    parts = _ARROWS.split(assertion)
    return parts[0].strip(), parts[-1].strip()


def parse_trace(text: str) -> ReasoningTrace:
    """Read a trace from model output: lines ``slot: assertion; assertion``, in any order, with prose around them.

    Lines before the first slot are dropped; a line without a slot name continues the slot above it. Each slot keeps its first
    four assertions. A slot that is missing stays empty; when no slot at all is found, or all are empty, `TraceError` says so.
    """
    found: dict[str, list[str]] = {}
    current = None
    for line in text.splitlines():
        match = _SLOT_LINE.match(line)
        if match:
            current, line = match.group(1).lower(), match.group(2)
            if current in found:  # a repeated slot: the model has started over; the first statement counts
                current = None
                continue
            found[current] = []
        if current is None:
            continue
        for item in re.split(r"[;\n]", line):
            item = f" {ARROW} ".join(part for part in _ARROWS.split(item.strip(" \t-*,[]\"'}`.")) if part)
            if item:
                found[current].append(item)
    slots = {slot: tuple(items[:MAX_ASSERTIONS]) for slot, items in found.items() if items}
    if not slots:
        raise TraceError(
            f"no trace in {text[:80]!r}: expected lines such as 'states: raw -> fried' for the slots {', '.join(SLOTS)}"
        )
    return ReasoningTrace(**slots)
