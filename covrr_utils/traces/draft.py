"""A trace while it is being read: what was found for each slot, and what had to be mended."""

from __future__ import annotations

from dataclasses import dataclass, field

from covrr_utils.traces.assertions import Value, joined, values
from covrr_utils.traces.trace import ARROW, ARROWS, MAX_ASSERTIONS, SLOTS, ReasoningTrace


@dataclass
class Draft:
    """``form`` says how the trace is written: ``lines``, ``json``, ``table`` or ``tags``.
    ``entries`` holds the values of each slot in the order of the text; ``outside`` the text around
    a reading that leaves no doubt about what it covers.
    """

    form: str
    repairs: list[str] = field(default_factory=list)
    entries: dict[str, list[Value]] = field(default_factory=dict)
    outside: str | None = None

    def begin(self, slot: str) -> bool:
        """Open a slot; False where it holds something already: its first statement counts."""
        if self.entries.get(slot):
            self.repairs.append(f"slot {slot!r}: repeated, the first statement kept")
            return False
        self.entries.pop(slot, None)  # an empty one: the order of the full ones counts
        self.entries[slot] = []
        return True

    def add(self, slot: str, text: str, side: str | None = None) -> None:
        """Add what a piece of text says of a slot."""
        arrows = ARROWS.finditer(text)
        if any(text[max(0, m.start() - 1) : m.end() + 1] != f" {ARROW} " for m in arrows):
            self.repairs.append("arrows rewritten")
        self.entries.setdefault(slot, []).extend(values(text, side))

    def assertions(self) -> dict[str, list[str]]:
        """All assertions by slot, in the order of the text; slots without one are left out."""
        by_slot = {slot: joined(entries) for slot, entries in self.entries.items()}
        return {slot: items for slot, items in by_slot.items() if items}

    def trace(self) -> ReasoningTrace:
        """The trace, with everything that it lacks or exceeds among the repairs."""
        by_slot = self.assertions()
        for slot, entries in self.entries.items():
            if any(value.side for value in entries):
                self.repairs.append(f"slot {slot!r}: before and after joined")
        self.repairs += [
            f"slot {slot!r}: kept {MAX_ASSERTIONS} of {len(items)} assertions"
            for slot, items in by_slot.items()
            if len(items) > MAX_ASSERTIONS
        ]
        self.repairs += [f"slot {slot!r}: missing" for slot in SLOTS if slot not in by_slot]
        if list(by_slot) != [slot for slot in SLOTS if slot in by_slot]:
            self.repairs.append("slots in another order")
        return ReasoningTrace(
            **{slot: tuple(items[:MAX_ASSERTIONS]) for slot, items in by_slot.items()}
        )
