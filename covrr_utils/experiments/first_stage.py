"""The first stage of a ranking: one scorer, or several fused, compare every query with every
gallery video: by their descriptions, or by the vectors of an embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from covrr_utils.experiments.embedding import by_embedder
from covrr_utils.experiments.ranking_group import EMBEDDER, STATES, TEXT_MODEL
from covrr_utils.experiments.text_vectors import by_text_model
from covrr_utils.retrieval.fusion import ABSENT, GATED, MIN_MAX, fuse, gated_residual, scaled
from covrr_utils.retrieval.scores import Scores, by_cosine
from covrr_utils.retrieval.words import WORD_SCORERS, WordQuery

if TYPE_CHECKING:
    from covrr_utils.experiments.run import Run


def first_stage(run: Run, strategy: str, pooling: str, scheme: str, source: str) -> Scores:
    """The scores of the run's scorers for a strategy, fused where there are several."""
    config = run.config
    lists = []
    for scorer in config.scorers:
        if scorer in WORD_SCORERS:
            lists.append(by_words(run, strategy, scorer))
        elif scorer == EMBEDDER:
            lists.append(by_embedder(run, strategy))
        elif scorer == TEXT_MODEL:
            lists.append(by_text_model(run, strategy))
        else:
            embedding = config.embedding if scorer == STATES else scorer
            queries = run.embedded(run.queries(strategy), embedding, strategy)
            lists.append(
                by_cosine(
                    run.pooled(queries, pooling, scheme, source),
                    run.pooled_gallery(pooling, scheme, source, embedding),
                )
            )
    return lists[0] if len(lists) == 1 else fused(lists, config.fuse, config.weights or None)


def by_words(run: Run, strategy: str, scorer: str) -> Scores:
    """The words of a strategy's descriptions against those of the gallery's, by ``bm25`` or
    ``tfidf``.
    """
    queries, gallery = run.queries(strategy), run.gallery()
    edits = {triplet.id: triplet.edit for triplet in run.benchmark.triplets}
    word_queries = [
        WordQuery(query.text, edits[id_], run.config.edit_weight) for id_, query in queries.items()
    ]
    matrix = WORD_SCORERS[scorer](word_queries, [described.text for described in gallery.values()])
    by_query = dict(zip(queries, matrix, strict=True))
    return Scores(by_query, list(gallery), queries.failures, gallery.failures)


def gated(
    rows: Sequence[Float[np.ndarray, " G"]], weights: Sequence[float] | None
) -> Float64[np.ndarray, " G"]:
    """The second list moves the first by its share of the weights, where both agree: they come from
    different scorers, so they are brought to 0..1 first.
    """
    base, other = (scaled(row, MIN_MAX) for row in rows)
    share = weights[1] / sum(weights) if weights else 0.5
    fused = gated_residual(base, other, share)
    return np.where(np.all([row == ABSENT for row in rows], axis=0), ABSENT, fused)


def fused(lists: Sequence[Scores], scale: str, weights: Sequence[float] | None = None) -> Scores:
    """Several ways of scoring as one. A triplet or gallery video takes part where at least one of
    them scores it; where another does not, it is absent there.
    """
    videos = list(dict.fromkeys(video for scores in lists for video in scores.videos))
    place = {video: number for number, video in enumerate(videos)}
    columns = [np.array([place[video] for video in scores.videos], int) for scores in lists]
    by_query = {}
    for id_ in dict.fromkeys(id_ for scores in lists for id_ in scores.by_query):
        rows = []
        for scores, places in zip(lists, columns):
            row = np.full(len(videos), ABSENT)
            if id_ in scores.by_query:
                row[places] = scores.by_query[id_]
            rows.append(row)
        by_query[id_] = gated(rows, weights) if scale == GATED else fuse(rows, scale, weights)
    failures = {id_: f for scores in lists for id_, f in scores.failures.items()}
    lost = {video: f for scores in lists for video, f in scores.gallery_failures.items()}
    return Scores(
        by_query,
        videos,
        {id_: failure for id_, failure in failures.items() if id_ not in by_query},
        {video: failure for video, failure in lost.items() if video not in place},
    )
