"""Similarities and ranks. A tie counts against the query, and NaN is an error: a constant embedding
can never "hit".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float64, Int

# equal vectors can differ in their last bits after a matrix product (about 1e-16 in float64)
TIE = 1e-9


BLOCK = 64 << 20  # bytes of gallery vectors that are held in float64 at a time


def similarities(
    queries: Float[np.ndarray, "Q D"], gallery: Float[np.ndarray, "G E"]
) -> Float64[np.ndarray, "Q G"]:
    """Cosine similarity of every query with every gallery vector; both must be equally wide.

    Raises
    ------
    ValueError
        If the widths differ, or a vector is zero or not finite.
    """
    check_widths(queries, gallery)
    units = queries.astype(np.float64) / norms_of("query", queries)[:, None]
    lengths = norms_of("gallery", gallery)
    cosines = np.empty((len(queries), len(gallery)))
    for part in _blocks(gallery):
        vectors = gallery[part].astype(np.float64) / lengths[part, None]
        cosines[:, part] = units @ vectors.T
    return cosines


def check_widths(queries: Float[np.ndarray, "Q D"], gallery: Float[np.ndarray, "G E"]) -> None:
    """Raise a `ValueError` where queries and gallery are not equally wide."""
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries are {queries.shape[1]} wide, gallery vectors {gallery.shape[1]}; both must"
            " come from the same pooling"
        )


def norms_of(
    name: str, vectors: Float[np.ndarray, "N D"], begin: int = 0
) -> Float64[np.ndarray, " N"]:
    """The length of every vector; ``name`` says what they are, ``begin`` which one is the first.

    Raises
    ------
    ValueError
        If a vector is zero or not finite.
    """
    norms = np.empty(len(vectors))
    for part in _blocks(vectors):
        norms[part] = np.linalg.norm(vectors[part].astype(np.float64), axis=1)
    if len(bad := begin + np.flatnonzero(~np.isfinite(norms) | (norms == 0))):
        raise ValueError(
            f"{name} vectors {bad[:5].tolist()} are zero or not finite; such a vector must be"
            " recorded as a failure, not ranked"
        )
    return norms


def target_left_out(target: int) -> ValueError:
    """The error of a target that takes no part in its own ranking."""
    return ValueError(
        f"the target (gallery index {target}) is excluded from its own ranking; is it the same"
        " video as the reference?"
    )


def _blocks(vectors: Float[np.ndarray, "N D"]) -> list[slice]:
    """Rows that are held in float64 at a time."""
    rows = max(1, BLOCK // (8 * max(vectors.shape[1], 1)))
    return [slice(start, start + rows) for start in range(0, len(vectors), rows)]


def rank_of_target(
    scores: Float[np.ndarray, " G"], target: int, excluded: Iterable[int] = ()
) -> int:
    """1 + the number of other gallery videos that score at least as high as the target: scores
    within `TIE` are equal, against the query.

    Parameters
    ----------
    scores : similarity of one query with every gallery video
    target : index of the target
    excluded : indices that do not take part, such as the reference

    Raises
    ------
    ValueError
        If a score is NaN, or the target is excluded.
    """
    scores = np.asarray(scores, np.float64)
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN; they cannot be ranked")
    taking_part = np.ones(len(scores), bool)
    taking_part[list(excluded)] = False
    if not taking_part[target]:
        raise target_left_out(target)
    return int((scores[taking_part] >= scores[target] - TIE).sum())


def top(
    scores: Float[np.ndarray, " G"], k: int, excluded: Iterable[int] = ()
) -> Int[np.ndarray, " K"]:
    """Gallery indices of the k best scores, best first (equal scores in gallery order), without
    ``excluded``: fewer than k where the gallery has no more.
    """
    order = np.argsort(-scores, kind="stable")
    return order[~np.isin(order, list(excluded))][:k]
