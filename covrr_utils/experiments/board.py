"""The workbook's pipeline and its benchmarks as mteb knows them, so that a result can stand beside
the public board. Needs the extra ``mteb``.

mteb calls whatever ranks a corpus a search protocol: it is given the corpus to index, then the
queries, and answers with the best documents of each. `Pipeline` is that for a whole run, from
descriptions to the reranker, and `BenchmarkTask` is a benchmark whose columns hold ids: the videos
are read by the run, from where it knows them.

mteb leaves two rules to the task. It never takes the reference out of its own ranking, so the
pipeline leaves it out where the benchmark says so. And it orders equal scores by the documents'
names, where the workbook counts them against the query: the recalls of both are equal where no
target shares its score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

try:
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
except ImportError as missing:
    raise ImportError(
        'mteb is not installed; `pip install "covrr-workbook[mteb]"` does that'
    ) from missing

from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.experiments.places import labels_hash
from covrr_utils.retrieval.metrics import KS
from covrr_utils.retrieval.ranking import TIE, top

if TYPE_CHECKING:
    from datasets import Dataset

    from covrr_utils.experiments.run import Run

SPLIT = "test"


class BenchmarkTask(AbsTaskRetrieval):
    """A benchmark of the workbook as a retrieval task, nothing downloaded.

    A query has the triplet's id, the edit as its text and the id of the reference as its video; a
    document has the id of a gallery video, twice.
    """

    k_values = KS

    def __init__(self, benchmark: Benchmark):
        benchmark.require_targets()
        self.benchmark = benchmark
        self.metadata = TaskMetadata(
            name=f"CoVR {benchmark.label}",
            description=f"Composed video retrieval in the gallery {benchmark.gallery_name!r}.",
            reference=None,
            dataset={"path": benchmark.label, "revision": labels_hash(benchmark)},
            type="Any2AnyRetrieval",
            category="vt2v",
            modalities=["video", "text"],
            eval_splits=[SPLIT],
            eval_langs=["eng-Latn"],
            main_score="recall_at_1",
        )
        super().__init__()

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Fill the task's dataset from the benchmark."""
        from datasets import Dataset

        triplets = self.benchmark.triplets
        queries = {
            "id": [triplet.id for triplet in triplets],
            "text": [triplet.edit for triplet in triplets],
            "video": [triplet.reference for triplet in triplets],
        }
        gallery = list(self.benchmark.gallery)
        self.dataset = {
            "default": {
                SPLIT: {
                    "queries": Dataset.from_dict(queries),
                    "corpus": Dataset.from_dict({"id": gallery, "video": gallery}),
                    "relevant_docs": {t.id: {str(t.target): 1} for t in triplets},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


class Pipeline:
    """A run, with one strategy, as a search protocol of mteb."""

    def __init__(self, run: Run, strategy: str):
        self.run, self.strategy = run, strategy

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Who ranks: the backbone, its weights, and how the descriptions are compared."""
        method = self.run.method(self.strategy)
        return ModelMeta(
            loader=None,
            name=f"covrr/{method.backbone}-{self.strategy}",
            revision=method.weights_hash,
            release_date=None,
            languages=["eng-Latn"],
            n_parameters=None,
            memory_usage_mb=None,
            max_tokens=None,
            embed_dim=None,
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            similarity_fn_name=None,
            use_instructions=True,
            training_datasets=set(),
            modalities=["video", "text"],
            experiment_kwargs=dict(method.options) or None,
        )

    def index(self, corpus: Dataset, **kwargs: Any) -> None:
        """Have the gallery described.

        Raises
        ------
        ValueError
            If the corpus is not the gallery of the run.
        """
        given, known = set(corpus["id"]), set(self.run.benchmark.gallery)
        if others := sorted(given ^ known):
            raise ValueError(
                f"the corpus of the task has {len(given)} videos and the run's gallery"
                f" {len(known)}; they differ in {others[0]!r} and {len(others) - 1} more. Make the"
                " task of the run's own benchmark: BenchmarkTask(run.benchmark)"
            )
        self.run.gallery()

    def search(
        self, queries: Dataset, *, top_k: int, **kwargs: Any
    ) -> Mapping[str, Mapping[str, float]]:
        """The ``top_k`` best videos of every query, scored by minus their place: mteb compares
        numbers of 32 bits, in which close scores would become equal. A query that failed finds
        nothing, which counts as a miss.

        Raises
        ------
        ValueError
            If a query is none of the run's triplets.
        """
        benchmark, config = self.run.benchmark, self.run.config
        triplets = {triplet.id: triplet for triplet in benchmark.triplets}
        if strange := sorted(set(queries["id"]) - set(triplets)):
            raise ValueError(
                f"the query {strange[0]!r} of the task is none of the run's triplets; make the task"
                " of the run's own benchmark: BenchmarkTask(run.benchmark)"
            )
        scores = self.run.scores(self.strategy, config.pooling, config.scheme, config.source)
        places = {video: place for place, video in enumerate(scores.videos)}
        outside = benchmark.outside(scores.videos)
        ranked: dict[str, dict[str, float]] = {}
        for id_ in queries["id"]:
            row = scores.by_query.get(id_)
            if row is None:
                ranked[id_] = {}
                continue
            order = top(row, top_k, benchmark.left_out(triplets[id_], places, outside))
            videos = [scores.videos[place] for place in order]
            ranked[id_] = dict(zip(videos, _minus_places(row[order]), strict=True))
        return ranked


def _minus_places(descending: Float[np.ndarray, " K"]) -> Sequence[float]:
    """0 for the best score, -1 for the next lower one, and so on; equal scores have one place."""
    steps = -np.diff(descending) > TIE
    return np.concatenate([[0.0], -np.cumsum(steps).astype(float)])[: len(descending)].tolist()
