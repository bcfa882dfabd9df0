"""How a slot is named in what models write: by its own name or another word for it, with marks,
numbers and notes around it, on a line of its own or in front of its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from covrr_utils.traces.assertions import SIDES
from covrr_utils.traces.trace import ARROWS, SLOTS

# Names of the slots, and what is read as one of them wherever it stands.
ALIASES = {
    "state": "states",
    "action": "actions",
    "scenes": "scene",
    "cameras": "camera",
    "tempi": "tempo",
    "tempos": "tempo",
}

NAMES = dict(zip(SLOTS, SLOTS)) | ALIASES

# Words that stand for a slot only where the text names the slot in no other way.
OTHER_WORDS = {
    **dict.fromkeys(("condition", "conditions", "attributes", "objects"), "states"),
    **dict.fromkeys(("activity", "activities", "behavior", "behaviour", "motion"), "actions"),
    **dict.fromkeys(("setting", "environment", "background", "location", "place"), "scene"),
    **dict.fromkeys(("framing", "shot", "cinematography", "viewpoint"), "camera"),
    **dict.fromkeys(("pace", "pacing", "speed", "rhythm"), "tempo"),
}

# Words that may stand beside a slot's name: "Object states", "Camera movement", "Scene / setting".
_BESIDE = {
    *(
        "the",
        "trace",
        "object",
        "objects",
        "subject",
        "overall",
        "main",
        "key",
        "visual",
        "video",
        "final",
    ),
    *("new", "change", "changes", "transition", "transitions", "movement", "movements", "work"),
    *(
        "angle",
        "angles",
        "position",
        "and",
        "or",
        "of",
        "in",
        "lighting",
        "light",
        "slot",
        "effect",
    ),
    *("effects", "description", "details", "observation", "observations", "updated", "expected"),
    *OTHER_WORDS,
}

# full-width letters, digits and signs as the plain ones: one for one, so that places stay the same
PLAIN = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: " ", 0x2236: ":", 0xFE55: ":"}

_NOTE = r"\s*[(\[【][^()\[\]【】\n]{0,80}[)\]】]|\s*before\s*(?:->|→|/|and|to)\s*after(?=\s*:)"

# Nothing in it is tried twice (the possessive quantifiers), so that it is linear in the line.
_HEADING = re.compile(
    r"(?P<lead>[\W_]*+(?:(?:(?:slot|step|part)\s*)?(?:\d{1,3}|[①-⑳❶-➓]|[a-z]{1,4}[.)])[\W_]*+"
    r"|slot[\W_]++)?)"
    r"(?P<phrase>[^\W\d_]++(?:(?:\s?[/&+,]\s?|[ '_-]|'s )[^\W\d_]++){0,4})"
    rf"(?P<end_mark>[*_`]{{0,3}})(?P<note>(?:\(s\))?(?:{_NOTE})?)(?P<marks>[\s*_`\"'\])}}>】」』〉》]*+)"
    r"(?:(?P<colon>[:=](?!=))|(?P<end>$)|(?P<dash>(?<=\s)[-–—](?=\s)|[-–=]*>|→|⇒|(?<=\t)))?",
    re.IGNORECASE,
)

_INLINE = re.compile(
    r"(?<=[\s;|,.，；、。\"'])(?<!and )(?<!or )(?<![&/+] )"
    r"[*_`\"'(\[【-]{0,3}(?:\d{1,2}[.)]\s?)?[*_`\"']{0,3}"
    rf"(?=({'|'.join(sorted(NAMES, key=len, reverse=True))})"
    r"(?:\s?\([^()\n]{0,80}\))?[*_`\"'\])】\s]{0,4}[:=](?!=))",
    re.IGNORECASE,
)

# "== States ==": the same marks on both sides
_FRAME = re.compile(r"\s*([-=~#*+])\1+\s*([^\W_].{0,80}?)\s*\1{2,}\s*$")

_CLOSING = set("*_`])}>】」』〉》")

_SIDE_WORD = re.compile(r"(?<![^\W_])(before|after|initial|final)(?![^\W_])", re.IGNORECASE)

LOOKED_AT = 200  # characters of a line in which its heading must stand


@dataclass(frozen=True)
class Heading:
    """A slot named at the beginning of a line: ``plain`` where just its name stands there, ``rest``
    the content behind it, ``side`` the side of the edit that a note names.
    """

    slot: str
    name: str
    plain: bool
    rest: str
    side: str | None = None


def slot_of(name: str, other_words: bool = False) -> str | None:
    """The slot that a name, a key or a table's cell stands for, None where it stands for none.

    >>> slot_of("Camera movement"), slot_of("2. object_states"), slot_of("sound")
    ('camera', 'states', None)
    """
    words = re.findall(
        r"[^\W\d_]+", name[:LOOKED_AT].translate(PLAIN).casefold().replace("(s)", "")
    )
    words = [word for word in words if word != "s"]
    slots = {NAMES[word] for word in words if word in NAMES}
    if not slots and other_words:
        slots = {OTHER_WORDS[word] for word in words if word in OTHER_WORDS}
    if len(slots) != 1 or not all(word in NAMES or word in _BESIDE for word in words):
        return None
    return slots.pop()


def slot_and_side(name: str, other_words: bool = False) -> tuple[str | None, str | None]:
    """The slot and the side of the edit that a name stands for, None each where for none.

    >>> slot_and_side("states_before"), slot_and_side("Camera (after)"), slot_and_side("tempo")
    (('states', 'before'), ('camera', 'after'), ('tempo', None))
    """
    sides = {SIDES[word.lower()] for word in _SIDE_WORD.findall(name[:LOOKED_AT])}
    slot = slot_of(_SIDE_WORD.sub("", name[:LOOKED_AT]), other_words)
    return slot, sides.pop() if len(sides) == 1 else None


def heading(line: str, other_words: bool = False) -> Heading | None:
    """The slot that a line begins with; None where it begins with none."""
    framed = _FRAME.match(line) if len(line) <= LOOKED_AT else None
    line = framed.group(2) + ":" if framed else line
    match = _HEADING.match(line[:LOOKED_AT].translate(PLAIN))
    if match is None:
        return None
    name, note = match["phrase"], match["note"]
    slot = slot_and_side(name, other_words)[0]
    if slot is None:
        return None
    side = slot_and_side(f"{name} {note}")[1]
    plain = name.casefold() in NAMES
    marked = bool(match["lead"].strip()) and not _CLOSING.isdisjoint(
        match["end_mark"] + match["marks"]
    )
    if match["colon"] or (match["dash"] is not None and plain):
        return Heading(slot, name, plain, line[match.end() :], side)
    if match["end"] is not None and len(line) <= LOOKED_AT:
        alone = plain or marked or "#" in match["lead"]
        return Heading(slot, name, plain, _content_of_note(note), side) if alone else None
    return Heading(slot, name, plain, line[match.end() :], side) if marked else None


def _content_of_note(note: str) -> str:
    """What a note such as ``(raw -> fried)`` says; nothing where it is ``(before -> after)``."""
    inner = note.strip(" ()[]【】")
    return inner if ARROWS.search(inner) and "before" not in inner.casefold() else ""


def inline_slots(line: str) -> Iterator[tuple[int, str]]:
    """Where further slots begin within a line, ``a: x; b: y``: (place, slot) each."""
    for match in _INLINE.finditer(line.translate(PLAIN)):
        yield match.start(), NAMES[match.group(1).casefold()]
