"""Single assertions out of what is written for a slot: lists of every kind are taken apart, marks
are removed, arrows of every kind become ``->``, and a *before* is joined with its *after*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from covrr_utils.traces.trace import ARROW, ARROWS

BEFORE, AFTER = "before", "after"

# What is written over, or in front of, the values that hold before the edit, and after it.
SIDES = {
    **dict.fromkeys(
        ("before", "initial", "initially", "original", "originally", "old", "from", "was", "pre")
        + ("prior", "start", "reference", "source", "current", "currently"),
        BEFORE,
    ),
    **dict.fromkeys(
        ("after", "afterwards", "final", "finally", "new", "to", "becomes", "post", "then", "now")
        + ("result", "end", "target", "edited", "updated"),
        AFTER,
    ),
}

# Names that stand in front of values and say nothing of their own.
PLAIN_NAMES = {
    *("assertion", "assertions", "value", "values", "text", "description", "change", "changes"),
    *("fact", "facts", "statement", "content", "items", "list", "transition", "details"),
}

# What is said of a value that stays as it was.
UNCHANGED = {"same", "unchanged", "no change", "no changes", "not changed", "〃", "″", "="}

SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + "\u200b\ufeff\ufe0f"

_EDGES = SPACES + "-*•,[]\"'}`."

_WIDE_EDGES = _EDGES + "_|{:：∶，、。．・‣▪●◦–—“”„‘’«»‹›「」『』【】［］\\"

# what follows the sign of a number
_NUMBER = re.compile(r"\.?[$€£¥]?\.?\d|∞")

_TAIL = r"(?:[\s_]+(?:the[\s_]+)?(?:edit|state|change|video|value)s?)?[\s*_\"'`]*[:=：＝](?!=)"

_LABEL = re.compile(
    rf"[\W_]*({'|'.join(sorted(SIDES, key=len, reverse=True))}){_TAIL}(.*)",
    re.IGNORECASE | re.DOTALL,
)

_SECOND_LABEL = re.compile(
    rf"\b(?:{'|'.join(name for name, side in SIDES.items() if side == AFTER)}){_TAIL}",
    re.IGNORECASE,
)

_BOTH_LABELS = re.compile(
    r"[\W_]*before\s*(?:->|→|/|&|and|to|vs\.?)\s*after[\s*_\"'`)]*[:=：]", re.IGNORECASE
)

_PLAIN_LABEL = re.compile(
    rf"[\W_]*(?:{'|'.join(sorted(PLAIN_NAMES, key=len, reverse=True))})[\s*_\"'`]*[:=：＝](?!=)",
    re.IGNORECASE,
)

# "raw (before), fried (after)"
_NOTED = re.compile(r"[(\[（](before|after)[)\]）][,，;]?", re.IGNORECASE)

_NOTE = re.compile(r"[(\[（](?:before|after|initial|final)[)\]）]$", re.IGNORECASE)

_BREAKS = re.compile(r"[;；؛\u037e。\r\n\v\f\x1c-\x1e\x85\u2028\u2029]|\\n|\s[|｜•·・‣▪●◦]\s")

_COMMAS = re.compile(r"[,，、]")

_QUOTED_COMMAS = re.compile(r"(?<=[\"'”]),|,(?=\s?[\"'“{])")

_COUNTS = re.compile(r"(?:^|(?<=\s))[(（]?(\d{1,2})[.)）]\s")

BULLET = re.compile(r"^\s*(?:[-*+•·・‣▪●◦–—]|#{1,6}|[(（]?\d{1,3}[.)）、]|[①-⑳❶-➓])\s+")


@dataclass(frozen=True)
class Value:
    """One value of a slot: on one ``side`` of the edit (`BEFORE`, `AFTER`), or for both (None).
    ``written`` is how it stood, with its label.
    """

    text: str
    side: str | None = None
    written: str = ""


def clean(item: str) -> str:
    """One assertion without list marks and quotes around its parts, its arrow written ``->``. A
    number keeps its sign and its point.

    >>> clean("- 'raw' => \\"fried\\",")
    'raw -> fried'
    >>> clean("-5 degrees → -20 degrees")
    '-5 degrees -> -20 degrees'
    """
    return f" {ARROW} ".join(part for piece in ARROWS.split(item) if (part := _bare(piece, _EDGES)))


def _bare(text: str, edges: str) -> str:
    """``text`` without ``edges`` at both ends; the sign and the point of a number stay."""
    text = text.rstrip(edges)
    begin = len(text) - len(text.lstrip(edges))
    if begin and text[begin].isdigit() and text[begin - 1] == "." and text[begin - 2] != ".":
        begin -= 1
    signed = begin > 0 and text[begin - 1] in "-–—" and _NUMBER.match(text, begin)
    return ("-" if signed else "") + text[begin:]


def _tidy(item: str) -> str:
    """`clean`, and without emphasis, other languages' quotes, and labels such as ``(before)``."""
    plain = item.replace("**", "").replace("__", "").replace("`", "")
    pieces = ARROWS.split(plain)
    parts = []
    for piece in pieces:
        part = _NOTE.sub("", piece.strip(SPACES))
        side = label(part) if len(pieces) > 1 else None
        parts.append(_bare(side[1] if side else part, _WIDE_EDGES))
    return clean(f" {ARROW} ".join(part for part in parts if part))


def separate(text: str) -> list[str]:
    """The assertions in a piece of text, as they stand: the items of a bracketed list, of a
    numbered or bulleted one, or what semicolons divide. Commas divide where several changes would
    else run into each other.

    >>> separate("raw -> fried, cold -> hot; red egg")
    ['raw -> fried', ' cold -> hot', ' red egg']
    """
    parts: list[str] = []
    for item in _listed(text):
        for part in _BREAKS.split(item):
            for piece in _numbered(part):
                clauses = _COMMAS.split(piece)
                changes = sum(ARROWS.search(clause) is not None for clause in clauses)
                parts += clauses if changes > 1 else [piece]
    return [bare for part in parts if (bare := BULLET.sub("", part, count=1)).strip(SPACES)]


def _listed(text: str) -> list[str]:
    """The items of ``["a", "b"]``, ``[a, b]`` or ``('a', 'b')``; the text itself where it is no
    list.
    """
    bare = text.strip(SPACES + ",")
    if bare[:1] + bare[-1:] not in {"[]", "()", "{}"}:
        return [text]
    try:
        items = json.loads(bare)
    except (ValueError, RecursionError):
        items = None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return items
    inner = bare[1:-1]
    if '"' in inner or "'" in inner or "“" in inner:
        return _QUOTED_COMMAS.split(inner)
    return _COMMAS.split(inner) if bare[0] == "[" else [text]


def _numbered(text: str) -> list[str]:
    """The items of ``1) a 2) b``; the text itself where it is not numbered from 1 on."""
    marks = list(_COUNTS.finditer(text))
    if [mark.group(1) for mark in marks[:2]] != ["1", "2"] or text[: marks[0].start()].strip():
        return [text]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [text[mark.end() : end] for mark, end in zip(marks, ends)]


def label(text: str) -> tuple[str, str] | None:
    """The side that is named in front of a text, and the text behind it; None where none is.

    >>> label("Before: raw")
    ('before', ' raw')
    """
    match = _LABEL.match(text)
    return (SIDES[match.group(1).lower()], match.group(2)) if match else None


def values(text: str, side: str | None = None) -> list[Value]:
    """Every value in a piece of text that was written for one slot, on this side of the edit, or on
    the one that a label in front names.
    """
    both = _BOTH_LABELS.match(text) or _PLAIN_LABEL.match(text)
    parts = []
    for part in separate(text[both.end() :] if both else text):
        named = None if ARROWS.search(part) else label(part)
        second = _SECOND_LABEL.search(named[1]) if named and named[0] == BEFORE else None
        if named and second:
            first = named[1][: second.start()]
            parts.append(Value(_tidy(first), BEFORE, _tidy(part[: -len(named[1])] + first)))
            parts.append(Value(_tidy(named[1][second.end() :]), AFTER))
        elif named:
            side = named[0]
            parts.append(Value(_tidy(named[1]), side, _tidy(part)))
        elif ARROWS.search(part):
            parts.append(Value(_tidy(part)))
        elif len(notes := _NOTED.split(part)) == 5 and not notes[4].strip(SPACES + "."):
            parts += [Value(_tidy(notes[i]), notes[i + 1].lower()) for i in (0, 2)]
        else:
            parts.append(Value(_tidy(part), side, _tidy(part)))
    return [value for value in parts if value.text and value.text != "null"]


def joined(entries: Sequence[Value]) -> list[str]:
    """The values of a slot as assertions: what holds on both sides is written once, the others are
    paired in order as ``before -> after``. A value without a partner stays as it was written.
    """
    befores = [value for value in entries if value.side == BEFORE]
    afters = [value for value in entries if value.side == AFTER]
    both = {value.text for value in befores} & {value.text for value in afters}
    changed = [value for value in befores if value.text not in both]
    partners = [value for value in afters if value.text not in both]
    pairs = {id(before): after for before, after in zip(changed, partners)}
    paired = {id(after) for after in pairs.values()}
    assertions: list[str] = []
    for value in entries:
        if value.side and value.text in both:
            if value.text not in assertions:
                assertions.append(value.text)
        elif id(value) in pairs:
            after = pairs[id(value)].text
            same = after.casefold() in UNCHANGED
            assertions.append(value.text if same else f"{value.text} {ARROW} {after}")
        elif id(value) not in paired:
            assertions.append(value.written or value.text if value.side == BEFORE else value.text)
    return assertions
