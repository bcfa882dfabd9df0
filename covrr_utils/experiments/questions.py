"""What an indexed folder is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covrr_utils.experiments.folders import FolderError
from covrr_utils.traces.trace import ReasoningTrace

ALONE, CONTEXT, WORDS = SCORES = ("alone", "context", "words")

Pieces = Sequence[tuple[str, bool]]


class NotIndexed(FolderError):
    """A folder of which nothing was described by this backbone with these settings."""


class NoAnswer(ValueError):
    """A question that could not be turned into a description; the message says why."""


@dataclass(frozen=True)
class Question:
    """What a folder is asked: the video that shows ``reference`` after ``edit``, or, where these
    are None, the video that ``text`` describes.

    ``trace``: the after-effects of the edit as a person says them, in place of the strategy's.
    """

    reference: Path | None = None
    edit: str | None = None
    text: str | None = None
    strategy: str = "two_stage"
    trace: ReasoningTrace | None = None

    def __post_init__(self) -> None:
        parts = (self.reference is not None, self.edit is not None, self.text is not None)
        if parts not in ((True, True, False), (False, False, True)):
            raise ValueError(
                "give --reference VIDEO and --edit TEXT (the video that is looked for is the"
                " reference after the edit), or --text TEXT alone (a description of it)"
            )
        if not (self.edit or self.text or "").strip():
            raise ValueError("the edit or text is empty; say in words what is looked for")
        if self.text is not None and self.trace is not None:
            raise ValueError("a text needs no trace: a trace says what follows from an edit")
        if self.strategy == "gold_trace":
            raise ValueError(
                "strategy 'gold_trace' takes the trace of a benchmark's labels; give a trace of"
                " your own with --trace FILE"
            )


@dataclass(frozen=True)
class Hit:
    """One video of the answer.

    Attributes
    ----------
    rank : 1 is the best
    before : its rank by ``score``; another one than ``rank`` where a reranker looked again
    video, path : its path below the folder, and on this machine
    score : that by which it is ranked, in the first stage
    parts : all scores, by name
    text : its description
    pieces : its description in pieces, each with whether it is a word that the query's description
        has too, in whatever form (function words never are)
    matched : those words, each once
    """

    rank: int
    before: int
    video: str
    path: Path
    score: float
    parts: Mapping[str, float]
    text: str
    pieces: Pieces
    matched: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The best videos, and what led to them.

    Attributes
    ----------
    text : the description that was looked for
    trace : the after-effects that it was given; None where there is no trace
    videos : how many videos took part
    left_out : the reference and its copies in the folder, where they take no part
    seconds : from the question to the answer, the index being loaded; the model too, where
        `FolderSearch.load` was called before
    reranking : what a second look cost; None where there was none
    """

    question: Question
    by: str
    text: str
    trace: ReasoningTrace | None
    hits: tuple[Hit, ...]
    videos: int
    left_out: tuple[str, ...]
    seconds: float
    reranking: Mapping[str, object] | None = None
