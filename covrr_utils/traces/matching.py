"""When two traces say the same, and when a description says what a trace does.

Models say one thing in many ways. For the comparison every value gets one form: order, casing,
typography and synonyms are levelled out, and two assertions are equal when their canonical forms
are. The synonyms are the film and light terms that models write for the values below; they never
join two values of the mini world (a test asserts it). Give your own table for another domain.

>>> from covrr_utils.traces.reading import parse_trace
>>> canonical_value("camera", "The camera zooms in")
'zooming in'
>>> print(canonical(parse_trace("tempo: Slow-motion\\nstates: Raw → Fried; a red egg")).text())
states: raw -> fried; red egg
actions:
scene:
camera:
tempo: slow
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping

from covrr_utils.traces.trace import ARROW, SLOTS, ReasoningTrace

# slot: {canonical value: what else is written for it}
SYNONYMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "states": {
        "on": ("switched on", "turned on"),
        "off": ("switched off", "turned off"),
        "unlit": ("not lit",),
        "lit": ("burning",),
    },
    "actions": {
        "rests": (
            "rest",
            "resting",
            "at rest",
            "lies still",
            "stands still",
            "sits still",
            "motionless",
            "not moving",
        ),
        "bounces": ("bounce", "bouncing"),
        "rolls": ("roll", "rolling"),
        "spins": ("spin", "spinning", "rotates", "rotating"),
        "shakes": ("shake", "shaking", "trembles", "trembling"),
        "swings": ("swing", "swinging"),
        "rises": ("rise", "rising", "floats up"),
        "falls": ("fall", "falling", "drops", "dropping"),
        "slides": ("slide", "sliding"),
    },
    "scene": {
        "day": ("by day", "daytime", "daylight", "during the day", "in daylight"),
        "night": ("at night", "nighttime", "night-time", "by night"),
    },
    "camera": {
        "static": (
            "stationary",
            "fixed",
            "still",
            "locked off",
            "locked-off",
            "tripod",
            "on a tripod",
            "not moving",
        ),
        "panning": ("pan", "pans", "panning shot"),
        "zooming in": ("zoom in", "zooms in", "zoom-in", "pushes in", "pushing in"),
        "zooming out": ("zoom out", "zooms out", "zoom-out", "pulls back", "pulling back"),
        "close-up": ("close up", "closeup", "close-up shot", "tight shot"),
        "wide": ("wide shot", "wide-angle", "wide angle", "long shot"),
        "following": ("follows", "tracking", "tracks", "tracking shot"),
    },
    "tempo": {
        "slow": ("slowly", "slow motion", "slow-motion", "slow pace", "leisurely"),
        "fast": ("quick", "quickly", "rapid", "rapidly", "fast pace"),
        "steady": ("normal", "normal speed", "regular", "moderate", "medium", "steady pace"),
    },
}

_LEADING = re.compile(
    r"^(?:the (?:camera|tempo|scene|light|pace) (?:is )?|it (?:is )?|(?:the|an?|is|becomes|now) )+"
)

_TYPOGRAPHY = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-"}
)


def canonical_value(
    slot: str, value: str, synonyms: Mapping[str, Mapping[str, tuple[str, ...]]] = SYNONYMS
) -> str:
    """One value in canonical form: lower case, plain quotes and dashes, no leading article or "the
    camera is", the synonym's head word.
    """
    plain = unicodedata.normalize("NFKC", value).translate(_TYPOGRAPHY).casefold()
    plain = " ".join(plain.split()).strip(" .,;:!\"'")
    heads = {other: head for head, others in synonyms.get(slot, {}).items() for other in others}
    shorter = _LEADING.sub("", plain) or plain
    return heads.get(plain) or heads.get(shorter) or shorter or value


def canonical_pairs(
    trace: ReasoningTrace, synonyms: Mapping[str, Mapping[str, tuple[str, ...]]] = SYNONYMS
) -> dict[str, frozenset[tuple[str, str]]]:
    """Per slot, the set of canonical ``(before, after)`` pairs: what two traces are compared by."""
    pairs: dict[str, set[tuple[str, str]]] = {slot: set() for slot in SLOTS}
    for slot, before, after in trace.rows():
        pairs[slot].add(
            (canonical_value(slot, before, synonyms), canonical_value(slot, after, synonyms))
        )
    return {slot: frozenset(values) for slot, values in pairs.items()}


def canonical(
    trace: ReasoningTrace, synonyms: Mapping[str, Mapping[str, tuple[str, ...]]] = SYNONYMS
) -> ReasoningTrace:
    """The trace with canonical values, sorted within each slot, without repetitions; ``x -> x``
    becomes ``x``. Idempotent.
    """
    return ReasoningTrace(
        **{
            slot: tuple(
                sorted(
                    before if before == after else f"{before} {ARROW} {after}"
                    for before, after in pairs
                )
            )
            for slot, pairs in canonical_pairs(trace, synonyms).items()
        }
    )


# a value counts as said from this share of its words on: "zooming in" is not said by "zooming out"
STATED = 0.75

_SENTENCE = re.compile(r"(?<=[.!?])\s+")

# a word, or a number with its sign
_WORD = re.compile(r"(?:(?<![\w-])[-−](?=\d))?[^\W_]++(?:['’-][^\W_]++)*+")

_EMPTY = {"a", "an", "the", "is", "are", "it", "its"}

_ENDINGS = ("ing", "ed", "es", "ly", "s")


def stems(text: str) -> tuple[str, ...]:
    """The words of ``text`` without articles and copulas, lower case, without a grammatical ending
    where three letters remain.

    >>> stems("The eggs are frying at -5 degrees")
    ('egg', 'fry', 'at', '-5', 'degre')
    """
    words = (word.replace("−", "-") for word in _WORD.findall(text.casefold()))
    return tuple(word.removesuffix(_ending(word)) for word in words if word not in _EMPTY)


def words_among(text: str, wanted: Collection[str]) -> list[tuple[str, bool]]:
    """The text cut into pieces, each with whether it is a word whose stem is ``wanted``; joined,
    they are the text.

    >>> words_among("It rolls fast.", {"roll"})
    [('It ', False), ('rolls', True), (' fast.', False)]
    """
    pieces, start = [], 0
    for match in _WORD.finditer(text):
        if set(stems(match.group())) & set(wanted):
            pieces += [(text[start : match.start()], False), (match.group(), True)]
            start = match.end()
    return [(piece, among) for piece, among in [*pieces, (text[start:], False)] if piece]


def _ending(word: str) -> str:
    """The grammatical ending of a word; empty where it has none, or too little would remain."""
    endings = (end for end in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 3)
    return next(endings, "")


def slot_sentences(description: str) -> dict[str, str] | None:
    """The sentence of each slot; None where the description has not five sentences."""
    sentences = [part for part in _SENTENCE.split(description.strip()) if part]
    return dict(zip(SLOTS, sentences)) if len(sentences) == len(SLOTS) else None


def slot_words(description: str) -> dict[str, frozenset[str]]:
    """Per slot, the stems of its sentence; of the whole text where there are not five sentences."""
    sentences = slot_sentences(description)
    if sentences is None:
        return dict.fromkeys(SLOTS, frozenset(stems(description)))
    return {slot: frozenset(stems(sentence)) for slot, sentence in sentences.items()}


def stated_share(slot: str, value: str, words: Mapping[str, frozenset[str]]) -> float:
    """Share of the value's words that its slot says, in 0..1; a value without words is not said."""
    of_value = stems(value)
    return sum(word in words[slot] for word in of_value) / len(of_value) if of_value else 0.0
