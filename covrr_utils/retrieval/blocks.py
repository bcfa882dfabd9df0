"""A gallery of any size, block by block: float32 for the product with many queries, float64 for the
few scores that float32 cannot tell apart.

Converting half precision takes numpy eight times as long as torch, and as long as the product with
eighty queries. So torch converts where it is loaded anyway, or where the gallery is so large that
loading it pays.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from covrr_utils.retrieval.ranking import norms_of

BLOCK_BYTES = 4 << 20  # of a block in float32: it stays in the processor's cache

ROWS = 8192  # of a block at most

PAIR_BYTES = 1 << 18  # of the vectors that are compared one by one in float64 at a time

TERMS = 256  # of a product in float32 that are summed up at a stretch

EPSILON = 2.0**-24  # how far one rounding to float32 can be off, relative

SQUARES = 1e-30, 1e30  # of lengths that float32 holds with all its digits

LARGE = 1 << 28  # numbers of half precision: to convert as many takes longer than to load torch


@dataclass(frozen=True)
class Block:
    """Neighbours in a gallery.

    Attributes
    ----------
    begin : the place of the first one
    single : the vectors (B, D) in float32
    lengths : of these vectors (B,) in float32
    source : what the exact scores are computed from; it differs from ``single`` where float32
        cannot hold the gallery's vectors or their lengths
    """

    begin: int
    single: Float32[np.ndarray, "B D"]
    lengths: Float32[np.ndarray, " B"]
    source: Float[np.ndarray, "B D"]

    def __len__(self) -> int:
        return len(self.single)

    def cosines(self, units: Float32[np.ndarray, "Q D"]) -> Float32[np.ndarray, "Q B"]:
        """The cosines with these queries of length 1, off by `error` at most."""
        width = units.shape[1]
        scores = units[:, :TERMS] @ self.single[:, :TERMS].T
        for start in range(TERMS, width, TERMS):
            part = slice(start, start + TERMS)
            scores += units[:, part] @ self.single[:, part].T
        scores /= self.lengths
        return scores

    def all_exact(self, units: Float64[np.ndarray, "Q D"]) -> Float64[np.ndarray, "Q B"]:
        """As `cosines`, in float64."""
        vectors = self.source.astype(np.float64)
        return units @ (vectors / np.linalg.norm(vectors, axis=1)[:, None]).T


def cosines_of_pairs(
    units: Float64[np.ndarray, "Q D"],
    rows: Int[np.ndarray, " N"],
    vectors: Float[np.ndarray, "G D"],
    places: Int[np.ndarray, " N"],
) -> Float64[np.ndarray, " N"]:
    """The cosines in float64 of pairs: of the queries of length 1 in these ``rows`` with the
    vectors at these ``places``.
    """
    cosines = np.empty(len(rows))
    step = max(1, PAIR_BYTES // (8 * max(units.shape[1], 1)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        some = vectors[places[part]].astype(np.float64)
        cosines[part] = np.vecdot(units[rows[part]], some) / np.sqrt(np.vecdot(some, some))
    return cosines


def error(width: int) -> float:
    """How far the float32 cosine of vectors of this width can be off: one rounding for each term of
    the longest sum, in the product and (half of it, under the root) in the length, and few more.
    """
    terms = min(width, TERMS) + -(-width // TERMS)
    return (1.5 * terms + 8) * EPSILON


def blocks(gallery: Float[np.ndarray, "G D"]) -> Iterator[Block]:
    """The gallery in blocks, in its order. The next one takes the memory of the one before.

    Raises
    ------
    ValueError
        If a vector is zero or not finite.
    """
    for begin, part, single in converted(gallery):
        yield _block(begin, part, single)


def converted(
    gallery: Float[np.ndarray, "G D"],
) -> Iterator[tuple[int, Float[np.ndarray, "B D"], Float32[np.ndarray, "B D"]]]:
    """Neighbours in the gallery: the place of the first one, the vectors as they are and in
    float32. The next ones take the memory of those before.
    """
    count, width = gallery.shape
    rows = max(1, min(ROWS, BLOCK_BYTES // (4 * max(width, 1))))
    fast = gallery.dtype == np.float16 and ("torch" in sys.modules or gallery.size >= LARGE)
    buffer = np.empty((min(rows, count), width), np.float32)
    for begin in range(0, count, rows):
        part = gallery[begin : begin + rows]
        single = buffer[: len(part)]
        with np.errstate(over="ignore"):  # float64 beyond float32: its lengths tell
            (_by_torch if fast else np.copyto)(single, part)
        yield begin, part, single


def _block(begin: int, part: Float[np.ndarray, "B D"], single: Float32[np.ndarray, "B D"]) -> Block:
    with np.errstate(over="ignore"):
        squares = _squares(single)
    if squares.min() >= SQUARES[0] and squares.max() <= SQUARES[1]:  # not so if one is NaN
        source = single if part.dtype.itemsize <= 4 else part
        return Block(begin, single, np.sqrt(squares).astype(np.float32), source)
    units = part.astype(np.float64) / norms_of("gallery", part, begin)[:, None]
    single[:] = units
    return Block(begin, single, np.ones(len(part), np.float32), units)


def _squares(vectors: Float32[np.ndarray, "B D"]) -> Float64[np.ndarray, " B"]:
    """The squared lengths, summed up in float32 over `TERMS` terms at a stretch."""
    count, width = vectors.shape
    whole = width - width % TERMS
    parts = vectors[:, :whole].reshape(count, whole // TERMS, TERMS)
    squares = np.vecdot(parts, parts).sum(axis=1, dtype=np.float64)
    return squares + np.vecdot(vectors[:, whole:], vectors[:, whole:])


def _by_torch(single: Float32[np.ndarray, "B D"], part: Float[np.ndarray, "B D"]) -> None:
    import torch

    with warnings.catch_warnings():  # torch warns of a map that cannot be written; it is only read
        warnings.filterwarnings("ignore", message=".*not writable")
        half = torch.from_numpy(np.asarray(part))
    torch.from_numpy(single).copy_(half)
