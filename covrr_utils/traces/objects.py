"""Traces written as JSON: objects and lists of every nesting, whole, broken or cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from covrr_utils.traces.assertions import AFTER, BEFORE, PLAIN_NAMES, SPACES, label
from covrr_utils.traces.draft import Draft
from covrr_utils.traces.headings import NAMES, slot_and_side, slot_of
from covrr_utils.traces.trace import ARROW, TraceError

# The library that mends broken JSON takes time that grows with the square of the text's length, so
# only so many characters are handed to it.
MENDED = 4_000

# How many openings are tried, from the outermost on.
TRIED = 4

_QUOTE = "[\"'“”]"

_KEY = re.compile(
    rf"{_QUOTE}[\w .)/&-]{{0,30}}?(?:{'|'.join(NAMES)})[\w ./&()-]{{0,30}}{_QUOTE}\s{{0,8}}:"
    rf"|:\s{{0,8}}{_QUOTE}(?:{'|'.join(NAMES)}){_QUOTE}",
    re.IGNORECASE,
)

_BRACKET = re.compile(r"[{}\[\]]")

_FENCE = re.compile(r"```\w*")

# Keys under which an object in a list says which slot it is about.
_SLOT_KEYS = ("slot", "name", "type", "category", "aspect", "key", "dimension", "field")

# Keys under which it says what its values are about.
_SUBJECT_KEYS = ("object", "subject", "entity", "item", "what", "element", "name")


def from_json(text: str) -> Draft | None:
    """The slots of the first JSON object or list that names one; None where the text has none.

    Raises
    ------
    TraceError
        If it is nested too deep to be read.
    """
    draft, end = Draft("json"), 0
    try:
        while key := _KEY.search(text, end):
            opened = _opened(text, end, key.start())
            place = _whole(draft, text, end, key.start(), opened[:TRIED])
            if place is None:
                return draft if end else _mended(text, opened)
            end = place
    except RecursionError as error:
        raise TraceError(f"no trace in {text[:80]!r}: JSON nested too deep") from error
    if not end:
        return None
    draft.outside = f"{draft.outside or ''}\n{text[end:]}"
    _around(draft)
    return draft


def _opened(text: str, begin: int, end: int) -> list[int]:
    """Where the brackets stand that are open at ``end``, the outermost first."""
    opened: list[int] = []
    for bracket in _BRACKET.finditer(text, begin, end):
        if bracket.group() in "{[":
            opened.append(bracket.start())
        elif opened:
            opened.pop()
    return opened


def _whole(draft: Draft, text: str, begin: int, key: int, places: list[int]) -> int | None:
    """Add the slots of the outermost unbroken object around the key; where it ends, None where
    there is none.
    """
    decoder = json.JSONDecoder(object_pairs_hook=dict_of(draft))
    for place in places:
        try:
            data, end = decoder.raw_decode(text, place)
        except ValueError:
            continue
        if end > key:
            draft.outside = f"{draft.outside or ''}\n{text[begin:place]}"
            _fill(draft, data)
            return end
    return None


def _mended(text: str, places: list[int]) -> Draft | None:
    """The slots of a broken object, mended by the library json-repair."""
    import json_repair

    for place in dict.fromkeys((*places[:1], *places[-1:])):
        draft = Draft("json", ["broken JSON mended"])
        if len(text) - place > MENDED:
            draft.repairs.append(f"broken JSON cut after {MENDED:,} characters")
        try:
            data = json_repair.loads(text[place : place + MENDED])
        except ValueError as error:
            if "nesting" in str(error):
                raise RecursionError from error
            continue
        _fill(draft, data)
        if any(draft.entries.values()):
            draft.outside = text[:place]
            _around(draft)
            draft.outside = None
            return draft
    return None


def dict_of(draft: Draft) -> Any:
    """A hook for the decoder: objects in which the first statement of a key counts."""

    def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in pairs:
            if key in kept and slot_of(key):
                draft.repairs.append(f"slot {key[:40]!r}: repeated, the first statement kept")
            kept.setdefault(key, value)
        return kept

    return first


def _around(draft: Draft) -> None:
    """Name what stands around the objects."""
    outside = draft.outside or ""
    if "```" in outside:
        draft.repairs.append("code fence dropped")
    if _FENCE.sub("", outside).strip(SPACES + ","):
        draft.repairs.append("prose around the trace dropped")


def _fill(draft: Draft, data: Any, side: str | None = None, inner: bool = False) -> None:
    """Add every slot that ``data`` names, wherever in it, to the draft."""
    if isinstance(data, list):
        for item in data:
            _fill(draft, item, side, inner=True)
    if not isinstance(data, dict):
        return
    slots = {key: slot for key in data if (slot := slot_and_side(key)[0])}
    named_so_far = set(slots.values())
    for key in data if slots else ():
        other = slot_of(key, other_words=True)
        if other and other not in named_so_far:
            slots[key] = other
    if slots and inner and side is None:
        draft.repairs.append("prose around the trace dropped")
    named = None if slots else _slot_named_in(data)
    if named:
        rest = {key: value for key, value in data.items() if key != named[0]}
        _add(draft, named[1], rest, side, several=True)
    for key, value in data.items() if not named else ():
        if key in slots:
            _slot(draft, slots[key], key, value, slot_and_side(key)[1] or side)
        elif slots:
            draft.repairs.append(f"unknown slot {key.strip().lower()[:40]!r} dropped")
        else:
            heading = label(f"{key}:")
            _fill(draft, value, heading[0] if heading else side, inner=True)


def _slot_named_in(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The key under which an object names its slot, and the slot."""
    for key, value in data.items():
        slot = slot_of(value) if isinstance(value, str) and key.lower() in _SLOT_KEYS else None
        if slot:
            return key, slot
    return None


def _slot(draft: Draft, slot: str, key: str, value: Any, side: str | None) -> None:
    """Add the value of a slot's key."""
    if key != slot:
        draft.repairs.append(f"slot {key[:40]!r} read as {slot!r}")
    if not isinstance(value, list):
        draft.repairs.append(f"slot {slot!r}: a list was expected")
    _add(draft, slot, value, side)


def _add(draft: Draft, slot: str, value: Any, side: str | None, several: bool = False) -> None:
    """Add a value of any form to a slot; ``several``: other objects may have begun it."""
    known = {entry.side for entry in draft.entries.get(slot, [])}
    goes_on = several or (side is not None and side not in known and known)
    if not goes_on and not draft.begin(slot):
        return
    begun = len(draft.entries.get(slot, []))
    for text, text_side in _texts(value, side):
        draft.add(slot, text, text_side)
    if [entry.text for entry in draft.entries.get(slot, [])[begun:]] != value:
        draft.repairs.append(f"slot {slot!r}: assertions rewritten")


def _texts(value: Any, side: str | None, about: str = "") -> Iterator[tuple[str, str | None]]:
    """The texts in a value of any form, ``about`` in front, each with its side of the edit."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, side, about)
    elif isinstance(value, dict):
        yield from _texts_of_object(value, side, about)
    elif value is not None and str(value).strip():
        yield about + str(value), side


def _texts_of_object(
    data: Mapping[str, Any], side: str | None, about: str
) -> Iterator[tuple[str, str | None]]:
    """The texts of an object: before and after as one change, the others under their keys."""
    sides = {named[0]: key for key in data if (named := label(f"{key}:"))}
    subject = next((key for key in data if key.lower() in _SUBJECT_KEYS), None)
    if subject and isinstance(data[subject], str) and len(data) > 1:
        about, data = f"{data[subject]}: ", {k: v for k, v in data.items() if k != subject}
    before, after = (data.get(sides.get(of, "")) for of in (BEFORE, AFTER))
    if _single(before) and _single(after):
        yield about + (f"{before} {ARROW} {after}" if before != after else str(before)), side
        data = {key: value for key, value in data.items() if key not in sides.values()}
    for key, value in data.items():
        named_side = next((of for of, name in sides.items() if name == key), None)
        plain = named_side or key.lower() in PLAIN_NAMES
        yield from _texts(value, named_side or side, about if plain else f"{about}{key}: ")


def _single(value: Any) -> bool:
    """Whether a value is one piece of text or a number."""
    return isinstance(value, int | float) or (
        isinstance(value, str) and bool(value.strip()) and not set(value) & set(";；\n")
    )
