"""What a notebook calls: a `Run` has its gallery and queries described, pools them, ranks the
gallery, and keeps the result.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from covrr_utils.backbones.description import Outcomes
from covrr_utils.backbones.generation import Generation
from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.descriptions import Descriptions, benchmark_of
from covrr_utils.experiments.evaluation import rank
from covrr_utils.experiments.first_stage import first_stage
from covrr_utils.experiments.keys import grammar_of
from covrr_utils.experiments.places import (
    RETRIEVING,
    backbone_label,
    deciding,
    labels_hash,
    outside_files,
    run_folder,
)
from covrr_utils.experiments.ranking_group import of_states
from covrr_utils.experiments.reranking import Reranking, rerank
from covrr_utils.experiments.results import Method, Result, save_result
from covrr_utils.experiments.stored import Described, DescribedQuery, cut_off
from covrr_utils.reasoning.validity import validity
from covrr_utils.retrieval.pooling import CONTEXT, PREDICTS, pool, way_of
from covrr_utils.retrieval.scores import Scores
from covrr_utils.retrieval.weights import IDF, WordFrequencies
from covrr_utils.store.pooled import pooled
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import Clip
from covrr_utils.video.decoder import read_clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

D = TypeVar("D", bound=Described)

VARIABLE = ("samples", "synthesis", "grammar", "seed", "pooling", "scheme", "source", *RETRIEVING)


class Run:
    """One benchmark and one backbone: descriptions through the store, and results.

    The backbone is loaded when it is first needed, unless a loaded one is given. ``descriptions``
    of something else than the configuration's benchmark may be given instead.
    """

    def __init__(
        self,
        config: RunConfig,
        backbone: Backbone | None = None,
        descriptions: Descriptions | None = None,
    ):
        self.config = config
        self.descriptions = descriptions or Descriptions(config, benchmark_of(config), backbone)
        self.benchmark: Benchmark = self.descriptions.benchmark
        self._pooled_gallery: dict[tuple[str, ...], Outcomes[np.ndarray]] = {}
        self._validity: dict[str, tuple[Outcomes[DescribedQuery], dict[str, object] | None]] = {}

    @property
    def backbone(self) -> Backbone:
        """The frozen model, loaded when first needed."""
        return self.descriptions.backbone

    @property
    def generation(self) -> Generation:
        """How its texts are generated: greedily, up to the run's limit of new tokens."""
        return self.descriptions.generation

    def release(self) -> None:
        """Let go of the model, its memory and that of frames; all are there again when needed."""
        self.descriptions.frames.clear()
        self.descriptions.model.release()

    def variant(self, **changes: Any) -> Run:
        """The same run with other settings of the queries (samples, synthesis, grammar, seed) or of
        the comparison (pooling, scheme, source, ...); model and gallery are shared.

        Raises
        ------
        ValueError
            For a setting that the gallery depends on: that needs a `Run` of its own.
        """
        if others := sorted(set(changes) - set(VARIABLE)):
            raise ValueError(
                f"a variant shares model and gallery, so {others[0]!r} cannot differ; make"
                " another Run"
            )
        self.gallery()
        other = copy.copy(self)
        other.config = self.config.replace(**changes)
        other.descriptions = self.descriptions.variant(other.config)
        return other

    @property
    def folder(self) -> Path:
        """Where this run's results go: ``runs/<benchmark>/<backbone>/results``."""
        return run_folder(self.config) / "results"

    @property
    def quality_folder(self) -> Path:
        """Where scores, failure pages and mined distractors go:
        ``runs/<benchmark>/<backbone>/quality``.
        """
        return self.folder.parent / "quality"

    def clip(self, video: str) -> Clip:
        """The frames of one video of the benchmark; `ClipError` when it cannot be read."""
        return read_clip(self.benchmark.video_path(video), self.backbone.sampling, video)

    def gallery(self) -> Outcomes[Described]:
        """Descriptions of all gallery videos, by video: computed, or read from the store."""
        return self.descriptions.gallery()

    def queries(self, strategy: str) -> Outcomes[DescribedQuery]:
        """Descriptions after the edit of all triplets, by triplet: computed, or read from the
        store.
        """
        return self.descriptions.queries(strategy)

    def given(self, name: str, traces: Mapping[str, ReasoningTrace]) -> Outcomes[DescribedQuery]:
        """Descriptions after the edit, given ``traces`` of your own (by triplet), see
        `Descriptions.given`; `queries` and `evaluate` then take ``name`` like a strategy's.
        """
        return self.descriptions.given(name, traces)

    def validity(self, strategy: str) -> dict[str, object] | None:
        """How many of the traces that a strategy wrote were as asked for, see
        `covrr_utils.reasoning.validity.validity`.
        """
        queries = self.queries(strategy)
        if self._validity.get(strategy, (None,))[0] is not queries:  # poolings share them
            voting = strategy == "self_consistency" and self.config.synthesis == "vote"
            each = self.config.samples if voting else 1
            texts = [text for query in queries.values() for text in query.stage_1]
            self._validity[strategy] = queries, validity(texts, queries.failures.values(), each)
        return self._validity[strategy][1]

    @cached_property
    def words(self) -> WordFrequencies:
        """Word frequencies over the gallery's descriptions, for the weight scheme ``idf``."""
        return WordFrequencies(described.text for described in self.gallery().values())

    def pooled(
        self, described: Outcomes[D], pooling: str, scheme: str, source: str = PREDICTS
    ) -> Outcomes[np.ndarray]:
        """One vector (D,) for each description; one that cannot be pooled joins the failures."""
        words = self.words if scheme == IDF else None
        return pooled(
            [item.record for item in described.values()],
            way_of(pooling, scheme, source, words),
            lambda description: pool(description, pooling, scheme, source, words),
            described.failures,
            self.config.vectors,
        )

    def pooled_gallery(
        self, pooling: str, scheme: str, source: str = PREDICTS, embedding: str = CONTEXT
    ) -> Outcomes[np.ndarray]:
        """As `pooled`, for the gallery. The last one is kept: strategies are compared under the
        same pooling.
        """
        how = pooling, scheme, source, embedding, self.config.vectors
        if how not in self._pooled_gallery:
            gallery = self.embedded(self.gallery(), embedding, "the gallery's descriptions")
            self._pooled_gallery = {how: self.pooled(gallery, pooling, scheme, source)}
        return self._pooled_gallery[how]

    def embedded(
        self, described: Outcomes[D], embedding: str, what: str
    ) -> Outcomes[D] | Outcomes[Described]:
        """The descriptions whose states are pooled: as they were written, or read alone."""
        if embedding == CONTEXT:
            return described
        return self.descriptions.alone(described, f"reading {what} alone")

    def scores(self, strategy: str, pooling: str, scheme: str, source: str = PREDICTS) -> Scores:
        """How near each query is to every gallery video, by the run's scorers and its reranker."""
        return self._ranking(strategy, pooling, scheme, source)[0]

    def _ranking(
        self, strategy: str, pooling: str, scheme: str, source: str
    ) -> tuple[Scores, Reranking | None]:
        scores = first_stage(self, strategy, pooling, scheme, source)
        return (scores, None) if self.config.rerank is None else rerank(self, strategy, scores)

    def evaluate(
        self,
        strategy: str,
        pooling: str | None = None,
        scheme: str | None = None,
        source: str | None = None,
        save: bool = True,
    ) -> Result:
        """Describe gallery and queries, pool them, and rank the gallery for every triplet. Pooling,
        scheme and source are those of the run's configuration where they are not given.

        Writes json and csv unless ``save`` is off.

        Raises
        ------
        ValueError
            If the benchmark has no targets, or no video of its gallery could be described.
        """
        pooling = pooling or self.config.pooling
        scheme = scheme or self.config.scheme
        source = source or self.config.source
        self.benchmark.require_targets()
        gallery, queries = self.gallery(), self.queries(strategy)
        scores, reranking = self._ranking(strategy, pooling, scheme, source)
        how = (pooling, scheme, source) if of_states(self.config.scorers) else ()
        method = self.method(strategy, *how)
        result = replace(
            rank(self.benchmark, scores, method),
            validity=self.validity(strategy),
            retried=sum(query.retried for query in queries.values()),
            cut_off={"queries": cut_off(queries.values()), "gallery": cut_off(gallery.values())},
            tokens_per_query=_mean([query.tokens for query in queries.values()]),
            seconds_per_query=_mean([query.seconds for query in queries.values()]),
            reranking=reranking.summary() if reranking else None,
        )
        if save:
            save_result(result, self.folder)
        return result

    def ranked(
        self,
        name: str,
        scores: Scores,
        save: bool = True,
        strategy: str | None = None,
        pooling: str = "-",
        scheme: str = "-",
        source: str = "-",
    ) -> Result:
        """The result of any other way of scoring, under its ``name``, which says how descriptions
        are compared. ``strategy``: whose descriptions were scored, where it was one's; pooling,
        scheme and source: how they were pooled, where they were.

        Writes json and csv unless ``save`` is off; errors are those of `evaluate`.
        """
        method = self.method(strategy or name, pooling, scheme, source)
        options = {key: value for key, value in method.options.items() if key not in RETRIEVING}
        result = rank(self.benchmark, scores, replace(method, strategy=name, options=options))
        if save:
            save_result(result, self.folder)
        return result

    def method(
        self, strategy: str, pooling: str = "-", scheme: str = "-", source: str = "-"
    ) -> Method:
        """What decides a result of this run. It enters the result and the name of its file."""
        config = self.config
        options = deciding(config, strategy)
        if traces := self.descriptions.given_traces(strategy):
            options["traces"] = traces
        identity = self.descriptions.identity
        dtype = identity.dtype.removeprefix("torch.")
        if dtype != "float32":  # which "auto" takes on a processor
            options["dtype"] = dtype
        return Method(
            benchmark=self.benchmark.label,
            backbone=backbone_label(config.backbone),
            weights_hash=identity.weights_hash,
            strategy=strategy,
            pooling=pooling,
            scheme=scheme,
            source=source,
            seed=config.seed,
            grammar=grammar_of(config, strategy),
            prompt_style=config.prompt_style,
            samples=config.samples if strategy == "self_consistency" else None,
            limit=config.limit,
            labels_hash=self._labels_hash,
            descriptions_key=self.descriptions.key_of(strategy),
            files=outside_files(config),
            options=options,
        )

    @cached_property
    def _labels_hash(self) -> str:
        return labels_hash(self.benchmark)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
