"""An embedder beside the backbone: vectors of gallery videos and of queries, through the store, and
what they score.

The embedder reads the gallery's videos themselves, not their descriptions. A query is the
reference with the edit, the text of the run's description, or the reference with the edit and the
trace. Equal inputs are embedded once. What fails is recorded with its cause, and the rest goes on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from covrr_utils.backbones.description import Failure, Outcomes, Record
from covrr_utils.backbones.embedding_prompts import composed, conversation
from covrr_utils.backbones.embedding_registry import source_of
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.keys import stored_name, vector_key
from covrr_utils.experiments.model import Model
from covrr_utils.experiments.ranking_group import DESCRIPTION, WITH_SOURCE
from covrr_utils.experiments.stored import Described, DescribedQuery, Stored
from covrr_utils.experiments.text_vectors import read_texts
from covrr_utils.retrieval.scores import Scores, by_cosine
from covrr_utils.store.batches import fill
from covrr_utils.store.collection import Collection
from covrr_utils.store.pooled import pooled
from covrr_utils.store.prefetch import Items, Work

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.embedder import Embedder, Input
    from covrr_utils.experiments.run import Run
    from covrr_utils.retrieval.vectors import Vectors


class EmbedderModel(Model):
    """The embedder of a run: what it is at once, its weights when something has to be embedded."""

    def _load(self) -> Backbone:
        from covrr_utils.backbones.embedder import Embedder

        config = self.config
        embedder = Embedder.load(
            config.backbone, config.device, config.dtype, config.batch_size, config.attention
        )
        return cast("Backbone", embedder)  # what `Model` asks of either, both have

    def _more(self) -> dict[str, object]:
        return {"role": "embedder"}

    @property
    def embedder(self) -> Embedder:
        """The frozen embedder, loaded when first asked for."""
        return cast("Embedder", self.backbone)


def embedder_model(model: Model, config: RunConfig) -> EmbedderModel:
    """The embedder that a run's configuration names, kept beside the run's own model. It shares
    device, dtype, attention and batch size with the backbone; its frames are its own.
    """
    assert config.embedder is not None
    if config.embedder not in model.companions:
        alike = ("device", "dtype", "attention", "batch_size")
        own = RunConfig(
            backbone=source_of(config.embedder), **{name: getattr(config, name) for name in alike}
        )
        model.companions[config.embedder] = EmbedderModel(own, model.kind)
    return cast(EmbedderModel, model.companions[config.embedder])


@dataclass(frozen=True)
class VectorBatch:
    """One batch of the store's work: clips in, a record of the vector of each out, with the text
    that stands behind it. Tokens and seconds are shared out evenly.
    """

    embedder: Embedder
    texts: Mapping[str, str]  # id of the work -> text
    instruction: str

    def __call__(self, clips: Items) -> tuple[list[Record], list[Failure]]:
        from covrr_utils.backbones.embedder import Input

        inputs = [Input(self.texts[id_], clip) for id_, clip in clips]
        return self.records([id_ for id_, _ in clips], inputs), []

    def records(self, names: Sequence[str], inputs: Sequence[Input]) -> list[Record]:
        """A record for each input, under its name."""
        begun, tokens = time.perf_counter(), self.embedder.forwarded
        described = self.embedder.embed(inputs, self.instruction)
        cost = {
            "tokens": (self.embedder.forwarded - tokens) / len(inputs),
            "seconds": (time.perf_counter() - begun) / len(inputs),
        }
        return [Record(*each, dict(cost)) for each in zip(names, described, strict=True)]


class Embeddings:
    """The vectors of one run by its embedder."""

    def __init__(self, run: Run):
        self.run, self.config = run, run.config
        self.model = embedder_model(run.descriptions.model, run.config)

    def gallery(self) -> Vectors:
        """The vectors of all gallery videos, by video."""
        videos = {video: (video, "") for video in self.run.benchmark.gallery}
        return self._pooled(self._seen(videos, "", "embedding the gallery"))

    def queries(self, strategy: str) -> Vectors:
        """The vectors of all triplets, by triplet. A triplet whose strategy gave no description or
        trace is a failure, where these are read.

        Raises
        ------
        ValueError
            If traces are to be read, and the strategy writes none.
        """
        what, benchmark = self.config.embedder_query, self.run.benchmark
        instruction = self.config.embedder_instruction or ""
        if what == WITH_SOURCE:
            pairs = {t.id: (t.reference, t.edit) for t in benchmark.triplets}
            return self._pooled(self._seen(pairs, instruction, "embedding references and edits"))
        described = self.run.queries(strategy)
        if what == DESCRIPTION:
            texts = {id_: query.text for id_, query in described.items()}
            stored = self._read(texts, instruction, f"embedding the descriptions of {strategy}")
        else:
            triplets = {t.id: t for t in benchmark.triplets}
            pairs = {
                id_: (
                    triplets[id_].reference,
                    composed(triplets[id_].edit, _trace(query, strategy)),
                )
                for id_, query in described.items()
            }
            stored = self._seen(pairs, instruction, f"embedding the traces of {strategy}")
        return self._pooled(Outcomes(stored, described.failures | stored.failures))

    def _collection(self, video: bool, instruction: str) -> Collection:
        prompt = conversation("{text}", video, instruction)
        key = vector_key(self.config, self.model.identity, prompt)
        return self.run.descriptions.store.collection("vectors", key)

    def _seen(
        self, pairs: Mapping[str, tuple[str, str]], instruction: str, desc: str
    ) -> Outcomes[Described]:
        """The stored vectors of videos with the texts behind them, by id."""
        descriptions = self.run.descriptions
        collection = self._collection(True, instruction)
        names = {
            id_: stored_name("" if content else video, content, text)
            for id_, (video, text) in pairs.items()
            for content in [descriptions.content(video)]
        }
        if collection.missing(names.values()):
            embedder = self.model.embedder
            texts = {id_: text for id_, (_, text) in pairs.items()}
            fill(
                collection,
                [Work(id_, names[id_], video) for id_, (video, _) in pairs.items()],
                self.run.benchmark.video_path,
                embedder.sampling,
                [VectorBatch(embedder, texts, instruction)],
                self.config.batch_size,
                desc,
            )
        return Stored(collection, names, collection.failures(), Described)

    def _read(self, texts: Mapping[str, str], instruction: str, desc: str) -> Outcomes[Described]:
        """The stored vectors of texts, by id."""

        def records(names: Sequence[str], named: Sequence[str]) -> list[Record]:
            from covrr_utils.backbones.embedder import Input

            batch = VectorBatch(self.model.embedder, {}, instruction)
            return batch.records(names, [Input(text) for text in named])

        collection = self._collection(False, instruction)
        return read_texts(collection, texts, records, self.config.batch_size, desc)

    def _pooled(self, stored: Outcomes[Described]) -> Vectors:
        from covrr_utils.backbones.embedder import vector

        dims = self.config.embedder_dims
        return pooled(
            [item.record for item in stored.values()],
            {"embedder": "last token", "dims": dims},
            lambda description: vector(description, dims),
            stored.failures,
            self.config.vectors,
        )


def _trace(query: DescribedQuery, strategy: str) -> str:
    if query.trace is None:
        raise ValueError(
            f"embedder_query 'source+edit+trace' needs traces, and {strategy} writes none; take a"
            " strategy that does, such as two_stage, or embedder_query 'source+edit'"
        )
    return query.trace.text()


def by_embedder(run: Run, strategy: str) -> Scores:
    """Cosines of the run's embedder: of a strategy's queries with the gallery's videos."""
    embeddings = Embeddings(run)
    return by_cosine(embeddings.queries(strategy), embeddings.gallery())
