"""`FolderSearch` asks an indexed folder: which of these videos is the reference after this edit, or
fits this text best?

Three scores are given for every video. ``alone``: the cosine of two descriptions as the model reads
each by itself. ``context``: the cosine of their token states as they came about, behind the video,
the edit and the trace (the paper's way; a text has none). ``words``: BM25 of the same two texts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from covrr_utils import paths
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.folder_scores import QUERY, FolderScores, refuse_failure
from covrr_utils.experiments.folders import Changes, VideoFolder
from covrr_utils.experiments.index import FolderDescriptions
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
from covrr_utils.experiments.reranking import rerank
from covrr_utils.experiments.run import Run
from covrr_utils.files import content_hash, reason
from covrr_utils.retrieval.ranking import top
from covrr_utils.retrieval.scores import Scores
from covrr_utils.traces.matching import stems, words_among
from covrr_utils.video.access import check_file
from covrr_utils.video.clips import ClipError
from covrr_utils.video.decoder import shared

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

OF_A_PERSON, OF_A_TEXT = "trace of a person", "text of a person"


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
        self._scores = FolderScores(self.run, self.descriptions)
        if not self.run.gallery():
            if failures := self.run.gallery().failures:
                first = next(iter(failures.values()))
                raise NotIndexed(
                    f"none of the {len(failures)} videos in {shown} could be described, such as"
                    f" {first.id} ({first.message})"
                )
            raise NotIndexed(f"{shown} is indexed by {label}, but not with these settings")

    @cached_property
    def _of_content(self) -> dict[str | None, list[str]]:
        """The folder's videos by what their files hold."""
        videos: dict[str | None, list[str]] = {}
        for video, seen in self.folder.seen.items():
            videos.setdefault(seen.content, []).append(video)
        return videos

    def load(self, model: bool = True) -> None:
        """Bring into memory what questions need, so that the seconds of an answer are its own;
        without the ``model``, which a question that was answered before does not need.
        """
        self._scores.load()
        self._of_content, self._of_name  # noqa: B018
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
        asking, name = self._asking(question)
        query = asking.queries(name) if question.text is None else None
        text = question.text if query is None else query[QUERY].text
        assert text is not None
        parts = self._scores.of(text, query, by)
        left_out = () if keep_reference else self._copies(question)
        there = ~np.isnan(parts[by])
        there[[self._scores.place[video] for video in left_out if video in self._scores.place]] = (
            False
        )
        candidates = np.flatnonzero(there)
        scores = parts[by][candidates]
        order, reranking = top(scores, len(scores)), None
        before = np.empty_like(order)
        before[order] = np.arange(1, len(order) + 1)
        if self.config.rerank is not None:
            videos = [self._scores.videos[place] for place in candidates]
            scores, reranking = self._second_look(asking, name, videos, scores)
            order = top(scores, count)
        hits = tuple(
            self._hit(rank, int(before[at]), int(candidates[at]), text, parts, by)
            for rank, at in enumerate(order[:count], 1)
        )
        trace = None if query is None else query[QUERY].trace
        seconds = time.perf_counter() - begun
        return Answer(
            question, by, text, trace, hits, len(candidates), left_out, seconds, reranking
        )

    def _asking(self, question: Question) -> tuple[FolderDescriptions, str]:
        """The folder with the one query `QUERY`, and the name under which its description, of the
        reference after the edit or of a text, is had.
        """
        if question.text is not None:
            asking = self.descriptions.asking(Triplet(QUERY, "", question.text, None, ""))
            read = self.descriptions.read({QUERY: question.text}, "reading the query")
            return asking.with_query(OF_A_TEXT, read), OF_A_TEXT
        assert question.reference is not None and question.edit is not None
        video, outside = self._reference(question.reference)
        asking = self.descriptions.asking(
            Triplet(QUERY, video, question.edit.strip(), None, ""), outside
        )
        if question.trace is None:
            name, queries = question.strategy, asking.queries(question.strategy)
        else:
            name, queries = OF_A_PERSON, asking.given(OF_A_PERSON, {QUERY: question.trace})
        refuse_failure(queries)
        return asking, name

    def _second_look(
        self,
        asking: FolderDescriptions,
        name: str,
        videos: Sequence[str],
        scores: Float64[np.ndarray, " V"],
    ) -> tuple[Float64[np.ndarray, " V"], Mapping[str, object]]:
        """The scores of these videos after the first of them were scored again, as in a run."""
        run = Run(self.config, descriptions=asking)
        second, reranking = rerank(run, name, Scores({QUERY: scores}, videos))
        return second.by_query[QUERY], reranking.summary()

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
        return tuple(self._of_content.get(content, ()))

    def _hit(
        self,
        rank: int,
        before: int,
        place: int,
        text: str,
        parts: Mapping[str, Float64[np.ndarray, " V"]],
        by: str,
    ) -> Hit:
        video = self._scores.videos[place]
        described = self.run.gallery()[video].text
        pieces = words_among(described, stems(text))
        return Hit(
            rank,
            before,
            video,
            self.folder.files.get(video, self.folder.root / video),
            float(parts[by][place]),
            {n: float(scores[place]) for n, scores in parts.items() if not np.isnan(scores[place])},
            described,
            pieces,
            _matched(pieces),
        )


def _matched(pieces: Pieces) -> tuple[str, ...]:
    """The marked words of a text, each once, in their order."""
    return tuple(dict.fromkeys(piece.casefold() for piece, marked in pieces if marked))
