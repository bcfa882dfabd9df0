"""The ranks of many queries in a gallery of any size, block by block.

A block of the gallery is compared with a block of queries by one matrix product in float32. Where
float32 cannot tell two scores apart, they are computed again in float64. So ranks and best videos
are exactly those of `covrr_utils.retrieval.ranking`, in a fraction of its time, and the memory does
not grow with the gallery, which may be a memory map of half precision.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from covrr_utils.retrieval.ranking import TIE, check_widths, norms_of, target_left_out

QUERIES, GALLERY = 512, 4096  # vectors of a block

PAIRS = 2048  # scores that are computed again at a time

MANY = 1 / 16  # of a block: from here on, all of it is computed again, by one matrix product


@dataclass(frozen=True)
class Ranked:
    """One query's ranking: the target's rank, the best places and their scores, best first."""

    rank: int
    places: Int[np.ndarray, " K"]
    scores: Float64[np.ndarray, " K"]


def search(
    queries: Float[np.ndarray, "Q D"],
    gallery: Float[np.ndarray, "G E"],
    targets: Sequence[int],
    left_out: Sequence[Collection[int]],
    k: int,
) -> list[Ranked]:
    """Rank the gallery by cosine for every query.

    Parameters
    ----------
    queries, gallery : equally wide; need not be of length 1
    targets : the place of each query's target in the gallery
    left_out : the places that take no part in each query's ranking
    k : how many of the best to name; fewer where the gallery has no more

    Raises
    ------
    ValueError
        If the widths differ, a vector is zero or not finite, or a target is left out.
    """
    check_widths(queries, gallery)
    lengths = norms_of("query", queries), norms_of("gallery", gallery)
    for target, places in zip(targets, left_out, strict=True):
        if target in places:
            raise target_left_out(target)
    ranked: list[Ranked] = []
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        units = queries[part].astype(np.float64) / lengths[0][part, None]
        block = _Block(units, gallery, lengths[1], np.asarray(targets[part]), k)
        out = [np.fromiter(places, np.int64, len(places)) for places in left_out[part]]
        for begin in range(0, len(gallery), GALLERY):
            block.compare(begin, min(begin + GALLERY, len(gallery)), out)
        ranked += block.ranked()
    return ranked


class _Block:
    """A block of queries on its way through the gallery."""

    def __init__(
        self,
        units: Float64[np.ndarray, "Q D"],
        gallery: Float[np.ndarray, "G D"],
        lengths: Float64[np.ndarray, " G"],
        targets: Int[np.ndarray, " Q"],
        k: int,
    ):
        self.units, self.gallery, self.lengths, self.k = units, gallery, lengths, k
        self.single = units.astype(np.float32)
        # how far a float32 product of unit vectors can be off: one rounding for each of its terms
        self.error = (units.shape[1] + 4) * 2.0**-24
        self.target = self._exact(np.arange(len(units)), targets)
        self.ahead = np.zeros(len(units), np.int64)  # so many score at least as high as the target
        self.places = [np.empty(0, np.int64)] * len(units)
        self.scores = [np.empty(0)] * len(units)

    def compare(self, begin: int, end: int, left_out: Sequence[Int[np.ndarray, " _"]]) -> None:
        """Take the gallery's vectors from ``begin`` to ``end`` into account."""
        vectors = self.gallery[begin:end].astype(np.float32)
        vectors /= self.lengths[begin:end, None].astype(np.float32)
        scores = self.single @ vectors.T
        for row, places in enumerate(left_out):
            scores[row, places[(places >= begin) & (places < end)] - begin] = -np.inf
        margin = self.error + TIE
        ahead = scores > (self.target + margin)[:, None]
        self.ahead += ahead.sum(1)
        near = ~ahead & (scores >= (self.target - margin)[:, None])
        best = self._may_be_best(scores)
        rows, places = np.nonzero(near | best)
        exact = self._again(rows, places + begin, begin, end)
        tied = near[rows, places] & (exact >= self.target[rows] - TIE)
        self.ahead += np.bincount(rows[tied], minlength=len(self.ahead))
        chosen = best[rows, places]
        self._keep(rows[chosen], places[chosen] + begin, exact[chosen])

    def ranked(self) -> list[Ranked]:
        """What came of it, for every query."""
        return [
            Ranked(int(rank), *best) for rank, *best in zip(self.ahead, self.places, self.scores)
        ]

    def _may_be_best(self, scores: Float32[np.ndarray, "Q B"]) -> Bool[np.ndarray, "Q B"]:
        """Which may be among the k best so far, as far as float32 can tell."""
        there = min(self.k, scores.shape[1])
        bound = np.partition(scores, -there, axis=1)[:, -there].astype(np.float64) - self.error
        if there < self.k:
            bound[:] = -np.inf
        for row, kept in enumerate(self.scores):
            if len(kept) == self.k:
                bound[row] = max(bound[row], kept[-1])
        return np.isfinite(scores) & (scores >= (bound - self.error)[:, None])

    def _keep(
        self,
        rows: Int[np.ndarray, " N"],
        places: Int[np.ndarray, " N"],
        scores: Float64[np.ndarray, " N"],
    ) -> None:
        """The k best of each row's kept and new ones; of equal scores the one that stands first."""
        bounds = np.searchsorted(rows, np.arange(len(self.scores) + 1))
        for row in np.flatnonzero(np.diff(bounds)):
            part = slice(bounds[row], bounds[row + 1])
            together = np.concatenate([self.scores[row], scores[part]])
            order = np.argsort(-together, kind="stable")[: self.k]
            self.scores[row] = together[order]
            self.places[row] = np.concatenate([self.places[row], places[part]])[order]

    def _again(
        self, rows: Int[np.ndarray, " N"], places: Int[np.ndarray, " N"], begin: int, end: int
    ) -> Float64[np.ndarray, " N"]:
        """Scores of these pairs in float64."""
        if len(rows) <= MANY * len(self.units) * (end - begin):
            return self._exact(rows, places)
        vectors = self.gallery[begin:end].astype(np.float64) / self.lengths[begin:end, None]
        return (self.units @ vectors.T)[rows, places - begin]

    def _exact(
        self, rows: Int[np.ndarray, " N"], places: Int[np.ndarray, " N"]
    ) -> Float64[np.ndarray, " N"]:
        exact = np.empty(len(rows))
        for start in range(0, len(rows), PAIRS):
            part = slice(start, start + PAIRS)
            vectors = self.gallery[places[part]].astype(np.float64)
            products = np.einsum("nd,nd->n", self.units[rows[part]], vectors)
            exact[part] = products / self.lengths[places[part]]
        return exact
