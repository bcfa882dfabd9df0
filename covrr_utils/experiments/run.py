"""What a notebook calls: a `Run` embeds the gallery, asks the queries and scores them.

Nothing is computed twice: descriptions come from the store when their key and the video's content
are unchanged. Every triplet counts: what failed is in the result, by cause, and in the denominator.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, Record
from covrr_utils.benchmarks.benchmark import Benchmark, Triplet, load_benchmark
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.results import Result, save_result
from covrr_utils.files import content_hash, digest
from covrr_utils.reasoning import prompts
from covrr_utils.retrieval import metrics
from covrr_utils.retrieval.pooling import PREDICTS, NothingToPool, pool
from covrr_utils.retrieval.ranking import rank_of_target, similarities, top
from covrr_utils.retrieval.weights import IDF, WordFrequencies
from covrr_utils.store.batches import Work, fill, keep
from covrr_utils.store.collection import Collection, Store
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import Clip, ClipError, read_clip

if TYPE_CHECKING:
    from covrr_utils.reasoning.strategies import Query

SHOWN = 10  # how many of the best gallery videos a result keeps per query


class Run:
    """One benchmark, one backbone, one store."""

    def __init__(self, config: RunConfig):
        self.config = config
        self.benchmark: Benchmark = load_benchmark(
            config.benchmark, config.gallery, config.videos, config.label_layout
        ).head(config.limit)
        self.store = Store(paths.runs_dir() / "store")
        self._contents: dict[str, str] = {}
        self._gallery: tuple[Mapping[str, Record], dict[str, Failure]] | None = None
        self._pooled_gallery: (
            tuple[tuple[str, str, str], tuple[dict[str, np.ndarray], dict[str, Failure]]] | None
        ) = None
        self._queries: dict[str, tuple[Mapping[str, Record], dict[str, Failure]]] = {}

    @cached_property
    def backbone(self):
        """The frozen model, loaded when first needed."""
        from covrr_utils.backbones.backbone import Backbone

        own = self.config
        return Backbone.load(
            own.backbone,
            own.device,
            own.dtype,
            own.batch_size,
            attention=own.attention,
            device_map=own.device_map,
            quantization=own.quantization,
            revision=own.revision,
            fps=own.fps,
            num_frames=own.num_frames,
            video_pixels=own.video_pixels,
        )

    def release(self) -> None:
        """Let go of the model and its memory; it is loaded again when needed."""
        import gc

        import torch

        self.__dict__.pop("backbone", None)
        gc.collect()
        torch.cuda.empty_cache()

    @cached_property
    def generation(self):
        """Greedy decoding with the run's, else the checkpoint's, limit of new tokens."""
        from covrr_utils.backbones.generation import Generation

        return Generation(max_new_tokens=self.config.max_new_tokens or self.backbone.max_new_tokens)

    def variant(self, **changes: object) -> Run:
        """The same run with other query settings (samples, synthesis, grammar, seed, pooling,
        scheme, source); model and gallery are shared.

        Raises
        ------
        ValueError
            For a setting that the gallery depends on: that needs a `Run` of its own.
        """
        if others := sorted(
            set(changes)
            - {"samples", "synthesis", "grammar", "seed", "pooling", "scheme", "source"}
        ):
            raise ValueError(
                f"a variant shares model and gallery, so {others[0]!r} cannot differ; make"
                " another Run"
            )
        self.gallery()
        other = copy.copy(self)
        other.config, other._queries = replace(self.config, **changes), {}
        return other

    @property
    def folder(self) -> Path:
        """Where this run's results go: ``runs/<benchmark>/<backbone>/results``."""
        return paths.runs_dir() / self.benchmark.name / Path(self.config.backbone).name / "results"

    @property
    def quality_folder(self) -> Path:
        """Where scores, failure pages and mined distractors go:
        ``runs/<benchmark>/<backbone>/quality``.
        """
        return self.folder.parent / "quality"

    def clip(self, video: str) -> Clip:
        """The sampled frames of one video of the benchmark; `ClipError` when it cannot be read."""
        return read_clip(self.benchmark.video_path(video), self.backbone.sampling, video)

    def gallery(self) -> tuple[Mapping[str, Record], dict[str, Failure]]:
        """Descriptions of all gallery videos by id, and the failures: computed, or read from the
        store.
        """
        if self._gallery is None:
            self._gallery = self.described(self.benchmark.gallery, "describing the gallery")
        return self._gallery

    def described(
        self, videos: Sequence[str], desc: str
    ) -> tuple[Mapping[str, Record], dict[str, Failure]]:
        """Descriptions of these videos as they are, by id, and the failures: computed, or read from
        the store.
        """
        from covrr_utils.backbones.generation import Prompt

        def describe(items: Sequence[tuple[str, Clip]]) -> tuple[list[Record], list[Failure]]:
            asked = [Prompt(clip, prompts.describe(self.config.prompt_style)) for _, clip in items]
            begun = time.perf_counter()
            described = self.backbone.describe(asked, self.generation, layers=self.config.layers)
            seconds = (time.perf_counter() - begun) / len(items)
            return [
                Record(video, text, {"seconds": seconds})
                for (video, _), text in zip(items, described, strict=True)
            ], []

        collection = self.store.collection(
            "gallery", self._key(prompts.describe(self.config.prompt_style))
        )
        return self._through_store(
            collection, {video: (video, video, "") for video in videos}, describe, desc
        )

    def read(
        self, texts: Mapping[str, str], desc: str
    ) -> tuple[Mapping[str, Record], dict[str, Failure]]:
        """Texts (by id) as the model reads each by itself, and the failures: computed, or read from
        the store. Equal texts are read once.
        """
        collection = self.store.collection("readings", self._key("read alone"))
        names = {id_: digest({"text": text}) for id_, text in texts.items()}
        missing = list(
            {
                names[id_]: text for id_, text in texts.items() if names[id_] not in collection
            }.items()
        )
        own, lost = {name: name for name, _ in missing}, {}
        size = self.config.batch_size
        for start in tqdm(
            range(0, len(missing), size), desc=desc, disable=not missing, mininterval=1
        ):
            batch = missing[start : start + size]
            read = self.backbone.read([text for _, text in batch])
            lost |= {
                failure.id: failure
                for failure in keep(
                    collection, [Record(name, text) for (name, _), text in zip(batch, read)], own
                )
            }
        failures = {id_: replace(lost[name], id=id_) for id_, name in names.items() if name in lost}
        return collection.records(names), failures

    @cached_property
    def words(self) -> WordFrequencies:
        """Word frequencies over the gallery's descriptions, for the weight scheme ``idf``."""
        return WordFrequencies(record.description.text for record in self.gallery()[0].values())

    def queries(self, strategy: str) -> tuple[Mapping[str, Record], dict[str, Failure]]:
        """Descriptions after the edit of all triplets by triplet id, and the failures.

        A record's extra holds ``trace``, ``samples`` and ``written`` (the trace to the letter), and
        what the triplet cost, as its share of its batch: ``tokens`` written in all steps,
        ``seconds``.
        """
        from covrr_utils.reasoning import strategies
        from covrr_utils.reasoning.settings import Settings

        if strategy not in self._queries:
            ask = strategies.strategy(strategy)
            sampled = {
                "samples": self.config.samples,
                "synthesis": self.config.synthesis,
                "seed": self.config.seed,
            }
            style = self.config.prompt_style
            settings = Settings(
                self.generation,
                layers=self.config.layers,
                style=style,
                grammar=self.config.grammar,
                **sampled,
            )
            asked = [
                prompts.single_stage("E", style),
                prompts.trace("E", style),
                prompts.after_trace("E", "R", style),
            ]
            asked.append(prompts.synthesis("E", ["R"], style))
            key = self._key(asked) | {"strategy": strategy, "extra": "trace, samples, written"}
            key |= sampled if strategy == "self_consistency" else {}
            key |= {"grammar": self.config.grammar} if self._grammar(strategy) else {}
            triplets = {triplet.id: triplet for triplet in self.benchmark.triplets}

            def answer(items: Sequence[tuple[str, Clip]]) -> tuple[list[Record], list[Failure]]:
                begun = self.backbone.generated_tokens, time.perf_counter()
                found, failures = ask(
                    self.backbone, [(triplets[id_], clip) for id_, clip in items], settings
                )
                return self._records(found, len(items), *begun), failures

            wanted = {
                id_: (id_, t.reference, _identity(t, strategy)) for id_, t in triplets.items()
            }
            self._queries[strategy] = self._through_store(
                self.store.collection("queries", key), wanted, answer, strategy
            )
        return self._queries[strategy]

    def given(
        self, name: str, traces: Mapping[str, ReasoningTrace]
    ) -> tuple[Mapping[str, Record], dict[str, Failure]]:
        """Stage 2 alone: descriptions after the edit, given ``traces`` of your own (by triplet id),
        whatever wrote them.

        They are kept under ``name``, which `queries` and `evaluate` then take like a strategy's. A
        triplet without a trace is a failure.
        """
        from covrr_utils.reasoning import strategies
        from covrr_utils.reasoning.settings import Settings

        if name in strategies.STRATEGIES:
            raise ValueError(f"{name!r} is a strategy; give these traces another name")
        triplets = {
            triplet.id: triplet for triplet in self.benchmark.triplets if triplet.id in traces
        }
        settings = Settings(
            self.generation, layers=self.config.layers, style=self.config.prompt_style
        )

        def answer(items: Sequence[tuple[str, Clip]]) -> tuple[list[Record], list[Failure]]:
            begun = self.backbone.generated_tokens, time.perf_counter()
            found = strategies.described(
                self.backbone, [(triplets[id_], clip) for id_, clip in items], traces, settings
            )
            return self._records(found, len(items), *begun), []

        wanted = {
            id_: (id_, t.reference, f"{t.edit}\n{traces[id_].text()}")
            for id_, t in triplets.items()
        }
        collection = self.store.collection(
            "queries",
            self._key(prompts.after_trace("E", "R", settings.style)) | {"strategy": "given"},
        )
        found, failures = self._through_store(collection, wanted, answer, name)
        missing = [triplet.id for triplet in self.benchmark.triplets if triplet.id not in traces]
        failures |= {
            id_: Failure(
                id_, "trace", "no trace given", f"{name!r} holds no trace for this triplet"
            )
            for id_ in missing
        }
        self._queries[name] = found, failures
        return self._queries[name]

    def validity(self, strategy: str) -> dict | None:
        """How many of the traces that a strategy wrote were as asked for, see
        `covrr_utils.reasoning.validity.validity`.
        """
        from covrr_utils.reasoning.validity import validity

        records, failures = self.queries(strategy)
        several = (
            self.config.samples
            if strategy == "self_consistency" and self.config.synthesis == "vote"
            else 1
        )
        return validity(records.values(), failures.values(), several)

    def evaluate(
        self,
        strategy: str,
        pooling: str | None = None,
        scheme: str | None = None,
        source: str | None = None,
        save: bool = True,
    ) -> Result:
        """Rank the gallery for every triplet by the cosine of pooled descriptions. What is not
        given is the run's.

        Writes json and csv unless ``save`` is off.
        """
        pooling, scheme, source = (
            pooling or self.config.pooling,
            scheme or self.config.scheme,
            source or self.config.source,
        )
        self.benchmark.require_targets()
        scores, videos, query_failures, gallery_failures = self.scored(
            strategy, pooling, scheme, source
        )
        queries = list(self.queries(strategy)[0].values())
        costs = [record.extra for record in queries]
        cost = (
            {
                f"{what}_per_query": float(np.mean([extra[what] for extra in costs]))
                for what in ("tokens", "seconds")
            }
            if costs
            else {}
        )
        said = {
            "grammar": self._grammar(strategy),
            "validity": self.validity(strategy),
            "retried": sum(extra.get("retried", False) for extra in costs),
            "cut_off": {"queries": _cut_off(queries), "gallery": self._cut_off_gallery},
            **cost,
        }
        return self.ranked(
            strategy,
            scores,
            videos,
            query_failures,
            gallery_failures,
            save,
            pooling=pooling,
            scheme=scheme,
            source=source,
            **said,
        )

    def scored(self, strategy: str, pooling: str, scheme: str, source: str):
        """Similarities (G,) by triplet id, the G videos that could be described, and the failures
        of queries and of gallery videos.
        """
        queries, query_failures = self.pooled(*self.queries(strategy), pooling, scheme, source)
        gallery, gallery_failures = self.pooled_gallery(pooling, scheme, source)
        scores = {}
        if queries and gallery:
            found = similarities(np.stack(list(queries.values())), np.stack(list(gallery.values())))
            scores = dict(zip(queries, found, strict=True))
        return scores, list(gallery), query_failures, gallery_failures

    def pooled(
        self,
        records: Mapping[str, Record],
        failures: Mapping[str, Failure],
        pooling: str,
        scheme: str,
        source: str = PREDICTS,
    ):
        """Vectors by id; a description that cannot be pooled joins the failures."""
        vectors, failed = {}, dict(failures)
        words = self.words if scheme == IDF else None
        for id_, record in records.items():
            try:
                vectors[id_] = pool(record.description, pooling, scheme, source, words)
            except NothingToPool as error:
                failed[id_] = Failure(id_, "pooling", "nothing to pool", str(error))
        return vectors, failed

    def pooled_gallery(self, pooling: str, scheme: str, source: str = PREDICTS):
        """As `pooled`, for the gallery. The last one is kept: strategies are compared under the
        same pooling.
        """
        asked = pooling, scheme, source
        if self._pooled_gallery is None or self._pooled_gallery[0] != asked:
            self._pooled_gallery = asked, self.pooled(*self.gallery(), *asked)
        return self._pooled_gallery[1]

    @cached_property
    def _cut_off_gallery(self) -> int:
        return _cut_off(self.gallery()[0].values())

    def ranked(
        self,
        name: str,
        scores: Mapping[str, np.ndarray],
        videos: Sequence[str],
        query_failures: Mapping[str, Failure],
        gallery_failures: Mapping[str, Failure],
        save: bool = True,
        pooling: str = "-",
        scheme: str = "-",
        source: str = "-",
        **said: object,
    ) -> Result:
        """The result of any way of scoring: ``scores`` holds for each triplet id its similarity
        with every one of ``videos``.

        A triplet whose query or target is among the failures is a miss with that cause.

        Raises
        ------
        ValueError
            If no video of the gallery could be described, or the benchmark has no targets.
        """
        index = {video: number for number, video in enumerate(videos)}
        if not videos:
            raise ValueError(
                f"no video of the gallery {self.benchmark.gallery_name!r} could be described;"
                " `covrr check` says what is there"
            )
        self.benchmark.require_targets()
        rows, outside = [], self.benchmark.outside(videos)
        for triplet in self.benchmark.triplets:
            row = {
                "triplet": triplet.id,
                "rank": None,
                "cause": None,
                "target": triplet.target,
                "reference": triplet.reference,
            }
            failures = [
                failed[id_]
                for failed, id_ in (
                    (query_failures, triplet.id),
                    (gallery_failures, triplet.target),
                )
                if id_ in failed
            ]
            row["present"] = not any(failure.stage == "video" for failure in failures)
            if failures:
                rows.append(
                    {
                        **row,
                        "cause": f"{failures[0].stage}: {failures[0].cause}",
                        "top": [],
                        "scores": [],
                    }
                )
                continue
            found = scores[triplet.id]
            excluded = self.benchmark.left_out(triplet, index, outside)
            best = top(found, SHOWN, excluded)
            row["rank"] = rank_of_target(found, index[triplet.target], excluded)
            row |= {
                "top": [videos[i] for i in best],
                "scores": [round(float(found[i]), 6) for i in best],
            }
            rows.append(row)
        ranks = [row["rank"] for row in rows]
        homes = [triplet.section for triplet in self.benchmark.triplets]
        sections = {
            name: _recalls([row for row, home in zip(rows, homes) if home == name])
            for name in dict.fromkeys(homes)
        }
        result = Result(
            kind=f"measured here, {self.benchmark.kind}",
            benchmark=self.benchmark.name,
            gallery=self.benchmark.gallery_name,
            gallery_size=len(self.benchmark.gallery),
            gallery_coverage=len(videos) / len(self.benchmark.gallery),
            backbone=self.backbone.name,
            weights_hash=self.backbone.weights_hash,
            strategy=name,
            pooling=pooling,
            scheme=scheme,
            source=source,
            seed=self.config.seed,
            coverage=sum(rank is not None for rank in ranks) / len(rows),
            **_recalls(rows),
            interval={str(k): metrics.recall_interval(ranks, k) for k in metrics.KS},
            failures=dict(Counter(row["cause"] for row in rows if row["cause"])),
            queries=rows,
            protocol=self.benchmark.protocol,
            reference_excluded=self.benchmark.exclude_reference,
            prompt_style=self.config.prompt_style,
            options=self.config.options(),
            sections=sections if len(self.benchmark.sections) > 1 else {},
            **said,
        )
        if save:
            samples = self.config.samples if name == "self_consistency" else None
            save_result(result, self.folder, self.config.limit, samples)
        return result

    def _grammar(self, strategy: str) -> str | None:
        """The grammar that constrains this strategy's traces; None where it writes none."""
        return self.config.grammar if strategy in ("two_stage", "self_consistency") else None

    def _records(
        self, queries: Sequence[Query], asked: int, tokens: int, begun: float
    ) -> list[Record]:
        """Records of queries answered together, with what each of the ``asked`` triplets cost since
        the token count and clock given.
        """
        cost = {
            "tokens": (self.backbone.generated_tokens - tokens) / asked,
            "seconds": (time.perf_counter() - begun) / asked,
        }
        return [Record(query.triplet, query.description, query.extra() | cost) for query in queries]

    def _key(self, asked: object) -> dict[str, object]:
        backbone = self.backbone
        return {
            "prompts": asked,
            "prompt_version": prompts.version(self.config.prompt_style),
            "weights": backbone.weights_hash,
            "dtype": str(backbone.model.dtype),
            "processing": backbone.processing(),
            "sampling": backbone.sampling.to_dict(),
            "decoding": self.generation.to_dict(),
            "layers": list(self.config.layers),
        } | {
            name: value
            for name, value in self.config.options().items()
            if name in ("quantization", "attention")
        }

    def _content(self, video: str) -> str | None:
        """The hash of a video's file, None when there is no such file."""
        if video not in self._contents:
            try:
                path = self.benchmark.video_path(video)
                self._contents[video] = content_hash(path) if path.is_file() else None
            except ClipError:  # recorded as the video's failure when it is to be read
                self._contents[video] = None
        return self._contents[video]

    def _through_store(
        self,
        collection: Collection,
        wanted: dict[str, tuple[str, str, str]],
        compute: Callable,
        desc: str,
    ):
        """Records for ``wanted`` (id -> (id, video, what else identifies it)), computing batch by
        batch what the collection lacks.
        """
        names = {
            id_: digest({"id": id_, "content": self._content(video), "what": what})
            for id_, video, what in wanted.values()
        }
        work = [Work(id_, names[id_], video) for id_, video, _ in wanted.values()]
        fill(
            collection,
            work,
            self.benchmark.video_path,
            self.backbone.sampling,
            compute,
            self.config.batch_size,
            desc,
        )
        lost = collection.failures()
        found = collection.records(names)
        failures = {
            id_: Failure(id_, lost[name].stage, lost[name].cause, lost[name].message)
            for id_, name in names.items()
            if id_ not in found
        }
        return found, failures


def _identity(triplet: Triplet, strategy: str) -> str:
    gold = triplet.gold_trace.text() if strategy == "gold_trace" and triplet.gold_trace else ""
    return f"{triplet.edit}\n{gold}"


def _cut_off(records: Iterable[Record]) -> int:
    """How many of the descriptions ended at the limit of new tokens."""
    return sum(not record.description.ended for record in records)


def _recalls(rows: Sequence[dict]) -> dict:
    """Number and recall of all triplets, and of those present: whose reference and target could be
    read as videos.
    """
    present = [row["rank"] for row in rows if row["present"]]
    return {
        "triplets": len(rows),
        "recall": metrics.recalls([row["rank"] for row in rows]),
        "present": len(present),
        "recall_present": metrics.recalls(present) if present else {},
    }
