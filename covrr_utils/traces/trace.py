"""The reasoning trace: what an edit changes, in five slots.

A trace is stage 1's output (paper, section "Reason"): for each of *states, actions, scene, camera,
tempo* at most four atomic, observable assertions. An assertion that changes is written ``before ->
after``; one that stays is written once.

>>> trace = ReasoningTrace(states=("red egg", "raw -> fried"), tempo=("slow",))
>>> trace.rows()[1]
('states', 'raw', 'fried')

Models are asked for such lines, or for the same as JSON (`TraceSchema`). What they write instead is
read all the same where it can be, and everything that had to be mended on the way is named:
`read_trace_text`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SLOTS = ("states", "actions", "scene", "camera", "tempo")

MAX_ASSERTIONS = 4

ARROW = "->"

# Every arrow that is written for ARROW: of ASCII, typographic and full-width dashes, of HTML and
# of LaTeX. Each run of dashes is looked at once, so that a line of them costs no more than others.
_DASHES = "-‐‑–—−﹣－"
ARROWS = re.compile(
    rf"(?<![{_DASHES}])[{_DASHES}]+(?:[>＞]|&gt;)|(?<![=＝])[=＝]+(?:[>＞]|&gt;)|[~～][>＞]"
    r"|[→⇒⇨↦⇾⟶⟹⟼➔➙➛➜➝➞➟➠➡➢➤➪⮕▶►▸🡒🡆]\ufe0f?|&[rR]arr;"
    r"|\$?\\(?:[lL]ong)?[rR]ightarrow\b\$?|\$?\\to\b\$?"
)


class TraceError(ValueError):
    """A text from which no trace can be read."""


@dataclass(frozen=True)
class ReasoningTrace:
    """Five slots of assertions, each a tuple of at most four strings (``before -> after`` or one
    value).
    """

    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    scene: tuple[str, ...] = ()
    camera: tuple[str, ...] = ()
    tempo: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise TraceError(
                    f"trace slot {field.name!r}: expected a tuple of strings, got {value!r}"
                )
            if len(value) > MAX_ASSERTIONS:
                raise TraceError(
                    f"trace slot {field.name!r}: {len(value)} assertions, at most {MAX_ASSERTIONS}"
                    " allowed"
                )

    def text(self) -> str:
        """The canonical text: one line per slot, assertions joined by ``"; "``.

        ``parse_trace`` reads it back unchanged.
        """
        return "\n".join(f"{slot}: {'; '.join(getattr(self, slot))}".rstrip() for slot in SLOTS)

    def rows(self) -> list[tuple[str, str, str]]:
        """``(slot, before, after)`` for every assertion, in slot order; before equals after where
        nothing changes.
        """
        return [(slot, *split_assertion(item)) for slot in SLOTS for item in getattr(self, slot)]

    def after(self) -> dict[str, tuple[str, ...]]:
        """Per slot, the values that hold once the edit has been made."""
        return {
            slot: tuple(split_assertion(item)[1] for item in getattr(self, slot)) for slot in SLOTS
        }

    def missing(self) -> tuple[str, ...]:
        """The slots of which the trace says nothing."""
        return tuple(slot for slot in SLOTS if not getattr(self, slot))

    def to_dict(self) -> dict[str, list[str]]:
        return {slot: list(getattr(self, slot)) for slot in SLOTS}

    @classmethod
    def from_dict(cls, data: dict) -> ReasoningTrace:
        """From ``{slot: [assertion, ...]}``. Unknown slots are a `TraceError`; missing ones are
        empty.
        """
        if not isinstance(data, dict):
            raise TraceError(
                f"a trace must be an object with the slots {', '.join(SLOTS)}, got"
                f" {type(data).__name__}"
            )
        if unknown := sorted(set(data) - set(SLOTS)):
            raise TraceError(f"unknown trace slots {unknown}; the slots are {', '.join(SLOTS)}")
        return cls(
            **{
                slot: tuple(items) if isinstance(items, list) else items
                for slot, items in data.items()
            }
        )


Assertions = Annotated[
    list[Annotated[str, StringConstraints(min_length=1)]],
    Field(min_length=1, max_length=MAX_ASSERTIONS),
]


class TraceSchema(BaseModel):
    """The trace as JSON: every slot present, with one to four assertions each, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True)

    states: Assertions
    actions: Assertions
    scene: Assertions
    camera: Assertions
    tempo: Assertions


def split_assertion(assertion: str) -> tuple[str, str]:
    """``"raw -> fried"`` -> ``("raw", "fried")``; ``"static"`` -> ``("static", "static")``."""
    parts = ARROWS.split(assertion)
    return parts[0].strip(), parts[-1].strip()
