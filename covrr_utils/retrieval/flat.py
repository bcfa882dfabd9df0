"""The best videos by another hand: faiss, in float32.

`covrr_utils.retrieval.search` is exact and needs nothing more. This is what it is held to, in the
tests and in ``benchmarks/ranking.py``: the flat search of a library that many trust. faiss is an
extra, ``pip install "covrr-workbook[faiss]"``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

from covrr_utils.retrieval.blocks import blocks
from covrr_utils.retrieval.ranking import check_widths, norms_of


class NoFaiss(ImportError):
    """The extra is not installed."""


def faiss_best(
    queries: Float[np.ndarray, "Q D"],
    gallery: Float[np.ndarray, "G E"],
    left_out: Sequence[Collection[int]],
    k: int,
) -> list[tuple[Int[np.ndarray, " K"], Float32[np.ndarray, " K"]]]:
    """For every query the places of its k best by cosine, best first, and their scores. Scores that
    float32 cannot tell apart may stand in any order.

    Parameters
    ----------
    queries, gallery : equally wide; need not be of length 1
    left_out : the places that take no part in each query's ranking
    k : how many of the best to name; fewer where the gallery has no more

    Raises
    ------
    NoFaiss
        If faiss is not installed.
    ValueError
        If the widths differ, or a vector is zero or not finite.
    """
    try:
        import faiss
    except ImportError as missing:
        raise NoFaiss(
            'faiss is not installed; `pip install "covrr-workbook[faiss]"` does that'
        ) from missing
    check_widths(queries, gallery)
    units = (queries / norms_of("query", queries)[:, None]).astype(np.float32)
    most = min(k + max(map(len, left_out), default=0), len(gallery))
    best = faiss.ResultHeap(len(units), most, keep_max=True)
    for block in blocks(gallery):
        vectors = block.single / block.lengths[:, None]
        nearest = min(most, len(vectors))
        scores, places = faiss.knn(units, vectors, nearest, metric=faiss.METRIC_INNER_PRODUCT)
        best.add_result(scores, places + block.begin)
    best.finalize()
    ranked = []
    for scores, places, out in zip(best.D, best.I, left_out, strict=True):
        chosen = np.flatnonzero(~np.isin(places, list(out)))[:k]
        ranked.append((places[chosen], scores[chosen]))
    return ranked
