"""What a sceptic asks for: how far does one get on the same gallery, with the same ranks, without
reasoning about the edit?

Every baseline is one short function from a `Run` to `Scores`, and ends in an ordinary `Result`: a
failure stays a miss here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import Described
from covrr_utils.retrieval.fusion import MIN_MAX
from covrr_utils.retrieval.pooling import ALONE, PREDICTS, VISION
from covrr_utils.retrieval.scores import Scores, by_cosine
from covrr_utils.retrieval.words import WordQuery, bm25

T = TypeVar("T")


class UnknownBaseline(ValueError):
    """A baseline name that does not exist."""


def chance(gallery: int, k: int, excluded: int = 0) -> float:
    """Expected recall at k of a random order of ``gallery`` videos of which ``excluded`` take no
    part.
    """
    return min(1.0, k / (gallery - excluded))


def edit_text(run: Run) -> Scores:
    """BM25 of the edit's words on the gallery's descriptions; the reference is not looked at."""
    return by_words(Outcomes({t.id: t.edit for t in run.benchmark.triplets}, {}), run.gallery())


def literal_edit(run: Run) -> Scores:
    """BM25 of the reference's description with the edit's words added: the edit taken literally,
    nothing inferred.
    """
    references = _of_triplets(run, _references(run))
    edits = {triplet.id: triplet.edit for triplet in run.benchmark.triplets}
    texts = {id_: f"{reference.text} {edits[id_]}" for id_, reference in references.items()}
    return by_words(Outcomes(texts, references.failures), run.gallery())


def reference_video(run: Run) -> Scores:
    """Cosine of the mean visual tokens of reference and gallery video. The edit plays no part."""
    looks = run.pooled(_references(run), "mean", "uniform", VISION)
    return by_cosine(_of_triplets(run, looks), run.pooled_gallery("mean", "uniform", VISION))


def reference_description(run: Run) -> Scores:
    """Cosine of the pooled descriptions of reference and gallery video. The edit plays no part."""
    pooling, scheme = run.config.pooling, run.config.scheme
    references = run.pooled(_references(run), pooling, scheme)
    return by_cosine(_of_triplets(run, references), run.pooled_gallery(pooling, scheme))


def reference_plus_edit(run: Run) -> Scores:
    """Cosine of the sum of two unit vectors: the reference's pooled description, and the pooled
    states of the edit as the model reads it.
    """
    pooling, scheme = run.config.pooling, run.config.scheme
    references = _of_triplets(run, run.pooled(_references(run), pooling, scheme))
    texts = {triplet.id: triplet.edit for triplet in run.benchmark.triplets}
    edits = run.pooled(run.descriptions.read(texts, "reading the edits"), pooling, scheme)
    sums = {id_: references[id_] + edits[id_] for id_ in references if id_ in edits}
    failures = references.failures | edits.failures
    return by_cosine(Outcomes(sums, failures), run.pooled_gallery(pooling, scheme))


BASELINES: dict[str, Callable[[Run], Scores]] = {
    "edit words": edit_text,
    "reference + edit words": literal_edit,
    "reference video": reference_video,
    "reference description": reference_description,
    "reference + edit vectors": reference_plus_edit,
}

POOLED = ("reference description", "reference + edit vectors")  # as the run pools


def evaluate_baseline(run: Run, name: str, save: bool = True) -> Result:
    """Rank the gallery by a baseline of `BASELINES`.

    Raises
    ------
    UnknownBaseline
        If there is none of that name.
    """
    if name not in BASELINES:
        raise UnknownBaseline(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")
    how = (run.config.pooling, run.config.scheme) if name in POOLED else ()
    return run.ranked(name, BASELINES[name](run), save, None, *how)


def evaluate_words(run: Run, strategy: str, save: bool = True) -> Result:
    """The strategy's descriptions matched with the gallery's by their words (BM25), in place of
    token states: what do the states add?
    """
    words = run.variant(scorers=["bm25"], weights=(), fuse=MIN_MAX, embedder=None, text_model=None)
    return words.evaluate(strategy, save=save)


def evaluate_reread(run: Run, strategy: str, save: bool = True) -> Result:
    """The strategy's and the gallery's descriptions read again by the model, each by itself: no
    video, no edit, no trace before it.

    What is lost or won against `Run.evaluate` is the part of the token states that is owed to their
    context, not to the text.
    """
    return run.variant(embedding=ALONE).evaluate(strategy, source=PREDICTS, save=save)


def by_words(texts: Outcomes[str], gallery: Outcomes[Described]) -> Scores:
    """BM25 of each text with every gallery description."""
    queries = [WordQuery(text) for text in texts.values()]
    matrix = bm25(queries, [described.text for described in gallery.values()])
    by_query = dict(zip(texts, matrix, strict=True))
    return Scores(by_query, list(gallery), texts.failures, gallery.failures)


def _references(run: Run) -> Outcomes[Described]:
    """Descriptions of all references, those outside the gallery included."""
    references = dict.fromkeys(triplet.reference for triplet in run.benchmark.triplets)
    return run.descriptions.videos(list(references), "describing the references")


def _of_triplets(run: Run, references: Outcomes[T]) -> Outcomes[T]:
    """What is known by reference, by the triplets that have it."""
    succeeded: dict[str, T] = {}
    failures: dict[str, Failure] = {}
    for triplet in run.benchmark.triplets:
        if triplet.reference in references:
            succeeded[triplet.id] = references[triplet.reference]
        else:
            failures[triplet.id] = references.failures[triplet.reference]
    return Outcomes(succeeded, failures)
