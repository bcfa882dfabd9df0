"""What a description says, slot by slot, as far as words can tell: the prompts ask for five sentences in the order of the slots.

A value is *said* to the degree that its words occur in its slot's sentence: 1 for all of them, 0 for none. A description that does not
have five sentences is read as one text for all slots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from covrr_utils.traces import SLOTS

SAID = 0.75  # a value counts as said from this share of its words on: "zooming in" is not said by "zooming out"
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_EMPTY = {"a", "an", "the", "is", "are", "it", "its"}
_ENDINGS = ("ing", "ed", "es", "ly", "s")


def stems(text: str) -> tuple[str, ...]:
    """The words of ``text`` without articles and copulas, lower case, without a grammatical ending where three letters remain."""
    found = []
    for word in _WORD.findall(text.casefold()):
        ending = next((ending for ending in _ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
        if word not in _EMPTY:
            found.append(word.removesuffix(ending))
    return tuple(found)


def slot_words(description: str) -> dict[str, frozenset[str]]:
    """Per slot, the stems of its sentence; of the whole text where there are not five sentences."""
    sentences: Sequence[str] = [part for part in _SENTENCE.split(description.strip()) if part]
    parts = sentences if len(sentences) == len(SLOTS) else [description] * len(SLOTS)
    return {slot: frozenset(stems(part)) for slot, part in zip(SLOTS, parts)}


def said(slot: str, value: str, words: Mapping[str, frozenset[str]]) -> float:
    """Share of the value's words that its slot says, in 0..1; a value without words is not said."""
    asked = stems(value)
    return sum(word in words[slot] for word in asked) / len(asked) if asked else 0.0
