"""Traces written with tags, ``<states>raw -> fried</states>``: turned into lines, then read."""

from __future__ import annotations

import re

from covrr_utils.traces.assertions import label
from covrr_utils.traces.draft import Draft
from covrr_utils.traces.headings import slot_of
from covrr_utils.traces.lines import from_lines

_TAG = re.compile(r"<(?P<end>/?)\s*(?P<name>[A-Za-z][\w:-]{0,40})(?P<rest>[^<>]{0,300})>")

_ATTRIBUTE = re.compile(r"([\w-]{1,40})\s?=\s?(?:\"([^\"<>]*)\"|'([^'<>]*)')")


_ITEMS = {"li", "item", "assertion", "br", "value", "fact", "entry", "element", "change"}

_INLINE = {"b", "strong", "i", "em", "u", "code", "span", "mark", "font", "small", "tt"}


def from_tags(text: str) -> Draft | None:
    """The slots of a text with tags; None where it has none."""
    lines, number = _TAG.subn(_line, text.replace("<![CDATA[", "").replace("]]>", "\n"))
    if not number:
        return None
    draft = from_lines(lines, "tags")
    draft.repairs.insert(0, "tags taken off")
    return draft


def _line(tag: re.Match[str]) -> str:
    """What stands for a tag: the slot or the side that it names, with a colon, on a new line."""
    name = tag["name"]
    if name.lower() in _INLINE:
        return "**"
    if tag["end"]:
        return "\n"
    attributes = {m[1].lower(): m[2] or m[3] or "" for m in _ATTRIBUTE.finditer(tag["rest"])}
    slot = next((slot for word in (name, *attributes.values()) if (slot := slot_of(word))), None)
    sides = [f"{word}: {value}" for word, value in attributes.items() if label(f"{word}:")]
    heading = f"{slot or name}:" if slot or label(f"{name}:") else ""
    return "\n- " if name.lower() in _ITEMS and not sides else "\n".join(["", heading, *sides, ""])
