"""What a page's cards are made of, whichever page shows them (the templates' ``cards.html.j2``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from covrr_utils.traces.matching import slot_sentences, slot_words, words_among
from covrr_utils.traces.trace import SLOTS

Pieces = Sequence[tuple[str, bool]]  # a text in pieces, each with whether it is marked

WHOLE = "in one piece"  # where a text has no sentence of its own for every slot


@dataclass(frozen=True)
class Ranked:
    """One video of a ranking, as the macro ``result`` shows it.

    ``role`` is "target", "rival" or empty and gives the colour; ``parts`` are the scores that
    ``score`` is made of; ``pieces`` its description, the matched words marked; ``href`` its file.
    """

    place: int
    video: str
    score: float
    label: str = ""
    role: str = ""
    parts: Sequence[tuple[str, float]] = ()
    pieces: Pieces = ()
    href: str | None = None


def by_slot(text: str | None) -> dict[str, str]:
    """A description's sentences by slot; under `WHOLE` where there are not five of them; nothing
    where there is no text.
    """
    if text is None or not text.strip():
        return {}
    return slot_sentences(text) or {WHOLE: text}


def ahead(text: str, query: str, other: str | None) -> dict[str, list[tuple[str, bool]]]:
    """Which words bring ``text`` nearer to the query than ``other``, slot by slot: those that the
    query's description says there too, and ``other`` does not. All of them where ``other`` is None.
    """
    stems, lacking = _stems(query), _stems(other or "")
    return {
        slot: words_among(sentence, stems[slot] - lacking[slot])
        for slot, sentence in by_slot(text).items()
    }


def marked_words(pieces: dict[str, list[tuple[str, bool]]]) -> list[str]:
    """The marked words of all slots, each once, in their order."""
    return list(
        dict.fromkeys(
            piece.casefold() for parts in pieces.values() for piece, marked in parts if marked
        )
    )


def _stems(text: str) -> dict[str, frozenset[str]]:
    """The stems of every slot's sentence, and under `WHOLE` those of the text."""
    words = slot_words(text)
    return {**words, WHOLE: frozenset().union(*(words[slot] for slot in SLOTS))}
