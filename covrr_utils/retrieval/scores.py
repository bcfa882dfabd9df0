"""`Scores`: how near every query is to every gallery video, whatever way of scoring it comes from.

Whoever has a new way of scoring makes `Scores` of it; ranks, recall and results follow from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.retrieval.ranking import check_widths, rank_of_target, similarities, top
from covrr_utils.retrieval.search import Ranked, search
from covrr_utils.retrieval.vectors import Vectors

KEPT_BYTES = 256 << 20  # of cosines that are computed together and kept


@dataclass(frozen=True)
class Scores:
    """Scores of queries against a gallery, and what could not take part.

    Attributes
    ----------
    by_query : triplet id -> (G,) float64, its score with every one of ``videos``, higher is nearer
    videos : the G gallery videos that could be described
    failures : why a triplet has no scores, by triplet id
    gallery_failures : why a gallery video is not among ``videos``, by video
    """

    by_query: Mapping[str, np.ndarray]
    videos: Sequence[str]
    failures: Mapping[str, Failure] = field(default_factory=dict)
    gallery_failures: Mapping[str, Failure] = field(default_factory=dict)

    def ranked(
        self,
        queries: Sequence[str],
        targets: Sequence[int],
        left_out: Sequence[Collection[int]],
        k: int,
    ) -> list[Ranked]:
        """For each query the rank of its target and the k best, see
        `covrr_utils.retrieval.search.search`.
        """
        ranked = []
        for query, target, places in zip(queries, targets, left_out, strict=True):
            scores = self.by_query[query]
            best = top(scores, k, places)
            ranked.append(Ranked(rank_of_target(scores, target, places), best, scores[best]))
        return ranked


class Cosines(Mapping[str, np.ndarray]):
    """The cosines of each query with all of a gallery, computed when they are asked for, for as
    many queries together as fit into `KEPT_BYTES`.
    """

    def __init__(self, queries: Vectors, gallery: Vectors):
        self.queries, self.gallery = queries, gallery
        self._places = {query: place for place, query in enumerate(queries)}
        self._together = max(1, KEPT_BYTES // (8 * max(len(gallery), 1)))
        self._kept: tuple[int, np.ndarray] | None = None

    def __getitem__(self, query: str) -> np.ndarray:
        number, row = divmod(self._places[query], self._together)
        if self._kept is None or self._kept[0] != number:
            start = number * self._together
            queries = self.queries.matrix[start : start + self._together]
            self._kept = number, similarities(queries, self.gallery.matrix)
        return self._kept[1][row]

    def vectors(self, queries: Sequence[str]) -> np.ndarray:
        """The vectors (N, D) of these N queries."""
        return self.queries.matrix[[self._places[query] for query in queries]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class CosineScores(Scores):
    """Cosines as `Scores`: the gallery is ranked without keeping all of them."""

    by_query: Cosines

    def ranked(
        self,
        queries: Sequence[str],
        targets: Sequence[int],
        left_out: Sequence[Collection[int]],
        k: int,
    ) -> list[Ranked]:
        """As `Scores.ranked`, block by block."""
        vectors = self.by_query.vectors(queries)
        return search(vectors, self.by_query.gallery.matrix, targets, left_out, k)


def by_cosine(queries: Outcomes[np.ndarray], gallery: Outcomes[np.ndarray]) -> Scores:
    """Cosine of every query's vector (D,) with every gallery vector (D,).

    Raises
    ------
    ValueError
        If the widths differ; later, when scores are asked for, if a vector is zero or not finite.
    """
    if not (queries and gallery):
        return Scores({}, list(gallery), queries.failures, gallery.failures)
    query_vectors, gallery_vectors = Vectors.of(queries), Vectors.of(gallery)
    check_widths(query_vectors.matrix, gallery_vectors.matrix)
    return CosineScores(
        Cosines(query_vectors, gallery_vectors),
        list(gallery_vectors),
        queries.failures,
        gallery.failures,
    )
