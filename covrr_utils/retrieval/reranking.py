"""The first candidates of a ranking are put in a new order; all others stay where they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

from covrr_utils.retrieval.fusion import ABSENT, MIN_MAX, scaled
from covrr_utils.retrieval.ranking import TIE

SURE_GAP = 0.25  # first minus second score, on the min-max scale of the gallery (CoVRAGE)


def reranked(
    first: Float[np.ndarray, " G"],
    candidates: Int[np.ndarray, " D"],
    scores: Float[np.ndarray, " D"],
    weight: float = 1.0,
    scale: str = MIN_MAX,
) -> Float64[np.ndarray, " G"]:
    """Scores of the whole gallery whose first D places are ordered by ``scores``.

    The new order is that of ``weight`` x ``scores`` + (1 - ``weight``) x ``first``, both brought to
    one scale over the candidates that have a score. A candidate without one (`ABSENT`: it could not
    be scored) keeps the place that it had. Equal scores stay equal, so that a tie counts against
    the query as ever. What follows the candidates keeps its scores of the first stage; those of the
    candidates lie above them, a whole number apart: their size has no other meaning.

    Parameters
    ----------
    first : first-stage scores of the gallery
    candidates : gallery indices of the first D candidates, best first
    scores : the reranker's score of each of them
    """
    out = np.asarray(first, np.float64).copy()
    if not len(candidates):
        return out
    has = np.asarray(scores) != ABSENT
    values = np.empty(len(candidates))
    values[has] = scaled(np.asarray(scores)[has], scale) * weight
    if weight < 1.0:
        values[has] += scaled(out[candidates[has]], scale) * (1.0 - weight)
    places = np.flatnonzero(has)  # the places that are given out anew
    order = places[np.argsort(-values[has], kind="stable")]
    place_of = np.arange(len(candidates))
    for number, candidate in enumerate(order):
        before = order[number - 1] if number else None
        tied = before is not None and values[before] - values[candidate] <= TIE
        place_of[candidate] = place_of[before] if tied else places[number]
    out[candidates] = out.max() + len(candidates) - place_of
    return out


def is_sure(first: Float[np.ndarray, " G"], candidates: Int[np.ndarray, " D"]) -> bool:
    """Whether the first candidate leads the second by more than `SURE_GAP` of the range of all
    scores.
    """
    if len(candidates) < 2:
        return True
    span = np.ptp(first)
    return bool(span > 0 and (first[candidates[0]] - first[candidates[1]]) / span > SURE_GAP)
