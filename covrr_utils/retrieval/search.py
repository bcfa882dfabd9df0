"""The ranks of many queries in a gallery of any size, block by block.

A block of the gallery is compared with all queries by matrix products in float32. Where float32
cannot tell two scores apart, they are computed again in float64. So ranks and best videos are
exactly those of `covrr_utils.retrieval.ranking`, at about the cost of the products, and the memory
does not grow with the gallery, which may be a memory map of half precision.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from covrr_utils.retrieval.blocks import Block, blocks, cosines_of_pairs, error
from covrr_utils.retrieval.ranking import TIE, check_widths, norms_of, target_left_out

QUERIES = 512  # that are compared with a block at a time

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
    for target, places in zip(targets, left_out, strict=True):
        if target in places:
            raise target_left_out(target)
    parts = []
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        places = np.asarray(targets[part])
        parts.append(_Queries(queries[part], gallery[places], left_out[part], k))
    for block in blocks(gallery):
        for some in parts:
            some.compare(block)
    return [ranked for some in parts for ranked in some.ranked()]


class _Queries:
    """Some queries on their way through the gallery."""

    def __init__(
        self,
        queries: Float[np.ndarray, "Q D"],
        targets: Float[np.ndarray, "Q D"],
        left_out: Sequence[Collection[int]],
        k: int,
    ):
        self.k, count = k, len(queries)
        self.units = queries.astype(np.float64) / norms_of("query", queries)[:, None]
        self.single = self.units.astype(np.float32)
        self.error = error(queries.shape[1])
        with np.errstate(invalid="ignore"):  # of a target without a direction its block tells
            self.target = cosines_of_pairs(self.units, targets)
        self.surely = _upward(self.target + self.error + TIE)  # more than this is ahead
        self.maybe = _downward(self.target - self.error - TIE)  # less than this is behind
        self.ahead = np.zeros(count, np.int64)  # so many score at least as high as the target
        rows = np.repeat(np.arange(count), [len(places) for places in left_out])
        places = np.fromiter((place for some in left_out for place in some), np.int64, len(rows))
        order = np.argsort(places, kind="stable")
        self.left_out = rows[order], places[order]
        self.kept = _Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        self.new: list[_Pairs] = []  # may be among the best
        self.bound = np.full(count, -np.inf)  # the score of the last one of the k best so far

    def compare(self, block: Block) -> None:
        """Take a block of the gallery into account."""
        scores = block.cosines(self.single)
        begin, end = np.searchsorted(self.left_out[1], [block.begin, block.begin + len(block)])
        out = slice(begin, end)
        scores[self.left_out[0][out], self.left_out[1][out] - block.begin] = -np.inf
        ahead = scores > self.surely[:, None]
        self.ahead += np.count_nonzero(ahead, axis=1)
        near = scores >= self.maybe[:, None]
        near ^= ahead
        best = self._may_be_best(scores)
        rows, places = np.nonzero(near | best)
        exact = self._exact(rows, places, block)
        tied = near[rows, places] & (exact >= self.target[rows] - TIE)
        self.ahead += np.bincount(rows[tied], minlength=len(self.ahead))
        chosen = best[rows, places]
        self.new.append(_Pairs(rows[chosen], places[chosen] + block.begin, exact[chosen]))
        if sum(map(len, self.new)) >= self.k * len(self.units):
            self._keep()

    def ranked(self) -> list[Ranked]:
        """What came of it, for every query."""
        self._keep()
        bounds = np.searchsorted(self.kept.rows, np.arange(len(self.units) + 1))
        return [
            Ranked(int(rank), self.kept.places[begin:end], self.kept.scores[begin:end])
            for rank, begin, end in zip(self.ahead, bounds, bounds[1:])
        ]

    def _may_be_best(self, scores: Float32[np.ndarray, "Q B"]) -> Bool[np.ndarray, "Q B"]:
        """Which may be among the k best so far, as far as float32 can tell."""
        best = scores >= _downward(self.bound - self.error)[:, None]
        many = np.flatnonzero(np.count_nonzero(best, axis=1) > 2 * self.k)
        if len(many) and self.k < scores.shape[1]:
            of_block = np.partition(scores[many], -self.k, axis=1)[:, -self.k].astype(np.float64)
            best[many] &= scores[many] >= _downward(of_block - 2 * self.error)[:, None]
        return best & (scores > -np.inf)

    def _keep(self) -> None:
        """The k best of each row's kept and new ones; of equal scores the one that stands first."""
        self.kept = _Pairs.joined([self.kept, *self.new]).best(self.k)
        self.new = []
        full = np.flatnonzero(np.bincount(self.kept.rows, minlength=len(self.bound)) == self.k)
        last = np.searchsorted(self.kept.rows, full, side="right") - 1
        self.bound[full] = self.kept.scores[last]

    def _exact(
        self, rows: Int[np.ndarray, " N"], places: Int[np.ndarray, " N"], block: Block
    ) -> Float64[np.ndarray, " N"]:
        """The scores of these pairs in float64."""
        if len(rows) > MANY * len(self.units) * len(block):
            return block.all_exact(self.units)[rows, places]
        exact = np.empty(len(rows))
        for start in range(0, len(rows), PAIRS):
            part = slice(start, start + PAIRS)
            exact[part] = block.exact(self.units[rows[part]], places[part])
        return exact


@dataclass(frozen=True)
class _Pairs:
    """Queries (by row), places of the gallery, and their exact scores."""

    rows: Int[np.ndarray, " N"]
    places: Int[np.ndarray, " N"]
    scores: Float64[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def joined(cls, parts: Sequence[_Pairs]) -> _Pairs:
        """All of these."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.places for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )

    def best(self, k: int) -> _Pairs:
        """The k best of each row, best first, row by row."""
        order = np.lexsort((self.places, -self.scores, self.rows))
        rows = self.rows[order]
        chosen = order[np.arange(len(rows)) - np.searchsorted(rows, rows) < k]
        return _Pairs(self.rows[chosen], self.places[chosen], self.scores[chosen])


def _upward(values: Float64[np.ndarray, " N"]) -> Float32[np.ndarray, " N"]:
    """In float32 and not smaller."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


def _downward(values: Float64[np.ndarray, " N"]) -> Float32[np.ndarray, " N"]:
    """In float32 and not larger."""
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf))
