"""`FolderScores`: how well each video of an indexed folder answers a question, by every score."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int

from covrr_utils import paths
from covrr_utils.backbones.description import Outcomes
from covrr_utils.experiments.folder_words import FolderWords
from covrr_utils.experiments.index import FolderDescriptions
from covrr_utils.experiments.questions import ALONE, CONTEXT, WORDS, NoAnswer
from covrr_utils.experiments.run import D, Run
from covrr_utils.experiments.stored import DescribedQuery
from covrr_utils.retrieval.pooling import PREDICTS, pool
from covrr_utils.retrieval.vectors import Vectors
from covrr_utils.retrieval.weights import IDF
from covrr_utils.store.pooled import pooled_now

QUERY = "query"  # the id of the one query of a search


class FolderScores:
    """The scores of the V videos of a folder that have a description, all in one order."""

    def __init__(self, run: Run, descriptions: FolderDescriptions):
        self.run, self.descriptions, self.config = run, descriptions, run.config

    @cached_property
    def videos(self) -> list[str]:
        """The V videos of the folder that have a description: the order of all scores."""
        return list(self.run.gallery())

    @cached_property
    def _of_words(self) -> Int[np.ndarray, " V"]:
        """Where the words of each video's description stand in the index of words."""
        gallery = self.run.gallery()
        return self.words.places_of(gallery[video].record.stored for video in self.videos)

    @cached_property
    def place(self) -> dict[str, int]:
        """The place of each video among the scores."""
        return {video: place for place, video in enumerate(self.videos)}

    @cached_property
    def words(self) -> FolderWords:
        return self.descriptions.words()

    @cached_property
    def _alone(self) -> Vectors:
        """The vectors of the descriptions as the model reads each alone."""
        readings = self.descriptions.read_alone(self.words)
        return Vectors.of(self.run.pooled(readings, self.config.pooling, self.config.scheme))

    @cached_property
    def _context(self) -> Vectors:
        """The vectors of the descriptions as they came about."""
        config = self.config
        return Vectors.of(self.run.pooled_gallery(config.pooling, config.scheme, config.source))

    @cached_property
    def _there(self) -> dict[str, Int[np.ndarray, " N"]]:
        """For both kinds of vectors the places, among the scores, of the videos that have one."""
        galleries = {ALONE: self._alone, CONTEXT: self._context}
        return {
            name: np.array([self.place[video] for video in gallery], np.intp)
            for name, gallery in galleries.items()
        }

    def load(self) -> None:
        """Bring into memory what every question needs."""
        for vectors in (self._context, self._alone):
            vectors.lengths  # noqa: B018
        self._of_words, self._there  # noqa: B018

    def of(
        self, text: str, query: Outcomes[DescribedQuery] | None, by: str
    ) -> dict[str, Float64[np.ndarray, " V"]]:
        """Every score of every video, by name of the score; NaN where a video has none. A score
        that cannot be had is NaN for all.

        Raises
        ------
        NoAnswer
            If it is the one ``by`` which videos are ranked that cannot be had.
        """
        read = self.descriptions.read({QUERY: text}, "reading the query")
        pairs = {ALONE: (self._pooled(read, PREDICTS), self._alone)}
        if query is not None:
            pairs[CONTEXT] = self._pooled(query, self.config.source), self._context
        scores, folder = {}, self.descriptions.folder.root
        for name, (vectors, gallery) in pairs.items():
            if name == by:
                refuse_failure(vectors)
                if not gallery:
                    raise NoAnswer(
                        f"none of the {len(gallery.failures)} descriptions in"
                        f" {paths.relative(folder)} has anything to compare; rank by {WORDS!r}, or"
                        f" index the folder with another backbone"
                    )
            scores[name] = np.full(len(self.videos), np.nan)
            if gallery and QUERY in vectors:
                scores[name][self._there[name]] = gallery.cosines(vectors[QUERY])
        scores[WORDS] = self.words.scores(text, self._of_words)
        return scores

    def _pooled(self, query: Outcomes[D], source: str) -> Vectors:
        """The vector of a query: it is pooled now, beside all that is kept of the folder."""
        words = self.run.words if self.config.scheme == IDF else None
        how = self.config.pooling, self.config.scheme, source, words
        records = [item.record for item in query.values()]
        return pooled_now(records, lambda description: pool(description, *how), query.failures)


def refuse_failure(outcomes: Outcomes) -> None:
    """Raise a `NoAnswer` where the query has failed."""
    if failure := outcomes.failures.get(QUERY):
        raise NoAnswer(f"no answer: {failure.stage}, {failure.cause}: {failure.message}")
