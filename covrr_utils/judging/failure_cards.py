"""What the failure page says of one triplet: its fate in a sentence, and slot by slot the way from
the gold trace over the written one to the descriptions that were compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.experiments.results import QueryRank
from covrr_utils.experiments.stored import DescribedQuery
from covrr_utils.judging.diagnostics import Diagnosis
from covrr_utils.judging.judges import Verdict
from covrr_utils.judging.kinds import FAILED, UNEXPLAINED, kind_of
from covrr_utils.judging.scoring import SCALE
from covrr_utils.pages.cards import WHOLE, Pieces, Ranked, ahead, by_slot, marked_words
from covrr_utils.traces.matching import canonical_pairs
from covrr_utils.traces.reading import read_trace_text
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError

SHOWN = 5

HIT = "hit"

# in the order in which they follow each other, and what is wrong there
STAGES = {
    "trace": "the written trace differs from the gold one",
    "description": "the trace is right, the description after the edit is not",
    "gallery": "trace and description are right, what the gallery says of the target is not",
    "embedding": "both descriptions are right, and the other vector was nearer all the same",
    UNEXPLAINED: "no gold trace, or no description, to tell by",
    FAILED: "never ranked, for a cause that is named",
    HIT: "the target came first",
}

GOLD, TRACE, DESCRIPTION = "gold trace", "written trace", "description after the edit"


@dataclass(frozen=True)
class Line:
    """One assertion or sentence of a cell; ``wrong`` where it differs from gold."""

    pieces: Pieces
    wrong: bool = False


@dataclass(frozen=True)
class Column:
    """One step of the way: what it says, by slot; ``role`` colours its title, ``marks`` is the kind
    of its marked words.
    """

    name: str
    cells: Mapping[str, Sequence[Line]]
    role: str = ""
    marks: str = "match"


@dataclass(frozen=True)
class FailureCard:
    """All that the page shows of one triplet.

    ``number`` is its place in the benchmark, ``anchor`` the id of its card in the page, ``rival``
    the best video that is not the target; ``won_with`` are the words that bring the rival's
    description nearer to the query's than the target's.
    """

    number: int
    id: str
    edit: str
    tags: tuple[str, ...]
    reference: str
    target: str | None
    rival: str | None
    rank: int | None
    stage: str
    kind: str
    verdict: str
    columns: Sequence[Column] = ()
    won_with: Sequence[str] = ()
    top: Sequence[Ranked] = ()
    notes: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """As it stands in the page's address, whatever characters the labels use for ids."""
        return f"triplet-{quote(self.id, safe='', errors='surrogatepass')}"

    @property
    def has_trace(self) -> bool:
        """Whether the strategy wrote a trace that could be used."""
        return any(column.name == TRACE for column in self.columns)

    @property
    def slots(self) -> list[str]:
        """The rows of its table."""
        return [
            slot
            for slot in (*SLOTS, WHOLE)
            if any(column.cells.get(slot) for column in self.columns)
        ]

    @property
    def videos(self) -> list[str | None]:
        """Every video that it shows."""
        return [self.reference, self.target, self.rival, *(video.video for video in self.top)]


def failure_card(
    number: int,
    triplet: Triplet,
    row: QueryRank,
    diagnosis: Diagnosis,
    query: DescribedQuery | None,
    texts: Mapping[str, str],
    verdict: Verdict | None,
) -> FailureCard:
    """The card of one triplet; ``texts`` are the gallery's descriptions by video."""
    stage = HIT if diagnosis.hit else diagnosis.stage
    kind = HIT if diagnosis.hit else diagnosis.kind or UNEXPLAINED
    rival = diagnosis.first
    rival_text = texts.get(rival) if rival is not None else None
    target_text = texts.get(triplet.target) if triplet.target is not None else None
    columns, won_with = [], []
    if triplet.gold_trace is not None:
        columns.append(Column(GOLD, _assertions(triplet.gold_trace)))
    if query and query.trace:
        columns.append(Column(TRACE, _compared(query.trace, triplet.gold_trace)))
    if query:
        plain = {slot: [(text, False)] for slot, text in by_slot(query.text).items()}
        columns.append(Column(DESCRIPTION, _lines(plain, diagnosis.description_wrong)))
    if query and rival_text is not None:
        beating = ahead(rival_text, query.text, target_text)
        won_with = marked_words(beating) if target_text is not None else []
        name = "closest other video" if diagnosis.hit else f"came first: {kind.replace('_', ' ')}"
        columns.append(Column(name, _lines(beating, None), "rival", "beat"))
    if query and target_text is not None:
        matching = ahead(target_text, query.text, rival_text)
        rank = "never ranked" if diagnosis.rank is None else f"rank {diagnosis.rank}"
        name = f"target: {rank}"
        columns.append(Column(name, _lines(matching, diagnosis.target_wrong), "target"))
    return FailureCard(
        number,
        triplet.id,
        triplet.edit,
        tuple(triplet.tags),
        triplet.reference,
        triplet.target,
        rival,
        diagnosis.rank,
        stage,
        kind,
        fate(diagnosis),
        columns,
        won_with,
        _ranked(triplet, row, texts),
        _notes(query, verdict),
    )


def fate(diagnosis: Diagnosis) -> str:
    """What became of the triplet, and what was wrong on the way, in sentences."""
    if diagnosis.rank is None:
        return f"Missed: never ranked ({diagnosis.cause})."
    kind = (diagnosis.kind or UNEXPLAINED).replace("_", " ")
    parts = [
        "Found at rank 1."
        if diagnosis.hit
        else f"Missed: the target has rank {diagnosis.rank}; {_article(kind)} came first."
    ]
    for what, slots in (
        ("trace", diagnosis.trace_wrong),
        ("description", diagnosis.description_wrong),
    ):
        if slots is not None:
            state = f"is wrong in {', '.join(slots)}" if slots else "is right"
            parts.append(f"The {what} {state}.")
    if diagnosis.target_wrong:
        slots_wrong = ", ".join(diagnosis.target_wrong)
        parts.append(f"The gallery describes the target wrong in {slots_wrong}.")
    return " ".join(parts)


def _article(kind: str) -> str:
    if kind == UNEXPLAINED:
        return "another video"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} “{kind}” video"


def _assertions(trace: ReasoningTrace) -> dict[str, list[Line]]:
    """A trace as it stands: gold is what the others are measured by, and never marked."""
    return {slot: [Line([(item, False)]) for item in getattr(trace, slot)] for slot in SLOTS}


def _compared(written: ReasoningTrace, gold: ReasoningTrace | None) -> dict[str, list[Line]]:
    """The written trace, each assertion with whether gold lacks it, and what it leaves out where
    fewer assertions are wrong than are missing.
    """
    if gold is None:
        return _assertions(written)
    ours, theirs = canonical_pairs(written), canonical_pairs(gold)
    cells = {}
    for slot in SLOTS:
        lines = [
            Line([(item, False)], not _pairs(slot, item) <= theirs[slot])
            for item in getattr(written, slot)
        ]
        lacking = [item for item in getattr(gold, slot) if not _pairs(slot, item) <= ours[slot]]
        if len(lacking) > sum(line.wrong for line in lines):
            lines.append(Line([(f"leaves out: {'; '.join(lacking)}", False)], True))
        cells[slot] = lines
    return cells


def _pairs(slot: str, item: str) -> frozenset[tuple[str, str]]:
    return canonical_pairs(ReasoningTrace(**{slot: (item,)}))[slot]


def _lines(sentences: Mapping[str, Pieces], wrong: Sequence[str] | None) -> dict[str, list[Line]]:
    """A description's sentences as cells; a text in one piece is wrong where any slot is."""
    slots = wrong or ()
    return {
        slot: [Line(pieces, bool(slots) if slot == WHOLE else slot in slots)]
        for slot, pieces in sentences.items()
    }


def _ranked(triplet: Triplet, row: QueryRank, texts: Mapping[str, str]) -> list[Ranked]:
    """The first videos of the ranking, each with what it is to the triplet; coloured are the target
    and what came first in its place.
    """
    videos = []
    for place, (video, score) in enumerate(zip(row["top"][:SHOWN], row["scores"]), start=1):
        target = video == triplet.target
        label = "target" if target else kind_of(triplet, video, texts).replace("_", " ")
        role = "target" if target else "rival" if place == 1 else ""
        videos.append(Ranked(place, video, score, label, role))
    return videos


def _notes(query: DescribedQuery | None, verdict: Verdict | None) -> list[str]:
    """The Reasoning Score, and what had to be mended in the written trace."""
    notes = []
    if verdict and verdict.score is not None and query and query.trace:
        notes.append(f"Reasoning Score {verdict.score:.1f} on {SCALE} (slots-1).")
    if query and query.written:
        try:
            repairs = list(read_trace_text(query.written).repairs)
        except TraceError as error:
            repairs = [str(error)]
        if repairs:
            notes.append(f"Mended while reading the trace: {'; '.join(repairs)}.")
    return notes
