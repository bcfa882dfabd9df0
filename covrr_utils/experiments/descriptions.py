"""`Descriptions`: what a backbone writes about the videos and queries of a benchmark, through the
store.

Nothing is computed twice: a description comes from the store when its key and the video's content
are unchanged. What fails is recorded with its cause, and the rest goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.backbones.generation import Generation
from covrr_utils.benchmarks.benchmark import Benchmark, load_benchmark
from covrr_utils.experiments.answered import answered
from covrr_utils.experiments.computing import BatchOf, compute_missing, read_missing
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.deepening import deepened, take_over
from covrr_utils.experiments.engines import LOCAL, RAY
from covrr_utils.experiments.keys import (
    Key,
    content_name,
    given_key,
    query_key,
    query_text,
    reading_key,
    stored_name,
    text_name,
    video_key,
)
from covrr_utils.experiments.model import Model
from covrr_utils.experiments.serving import keeps_states
from covrr_utils.experiments.stored import Described, DescribedQuery, Stored
from covrr_utils.experiments.workers import Unread
from covrr_utils.files import digest
from covrr_utils.reasoning import strategies
from covrr_utils.reasoning.batch import Ask, QueryBatch, VideoBatch, WithTraces
from covrr_utils.reasoning.settings import Settings
from covrr_utils.store.collection import Store
from covrr_utils.store.prefetch import Work
from covrr_utils.store.records import StoredRecord
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import ClipError
from covrr_utils.video.kept import KeptFrames
from covrr_utils.video.versions import frames_hash

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.identity import Identity

D = TypeVar("D", bound=Described)


class Descriptions:
    """The descriptions of one benchmark by one backbone.

    The model is loaded when it is first needed, unless a loaded ``backbone`` is given.
    """

    def __init__(self, config: RunConfig, benchmark: Benchmark, backbone: Backbone | None = None):
        self.config = config
        self.benchmark = benchmark
        self.store = Store(paths.runs_dir() / "store")
        self.model = Model(config, benchmark.kind, backbone)
        self.frames = KeptFrames(triplet.reference for triplet in benchmark.triplets)
        self._contents: dict[str, str | None] = {}
        self._gallery: Outcomes[Described] | None = None
        self._queries: dict[str, Outcomes[DescribedQuery]] = {}
        self._given: dict[str, str] = {}

    @property
    def backbone(self) -> Backbone:
        """The frozen model."""
        return self.model.backbone

    @property
    def identity(self) -> Identity:
        """All of the model that decides what it writes; the model itself need not be loaded."""
        return self.model.identity

    def other_model(self, name: str) -> Model:
        """A model beside the backbone, such as a reranker: placed as the backbone is, in the
        process that computes, and kept for all variants.
        """
        companions, known = self.model.companions, f"beside: {name}"
        if known not in companions:
            config = self.config.replace(backbone=name, revision=None, engine=LOCAL)
            companions[known] = Model(config, self.benchmark.kind)
        return companions[known]

    def forget(self) -> None:
        """Let go of what was described, which the store has, and of frames."""
        self._gallery, self._queries, self._given = None, {}, {}
        self.frames = KeptFrames(triplet.reference for triplet in self.benchmark.triplets)

    def variant(self, config: RunConfig) -> Descriptions:
        """The same gallery by the same model, with the query settings of ``config``; a `ValueError`
        where a server's texts are kept without the token states that ``config`` compares.
        """
        if self.model.serving and keeps_states(config) and not keeps_states(self.config):
            raise ValueError(
                "the texts that the server wrote for this run are kept without token states; make"
                " another Run to compare states in their context"
            )
        other = copy.copy(self)
        other.config, other._queries, other._given = config, {}, {}
        return other

    @cached_property
    def generation(self) -> Generation:
        """Greedy decoding with the run's, else the checkpoint's, limit of new tokens."""
        return Generation(max_new_tokens=self.config.max_new_tokens or self.identity.max_new_tokens)

    def gallery(self) -> Outcomes[Described]:
        """Descriptions of all gallery videos, by video."""
        if self._gallery is None:
            self._gallery = self.videos(self.benchmark.gallery, "describing the gallery")
        return self._gallery

    def videos(self, videos: Sequence[str], desc: str) -> Outcomes[Described]:
        """Descriptions of these videos as they are, by video."""
        key = video_key(self.config, self.identity, self.generation)
        names = self._names(videos)
        work = [Work(video, names[video], video) for video in videos]
        return self._filled(
            "gallery", key, work, lambda d, model: VideoBatch(model, d.settings), desc, Described
        )

    def queries(self, strategy: str) -> Outcomes[DescribedQuery]:
        """Descriptions after the edit, by triplet: those of a strategy, or of the name under which
        traces were `given`.
        """
        if strategy not in self._queries:
            ask = strategies.strategy(strategy)
            key = query_key(self.config, self.identity, self.generation, strategy)
            texts = {t.id: query_text(t, strategy) for t in self.benchmark.triplets}
            self._queries[strategy] = self._answered(key, texts, ask, strategy)
        return self._queries[strategy]

    def given(self, name: str, traces: Mapping[str, ReasoningTrace]) -> Outcomes[DescribedQuery]:
        """Stage 2 alone: descriptions after the edit, given ``traces`` of your own (by triplet),
        whatever wrote them.

        They are kept under ``name``, which `queries` then takes like a strategy's. A triplet
        without a trace is a failure.

        Raises
        ------
        ValueError
            If ``name`` is that of a strategy.
        """
        if name in strategies.STRATEGIES:
            raise ValueError(f"{name!r} is a strategy; give these traces another name")
        key = given_key(self.config, self.identity, self.generation)
        texts = {
            triplet.id: f"{triplet.edit}\n{traces[triplet.id].text()}"
            for triplet in self.benchmark.triplets
            if triplet.id in traces
        }
        described = self._answered(key, texts, WithTraces(traces), name)
        without = {
            triplet.id: Failure(
                triplet.id, "trace", "no trace given", f"{name!r} holds no trace for this triplet"
            )
            for triplet in self.benchmark.triplets
            if triplet.id not in texts
        }
        self._given[name] = digest({"traces": texts})
        self._queries[name] = Outcomes(described, described.failures | without)
        return self._queries[name]

    def given_traces(self, name: str) -> str | None:
        """The hash of the traces that were `given` under this name; None where none were."""
        return self._given.get(name)

    def key_of(self, strategy: str) -> str:
        """The name of the store's folder for a strategy's descriptions; for any other name that of
        the gallery's.
        """
        if strategy in strategies.STRATEGIES:
            return digest(query_key(self.config, self.identity, self.generation, strategy))
        return digest(video_key(self.config, self.identity, self.generation))

    def read(self, texts: Mapping[str, str], desc: str) -> Outcomes[Described]:
        """Texts (by id) as the model reads each by itself. Equal texts are read once."""
        key = reading_key(self.config, self.identity, self.generation)
        collection = self.store.collection("readings", key)
        names = {id_: text_name(text) for id_, text in texts.items()}
        lacking = set(collection.missing(names.values()))
        unread = {names[id_]: text for id_, text in texts.items() if names[id_] in lacking}
        read_missing(self, collection, [Unread(name, text) for name, text in unread.items()], desc)
        return Stored(collection, names, collection.failures(), Described)

    def alone(self, described: Outcomes[D], desc: str) -> Outcomes[Described]:
        """The texts of these descriptions as the model reads each by itself: no video, no edit, no
        trace before it. What was not described is a failure here too.
        """
        read = self.read({id_: item.text for id_, item in described.items()}, desc)
        return Outcomes(read, described.failures | read.failures)

    def _names(self, videos: Sequence[str]) -> dict[str, str]:
        """The name under which each video's description is stored, or will be."""
        collection = self.store.collection(
            "gallery", video_key(self.config, self.identity, self.generation)
        )
        names = {}
        for video in videos:
            candidates = self._candidates(video, self.content(video))
            names[video] = next((n for n in candidates if n in collection), candidates[0])
        return names

    def _candidates(self, video: str, content: str | None) -> list[str]:
        """The names under which a video's description may be stored; the first is that of a new
        one, the other that of an indexed folder (`covrr_utils.experiments.index`).
        """
        names = [stored_name(video, content)]
        return names if content is None else [*names, content_name(content)]

    @property
    def settings(self) -> Settings:
        """How the strategies decode."""
        config = self.config
        return Settings(
            self.generation,
            samples=config.samples,
            synthesis=config.synthesis,
            seed=config.seed,
            layers=config.layers,
            grammar=config.grammar,
            style=config.prompt_style,
        )

    def _answered(
        self, key: Key, texts: Mapping[str, str], ask: Ask, desc: str
    ) -> Outcomes[DescribedQuery]:
        """What ``ask`` answers for the triplets of ``texts``: by id, what an answer depends on
        beside the reference.
        """
        triplets = {t.id: t for t in self.benchmark.triplets if t.id in texts}
        work = [
            Work(id_, stored_name(id_, self.content(t.reference), texts[id_]), t.reference)
            for id_, t in triplets.items()
        ]
        return self._filled(
            "queries",
            key,
            work,
            lambda d, model: QueryBatch(model, d.settings, triplets, ask),
            desc,
            DescribedQuery,
        )

    def content(self, video: str) -> str | None:
        """The hash of what a video's frames depend on, None when there is no such file."""
        if video not in self._contents:
            try:
                path = self.benchmark.video_path(video)
                self._contents[video] = frames_hash(path) if path.is_file() else None
            except (ClipError, OSError):  # recorded as the video's failure when it is to be read
                self._contents[video] = None
        return self._contents[video]

    def _filled(
        self,
        kind: str,
        key: Key,
        work: Sequence[Work],
        batch: BatchOf,
        desc: str,
        typed: Callable[[StoredRecord], D],
    ) -> Outcomes[D]:
        """What the store holds for ``work`` once it was computed, batch by batch, where it was
        missing: by what ``batch`` makes of the descriptions and the writer of the process that
        computes. Only then is the model asked for.
        """
        collection = self.store.collection(kind, key)
        names = {item.id: item.stored for item in work}
        if not key["layers"] and collection.missing(names.values()):
            take_over(self.store, kind, collection, [*names.values()], self.config.batch_size)
        if collection.missing(names.values()):
            if kind == "queries" and self.config.engine != RAY:
                batch = answered(self, key, batch)
            if key["layers"] and self.config.engine == LOCAL:
                batch = deepened(self, kind, key, names, batch)
            compute_missing(self, collection, work, batch, desc)
        return Stored(collection, names, collection.failures(), typed)


def benchmark_of(config: RunConfig) -> Benchmark:
    """The benchmark that a configuration names, with its triplets up to the limit."""
    return load_benchmark(
        config.benchmark, config.gallery, config.videos, config.label_layout, config.link_roots
    ).head(config.limit)
