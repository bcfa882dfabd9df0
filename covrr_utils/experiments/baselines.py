"""What a sceptic asks for: how far does one get on the same gallery, with the same ranks, without
reasoning about the edit?

Every baseline is one short function from a `Run` to scores, and ends in an ordinary `Result`: a
failure stays a miss here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from covrr_utils.backbones.description import Failure, Record
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.retrieval.pooling import PREDICTS, VISION
from covrr_utils.retrieval.ranking import similarities


class UnknownBaseline(ValueError):
    """A baseline name that does not exist."""


@dataclass
class Scored:
    """``scores[triplet id]``: (G,) similarity with each of ``videos``; failures by triplet id and
    by gallery video.
    """

    scores: dict[str, np.ndarray]
    videos: list[str]
    failures: dict[str, Failure] = field(default_factory=dict)
    gallery_failures: dict[str, Failure] = field(default_factory=dict)


def chance(gallery: int, k: int, excluded: int = 0) -> float:
    """Expected recall at k of a random order of ``gallery`` videos of which ``excluded`` take no
    part.
    """
    return min(1.0, k / (gallery - excluded))


def edit_text(run: Run) -> Scored:
    """BM25 of the edit's words on the gallery's descriptions; the reference is not looked at."""
    return _by_words(run, {triplet.id: triplet.edit for triplet in run.benchmark.triplets}, {})


def literal_edit(run: Run) -> Scored:
    """BM25 of the reference's description with the edit's words added: the edit taken literally,
    nothing inferred.
    """
    references, failures = _references(run)
    described = [triplet for triplet in run.benchmark.triplets if triplet.reference in references]
    texts = {
        triplet.id: f"{references[triplet.reference].description.text} {triplet.edit}"
        for triplet in described
    }
    return _by_words(run, texts, _by_triplet(run, failures))


def reference_video(run: Run) -> Scored:
    """Cosine of the mean visual tokens of reference and gallery video; the edit is not read."""
    references, failures = run.pooled(*_references(run), "mean", "uniform", VISION)
    gallery, gallery_failures = run.pooled_gallery("mean", "uniform", VISION)
    queries = {
        t.id: references[t.reference] for t in run.benchmark.triplets if t.reference in references
    }
    return _by_cosine(queries, gallery, _by_triplet(run, failures), gallery_failures)


def reference_description(run: Run) -> Scored:
    """Cosine of the pooled descriptions of reference and gallery video; the edit is not read."""
    references, failures, gallery, gallery_failures = _pooled_descriptions(run)
    queries = {
        t.id: references[t.reference] for t in run.benchmark.triplets if t.reference in references
    }
    return _by_cosine(queries, gallery, _by_triplet(run, failures), gallery_failures)


def reference_plus_edit(run: Run) -> Scored:
    """Cosine of the sum of two unit vectors: the reference's pooled description, and the pooled
    states of the edit as the model reads it.
    """
    references, failures, gallery, gallery_failures = _pooled_descriptions(run)
    read = run.read(
        {triplet.id: triplet.edit for triplet in run.benchmark.triplets}, "reading the edits"
    )
    edits, unpooled = run.pooled(*read, run.config.pooling, run.config.scheme)
    ready = [t for t in run.benchmark.triplets if t.reference in references and t.id in edits]
    sums = {t.id: references[t.reference] + edits[t.id] for t in ready}
    return _by_cosine(sums, gallery, _by_triplet(run, failures) | unpooled, gallery_failures)


BASELINES: dict[str, Callable[[Run], Scored]] = {
    "edit words": edit_text,
    "reference + edit words": literal_edit,
    "reference video": reference_video,
    "reference description": reference_description,
    "reference + edit vectors": reference_plus_edit,
}


def evaluate_baseline(run: Run, name: str, save: bool = True) -> Result:
    """Rank the gallery by a baseline of `BASELINES`.

    Raises
    ------
    UnknownBaseline
        If there is none of that name.
    """
    if name not in BASELINES:
        raise UnknownBaseline(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")
    return _result(run, name, BASELINES[name](run), save)


def evaluate_words(run: Run, strategy: str, save: bool = True) -> Result:
    """The strategy's descriptions matched with the gallery's by their words (BM25), in place of
    token states: what do the states add?
    """
    queries, failures = run.queries(strategy)
    scored = _by_words(
        run, {id_: record.description.text for id_, record in queries.items()}, failures
    )
    return _result(run, f"{strategy}, words", scored, save)


def evaluate_reread(run: Run, strategy: str, save: bool = True) -> Result:
    """The strategy's and the gallery's descriptions read again by the model, each by itself: no
    video, no edit, no trace before it.

    What is lost or won against `Run.evaluate` is the part of the token states that is owed to their
    context, not to the text.
    """
    queries, failures = _reread(run, *run.queries(strategy), f"reading {strategy} alone")
    gallery, gallery_failures = _reread(
        run, *run.gallery(), "reading the gallery's descriptions alone"
    )
    return _result(
        run,
        f"{strategy}, read alone",
        _by_cosine(queries, gallery, failures, gallery_failures),
        save,
    )


def _reread(run: Run, records: Mapping[str, Record], failures: Mapping[str, Failure], desc: str):
    """Vectors by id of the records' texts as the model reads them alone, and the failures."""
    read, lost = run.read({id_: record.description.text for id_, record in records.items()}, desc)
    return run.pooled(read, {**failures, **lost}, run.config.pooling, run.config.scheme)


def _result(run: Run, name: str, scored: Scored, save: bool) -> Result:
    return run.ranked(
        name, scored.scores, scored.videos, scored.failures, scored.gallery_failures, save
    )


def _references(run: Run) -> tuple[dict[str, Record], dict[str, Failure]]:
    """Descriptions of all references, those outside the gallery included."""
    return run.described(
        list(dict.fromkeys(triplet.reference for triplet in run.benchmark.triplets)),
        "describing the references",
    )


def _pooled_descriptions(run: Run):
    """The references' and the gallery's descriptions, pooled as the run pools, each with its
    failures.
    """
    pooling, scheme = run.config.pooling, run.config.scheme
    return *run.pooled(*_references(run), pooling, scheme, PREDICTS), *run.pooled_gallery(
        pooling, scheme
    )


def _by_triplet(run: Run, failures: Mapping[str, Failure]) -> dict[str, Failure]:
    """Failures of references become failures of the triplets that have them."""
    return {
        triplet.id: failures[triplet.reference]
        for triplet in run.benchmark.triplets
        if triplet.reference in failures
    }


def _by_cosine(
    queries: Mapping[str, np.ndarray], gallery: Mapping[str, np.ndarray], failures, gallery_failures
) -> Scored:
    scores = {}
    if queries and gallery:
        scores = dict(
            zip(
                queries,
                similarities(np.stack(list(queries.values())), np.stack(list(gallery.values()))),
                strict=True,
            )
        )
    return Scored(scores, list(gallery), dict(failures), dict(gallery_failures))


def _by_words(run: Run, texts: Mapping[str, str], failures: Mapping[str, Failure]) -> Scored:
    """BM25 (Lucene's variant, k1 1.5, b 0.75) of each text against every gallery description; all
    words count, also function words.
    """
    import bm25s

    def split(lines: Iterable[str]) -> list[list[str]]:
        return bm25s.tokenize(
            list(lines),
            stopwords=None,
            token_pattern=r"(?u)\b\w+\b",
            return_ids=False,
            show_progress=False,
        )

    gallery, gallery_failures = run.gallery()
    index = bm25s.BM25()
    index.index(split(record.description.text for record in gallery.values()), show_progress=False)
    words = zip(texts, split(texts.values()), strict=True)
    scores = {
        id_: np.asarray(index.get_scores(line), np.float64) if line else np.zeros(len(gallery))
        for id_, line in words
    }
    return Scored(scores, list(gallery), dict(failures), gallery_failures)
