"""The ranks of many queries in a gallery of any size, block by block.

A block of the gallery is compared with all queries by matrix products in float32. Where float32
cannot tell two scores apart, they are computed again in float64: those about as high as the
target's, block by block; those among which the best are, at the end. So ranks and best videos are
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

MANY = 1 / 16  # of a block: from here on, all of it is computed again, by one matrix product

TIED = 4  # times as many as the best that are asked for: more are not kept, but told apart at once


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
        parts.append(_Queries(queries[part], gallery, targets[part], left_out[part], k))
    for block in blocks(gallery):
        for some in parts:
            some.compare(block)
    return [ranked for some in parts for ranked in some.ranked()]


class _Queries:
    """Some queries on their way through the gallery."""

    def __init__(
        self,
        queries: Float[np.ndarray, "Q D"],
        gallery: Float[np.ndarray, "G D"],
        targets: Sequence[int],
        left_out: Sequence[Collection[int]],
        k: int,
    ):
        self.gallery, self.k, count = gallery, k, len(queries)
        self.units = queries.astype(np.float64) / norms_of("query", queries)[:, None]
        self.single = self.units.astype(np.float32)
        self.error = error(queries.shape[1])
        with np.errstate(invalid="ignore"):  # of a target without a direction its block tells
            self.target = cosines_of_pairs(
                self.units, np.arange(count), gallery, np.asarray(targets)
            )
        self.surely = _upward(self.target + self.error + TIE)  # more than this is ahead
        self.maybe = _downward(self.target - self.error - TIE)  # less than this is behind
        self.ahead = np.zeros(count, np.int64)  # so many score at least as high as the target
        rows = np.repeat(np.arange(count), [len(places) for places in left_out])
        places = np.fromiter((place for some in left_out for place in some), np.int64, len(rows))
        order = np.argsort(places, kind="stable")
        self.left_out = rows[order], places[order]
        self.kept = _Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        self.new: list[_Pairs] = []  # may be among the best
        self.bound = np.full(count, -np.inf)  # what scores less is not among the k best

    def compare(self, block: Block) -> None:
        """Take a block of the gallery into account."""
        scores = block.cosines(self.single)
        begin, end = np.searchsorted(self.left_out[1], [block.begin, block.begin + len(block)])
        out = slice(begin, end)
        scores[self.left_out[0][out], self.left_out[1][out] - block.begin] = -np.inf
        self._count_ahead(scores, block)
        self._keep_best(scores, block)

    def _count_ahead(self, scores: Float32[np.ndarray, "Q B"], block: Block) -> None:
        """Count what scores at least as high as each target."""
        ahead = scores > self.surely[:, None]
        near = scores >= self.maybe[:, None]
        self.ahead += np.count_nonzero(ahead, axis=1)
        near ^= ahead
        rows, places = np.nonzero(near)
        tied = self._exact(rows, places, block) >= self.target[rows] - TIE
        self.ahead += np.bincount(rows[tied], minlength=len(self.ahead))

    def ranked(self) -> list[Ranked]:
        """What came of it, for every query."""
        self._drop()
        best = self._told_apart(self.kept)
        bounds = np.searchsorted(best.rows, np.arange(len(self.units) + 1))
        return [
            Ranked(int(rank), best.places[begin:end], best.scores[begin:end])
            for rank, begin, end in zip(self.ahead, bounds, bounds[1:])
        ]

    def _keep_best(self, scores: Float32[np.ndarray, "Q B"], block: Block) -> None:
        """Keep what may be among the k best, as far as float32 can tell."""
        bound = _downward(self.bound)
        better = np.flatnonzero(scores.max(axis=1) >= bound)
        some = scores[better]
        best = (some >= bound[better, None]) & (some > -np.inf)
        many = np.flatnonzero(np.count_nonzero(best, axis=1) > 2 * self.k)
        if len(many) and self.k < some.shape[1]:
            of_block = np.partition(some[many], -self.k, axis=1)[:, -self.k].astype(np.float64)
            best[many] &= some[many] >= _downward(of_block - 2 * self.error)[:, None]
        rows, places = np.nonzero(best)
        pairs = _Pairs(better[rows], places + block.begin, some[rows, places].astype(np.float64))
        self.new.append(pairs)
        if sum(map(len, self.new)) >= self.k * len(self.units):
            self._drop()

    def _drop(self) -> None:
        """Keep of the pairs those that may still be among the k best of their row."""
        pairs = _Pairs.joined([self.kept, *self.new])
        last = pairs.best(self.k)
        full = np.flatnonzero(np.bincount(last.rows, minlength=len(self.bound)) == self.k)
        ends = np.searchsorted(last.rows, full, side="right") - 1
        self.bound[full] = last.scores[ends] - 2 * self.error
        pairs = pairs.of(pairs.scores >= self.bound[pairs.rows])
        if len(pairs) > TIED * self.k * len(self.units):
            pairs = self._told_apart(pairs)
        self.kept, self.new = pairs, []

    def _told_apart(self, pairs: _Pairs) -> _Pairs:
        """The k best of each row by their exact scores; of equal ones those that stand first."""
        exact = cosines_of_pairs(self.units, pairs.rows, self.gallery, pairs.places)
        return _Pairs(pairs.rows, pairs.places, exact).best(self.k)

    def _exact(
        self, rows: Int[np.ndarray, " N"], places: Int[np.ndarray, " N"], block: Block
    ) -> Float64[np.ndarray, " N"]:
        """The scores of these pairs in float64."""
        if len(rows) > MANY * len(self.units) * len(block):
            return block.all_exact(self.units)[rows, places]
        return cosines_of_pairs(self.units, rows, block.source, places)


@dataclass(frozen=True)
class _Pairs:
    """Queries (by row), places of the gallery, and their scores."""

    rows: Int[np.ndarray, " N"]
    places: Int[np.ndarray, " N"]
    scores: Float64[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, chosen: Bool[np.ndarray, " N"]) -> _Pairs:
        """The chosen ones of these."""
        return _Pairs(self.rows[chosen], self.places[chosen], self.scores[chosen])

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
