"""`Scores`: how near every query is to every gallery video, whatever way of scoring it comes from.

Whoever has a new way of scoring makes `Scores` of it; ranks, recall and results follow from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.retrieval.ranking import similarities


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


def by_cosine(queries: Outcomes[np.ndarray], gallery: Outcomes[np.ndarray]) -> Scores:
    """Cosine of every query's vector (D,) with every gallery vector (D,).

    Raises
    ------
    ValueError
        If the widths differ, or a vector is zero or not finite.
    """
    by_query: dict[str, np.ndarray] = {}
    if queries and gallery:
        cosines = similarities(np.stack(list(queries.values())), np.stack(list(gallery.values())))
        by_query = dict(zip(queries, cosines, strict=True))
    return Scores(by_query, list(gallery), queries.failures, gallery.failures)
