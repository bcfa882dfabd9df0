"""`FolderSearch` asks an indexed folder: which of these videos is the reference after this edit, or
fits this text best?

Three scores are given for every video. ``alone``: the cosine of two descriptions as the model reads
each by itself. ``context``: the cosine of their token states as they came about, behind the video,
the edit and the trace (the paper's way; a text has none). ``words``: BM25 of the same two texts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covrr_utils import paths
from covrr_utils.backbones.description import Outcomes
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.baselines import by_words
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.folders import Changes, VideoFolder
from covrr_utils.experiments.index import READING, FolderDescriptions
from covrr_utils.experiments.places import backbone_label
from covrr_utils.experiments.questions import (
    ALONE,
    CONTEXT,
    SCORES,
    WORDS,
    Answer,
    Hit,
    NoAnswer,
    NotIndexed,
    Pieces,
    Question,
)
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import DescribedQuery
from covrr_utils.files import content_hash, reason
from covrr_utils.retrieval.ranking import top
from covrr_utils.retrieval.scores import by_cosine
from covrr_utils.traces.matching import stems, words_among
from covrr_utils.video.access import check_file
from covrr_utils.video.clips import ClipError
from covrr_utils.video.decoder import shared

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

QUERY = "query"  # the id of the one query of a search

OF_A_PERSON = "trace of a person"


class FolderSearch:
    """An indexed folder, loaded: every further question costs its own description only.

    Raises
    ------
    NotIndexed
        If nothing of the folder was described by this backbone with these settings.
    FolderError
        If there is no such folder, or no video in it.
    """

    def __init__(self, folder: VideoFolder, config: RunConfig, backbone: Backbone | None = None):
        self.folder, self.config = folder, config
        label = backbone_label(config.backbone)
        shown = paths.relative(folder.root)
        if not folder.seen:
            raise NotIndexed(f"{shown} is not indexed yet")
        if label not in folder.backbones:
            raise NotIndexed(
                f"{shown} is not indexed by {label} yet, only by"
                f" {', '.join(folder.backbones) or 'none that came to its end'}"
            )
        self.changes: Changes = folder.touched()
        self.descriptions = FolderDescriptions(folder, config, backbone)
        self.run = Run(config, descriptions=self.descriptions)
        if not self.run.gallery():
            if failures := self.run.gallery().failures:
                first = next(iter(failures.values()))
                raise NotIndexed(
                    f"none of the {len(failures)} videos in {shown} could be described, such as"
                    f" {first.id} ({first.message})"
                )
            raise NotIndexed(f"{shown} is indexed by {label}, but not with these settings")

    @cached_property
    def _alone(self) -> Outcomes[np.ndarray]:
        """The vectors of the descriptions as the model reads each alone."""
        readings = self.descriptions.alone(self.run.gallery(), READING)
        return self.run.pooled(readings, self.config.pooling, self.config.scheme)

    def load(self, model: bool = True) -> None:
        """Bring into memory what questions need, so that the seconds of an answer are its own;
        without the ``model``, which a question that was answered before does not need.
        """
        config = self.config
        self.run.pooled_gallery(config.pooling, config.scheme, config.source)
        self._alone  # noqa: B018
        shared().start()
        if model:
            self.run.backbone  # noqa: B018

    def ask(
        self, question: Question, count: int = 10, by: str = ALONE, keep_reference: bool = False
    ) -> Answer:
        """The ``count`` best videos, ranked ``by`` one of the scores.

        Raises
        ------
        NoAnswer
            If the reference cannot be read, or its description after the edit has nothing to pool.
        ValueError
            If there is no such score for this question.
        """
        if by not in SCORES or (by == CONTEXT and question.text is not None):
            known = SCORES if question.text is None else (ALONE, WORDS)
            raise ValueError(f"no score {by!r} for this question; known: {', '.join(known)}")
        self.load(model=False)
        begun = time.perf_counter()
        query = None if question.text is not None else self._described(question)
        text = question.text if query is None else query[QUERY].text
        assert text is not None
        parts = self._scores(text, query, by)
        left_out = () if keep_reference else self._copies(question)
        videos = list(parts[by])
        scores = np.array([parts[by][video] for video in videos])
        excluded = [place for place, video in enumerate(videos) if video in set(left_out)]
        hits = tuple(
            self._hit(rank, videos[place], text, parts, by)
            for rank, place in enumerate(top(scores, count, excluded), 1)
        )
        trace = None if query is None else query[QUERY].trace
        seconds = time.perf_counter() - begun
        return Answer(
            question, by, text, trace, hits, len(videos) - len(excluded), left_out, seconds
        )

    def _described(self, question: Question) -> Outcomes[DescribedQuery]:
        """The reference after the edit, under `QUERY`."""
        assert question.reference is not None and question.edit is not None
        video, outside = self._reference(question.reference)
        asking = self.descriptions.asking(
            Triplet(QUERY, video, question.edit.strip(), None, ""), outside
        )
        if question.trace is None:
            queries = asking.queries(question.strategy)
        else:
            queries = asking.given(OF_A_PERSON, {QUERY: question.trace})
        self._refuse_failure(queries)
        return queries

    def _reference(self, reference: Path) -> tuple[str, Path | None]:
        """Id and, if it is not one of the folder's, path of the reference."""
        path = reference.expanduser().absolute()
        try:
            check_file(path)
        except ClipError as error:
            raise NoAnswer(f"the reference cannot be read: {error}") from error
        for video, place in self._of_name.get(path.name, ()):
            if place == path or place.resolve() == path.resolve():
                return video, None
        return str(path), path

    @cached_property
    def _of_name(self) -> dict[str, list[tuple[str, Path]]]:
        """The folder's videos by the name of their file."""
        names: dict[str, list[tuple[str, Path]]] = {}
        for video in self.folder.seen:
            path = self.folder.files.get(video, self.folder.root / video)
            names.setdefault(path.name, []).append((video, path))
        return names

    def _copies(self, question: Question) -> tuple[str, ...]:
        """The videos of the folder that hold what the reference holds."""
        if question.reference is None:
            return ()
        path = question.reference.expanduser()
        try:
            content = content_hash(path)
        except OSError as error:
            raise NoAnswer(
                f"the reference {paths.relative(path)} cannot be read: {reason(error)}"
            ) from error
        return tuple(video for video, seen in self.folder.seen.items() if seen.content == content)

    def _scores(
        self, text: str, query: Outcomes[DescribedQuery] | None, by: str
    ) -> dict[str, dict[str, float]]:
        """Every score of every video: by name of the score, then by video. A score that cannot be
        had is left empty, unless it is the one ``by`` which videos are ranked.
        """
        config, run = self.config, self.run
        read = self.descriptions.read({QUERY: text}, "reading the query")
        pairs = {ALONE: (run.pooled(read, config.pooling, config.scheme), self._alone)}
        if query is not None:
            how = config.pooling, config.scheme, config.source
            pairs[CONTEXT] = run.pooled(query, *how), run.pooled_gallery(*how)
        scores = {}
        for name, (vectors, gallery) in pairs.items():
            if name == by:
                self._refuse_failure(vectors)
            scored = by_cosine(vectors, gallery)
            cosines = scored.by_query[QUERY].tolist() if scored.by_query else []
            if name == by and not cosines:
                raise NoAnswer(
                    f"none of the {len(gallery.failures)} descriptions in"
                    f" {paths.relative(self.folder.root)} has anything to compare; rank by"
                    f" {WORDS!r}, or index the folder with another backbone"
                )
            scores[name] = dict(zip(scored.videos, cosines))
        scored = by_words(Outcomes({QUERY: text}, {}), run.gallery())
        scores[WORDS] = dict(zip(scored.videos, scored.by_query[QUERY].tolist(), strict=True))
        return scores

    def _refuse_failure(self, outcomes: Outcomes) -> None:
        if failure := outcomes.failures.get(QUERY):
            raise NoAnswer(f"no answer: {failure.stage}, {failure.cause}: {failure.message}")

    def _hit(
        self, rank: int, video: str, text: str, parts: Mapping[str, Mapping[str, float]], by: str
    ) -> Hit:
        described = self.run.gallery()[video].text
        pieces = words_among(described, stems(text))
        return Hit(
            rank,
            video,
            self.folder.files.get(video, self.folder.root / video),
            parts[by][video],
            {name: scores[video] for name, scores in parts.items() if video in scores},
            described,
            pieces,
            _matched(pieces),
        )


def _matched(pieces: Pieces) -> tuple[str, ...]:
    """The marked words of a text, each once, in their order."""
    return tuple(dict.fromkeys(piece.casefold() for piece, marked in pieces if marked))
