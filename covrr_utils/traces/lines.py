"""Traces written line by line: ``slot: assertion; assertion``, headings of any kind with the
content behind or below them, lists, YAML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from covrr_utils.traces.assertions import AFTER, BEFORE, BULLET, SPACES, label
from covrr_utils.traces.draft import Draft
from covrr_utils.traces.headings import Heading, heading, inline_slots
from covrr_utils.traces.trace import SLOTS

_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})[\w+-]*\s*$")

_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,}|={3,}|—{2,}|–{2,})\s*$")

_TITLE = re.compile(r"\s*#{1,6}\s")

_SCALAR = re.compile(r"\s*[|>][+-]?\s*$")

_QUOTED = re.compile(r"^\s*(?:>\s?)++")


_ASIDE = re.compile(
    r"[\W_]*(before|after)(?:\s+(?:the\s+)?(?:edit|state|states|change|video))?[\W_]*$",
    re.IGNORECASE,
)


def from_lines(text: str, form: str = "lines") -> Draft:
    """The slots of a text of lines.

    Lines before the first slot are dropped. A line that names no slot goes on with the slot above
    it, until a blank line; after that only bullets do, and, below a heading that stands alone,
    paragraphs while another slot follows. Slots within a line, and other words for a slot
    (`OTHER_WORDS`), are read where the slot stands at the beginning of no line.
    """
    reader = _Reader(Draft(form), _marked_up(text.strip().splitlines()))
    reader.read()
    return reader.draft


Row = tuple[str, Heading | None]


def _marked_up(lines: Sequence[str]) -> list[Row]:
    """The lines, each with the slot that it begins with; a line of several slots is cut."""
    if sum(line.lstrip().startswith(">") for line in lines) > 1:  # quoted as a whole
        lines = [_QUOTED.sub("", line, count=1) for line in lines]
    rows = [(line, heading(line)) for line in lines]
    if missing := _unnamed(rows):
        within = {slot for line in lines for _, slot in inline_slots(line)} & missing
        if len(within) + len(SLOTS) - len(missing) > 1:  # a single one may well be prose
            pieces = [piece for line in lines for piece in _cut(line, within)]
            rows = [(piece, heading(piece)) for piece in pieces]
    if missing := _unnamed(rows):
        rows = [(line, slot or _in_other_words(line, missing)) for line, slot in rows]
    return rows


def _unnamed(rows: Sequence[Row]) -> set[str]:
    """The slots that no line begins with."""
    return set(SLOTS) - {slot.slot for _, slot in rows if slot}


def _cut(line: str, slots: set[str]) -> list[str]:
    """The line, cut before every one of these slots that it names."""
    places = [place for place, slot in inline_slots(line) if slot in slots]
    return [line[begin:end] for begin, end in zip([0, *places], [*places, len(line)])]


def _in_other_words(line: str, slots: set[str]) -> Heading | None:
    """One of these slots, where the line begins with another word for it."""
    named = heading(line, other_words=True)
    return named if named and named.slot in slots else None


class _Reader:
    """Reads marked up lines from top to bottom. ``slot`` is the one that is open, ``side`` the side
    of the edit that was named last within it, ``outer`` the one named over several slots.
    """

    def __init__(self, draft: Draft, rows: Sequence[Row]):
        self.draft, self.rows = draft, rows
        self.last = max((i for i, (_, named) in enumerate(rows) if named), default=-1)
        self.before_slot = [False] * len(rows)  # whether a slot is the next that is named
        for i in range(len(rows) - 2, -1, -1):
            line, named = rows[i + 1]
            self.before_slot[i] = named is not None or (
                not line.strip() and self.before_slot[i + 1]
            )
        self.slot: str | None = None
        self.side: str | None = None
        self.outer: str | None = None
        self.alone = self.paragraph_over = self.repeating = False

    def read(self) -> None:
        for place, (line, named) in enumerate(self.rows):
            if named and not self._goes_on(named):
                self._open(line, named)
            elif not line.strip() or _RULE.match(line):
                self.paragraph_over = True
            elif _FENCE.match(line):
                self.draft.repairs.append("code fence dropped")
                self.paragraph_over = True
            elif aside := _ASIDE.match(line):
                self._turn(place, aside.group(1).lower())
            elif self.slot is None or self._ends(place, line):
                self._drop()
            else:
                self.draft.repairs.append(f"slot {self.slot!r}: continued on further lines")
                self._content(BULLET.sub("", line, count=1))

    def _goes_on(self, named: Heading) -> bool:
        """Whether a heading such as "object states" stands within the slot that is open."""
        return named.slot == self.slot and not named.plain and bool(self.draft.entries[named.slot])

    def _open(self, line: str, named: Heading) -> None:
        """Begin the slot of a heading, and read the content behind it."""
        slot, name = named.slot, named.name.lower()
        self.paragraph_over, self.side = False, named.side or self.outer
        if name != slot:
            self.draft.repairs.append(f"slot {name[:40]!r} read as {slot!r}")
        if not line.startswith(f"{name}:"):
            self.draft.repairs.append("markup around slot names")
        sides = {value.side for value in self.draft.entries.get(slot, [])}
        other_side = self.side and sides == {AFTER if self.side == BEFORE else BEFORE}
        self.slot = slot if other_side or self.draft.begin(slot) else None
        self.repeating = self.slot is None
        rest = "" if _SCALAR.match(named.rest) else named.rest
        self.alone = not rest.strip(SPACES + "*_`\"'[{(|>")
        if self.slot and not self.alone:
            self._content(rest)

    def _turn(self, place: int, side: str) -> None:
        """Go on with the values of one side: of the open slot, or of every slot that follows."""
        self.side, self.paragraph_over = side, False
        if self.before_slot[place]:
            self.outer, self.slot = side, None

    def _ends(self, place: int, line: str) -> bool:
        """Whether the open slot ends before this line."""
        if _TITLE.match(line):
            return True
        if not self.paragraph_over or BULLET.match(line) or label(line):
            return False
        return not (self.alone and (place < self.last or not self.draft.entries[str(self.slot)]))

    def _drop(self) -> None:
        """Leave out a line that belongs to no slot."""
        self.draft.repairs.append(
            "lines of a repeated slot dropped"
            if self.repeating
            else "prose around the trace dropped"
        )
        self.slot = None

    def _content(self, text: str) -> None:
        """What a line says of the open slot."""
        slot, side = str(self.slot), self.side
        named = label(text)
        if named and not named[1].strip(SPACES + "*_`\"'[{(|>"):
            self.side = named[0]
        elif text.rstrip(SPACES + "*_`\"'").endswith((":", "：")) and len(text.split()) > 3:
            self.draft.repairs.append(f"slot {slot!r}: introduction dropped")
        else:
            self.draft.add(slot, text, side)
