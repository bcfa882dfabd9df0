"""Runs whose descriptions are recorded with the workbook, so that nobody has to compute them again
to read what they measured: those of the embedded backbones on the mini benchmarks.

``data/measured/sizes`` holds for each backbone what it wrote (``.jsonl``, a line a description) and
the vectors into which that was pooled (``.safetensors``), by the keys and names of the store. With
other weights, prompts, videos or settings nothing
recorded is used, and the model is asked. ``python -m covrr_utils.mini.recording`` records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors.numpy import load_file

from covrr_utils import paths
from covrr_utils.backbones.description import Description, Outcomes
from covrr_utils.experiments.computing import BatchOf
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.descriptions import Descriptions, benchmark_of
from covrr_utils.experiments.keys import Key, stored_name, video_key
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import Described
from covrr_utils.files import digest
from covrr_utils.retrieval.pooling import PREDICTS
from covrr_utils.retrieval.vectors import Vectors
from covrr_utils.store.prefetch import Work
from covrr_utils.store.records import StoredRecord

D = TypeVar("D", bound=Described)

INSTEAD = "a Run in place of a recorded_run computes them"

POOLED = ("weighted_mean", "word", PREDICTS)  # pooling, scheme and source of the vectors


def recorded_file(backbone: str) -> Path:
    """Where the descriptions of a backbone are recorded."""
    return paths.data_dir() / "measured" / "sizes" / f"{backbone}.jsonl"


def vectors_of(path: Path) -> Path:
    """The file of the vectors beside one of descriptions."""
    return path.with_suffix(".safetensors")


@dataclass(frozen=True)
class RecordedRecord(StoredRecord):
    """A description that was recorded: all that is written of it, and its vector (D,) in place of
    its token states; ``vector`` is None where none was recorded.
    """

    row: Mapping[str, object] = field(repr=False)
    vector: np.ndarray | None = field(repr=False)

    @cached_property
    def _head(self) -> dict:
        return dict(self.row)

    @property
    def description(self) -> Description:
        """There is none.

        Raises
        ------
        ValueError
            Always: token states are too large to be recorded.
        """
        raise ValueError(f"the token states of {self.id!r} are not recorded; {INSTEAD}")


class RecordedDescriptions(Descriptions):
    """Descriptions from the recorded ones, where these hold all that is asked for; others come from
    the store or the model.
    """

    @cached_property
    def _rows(self) -> dict[tuple[str, str], tuple[dict, np.ndarray | None]]:
        path = recorded_file(self.identity.name)
        return read_recorded(path) if path.exists() else {}

    def _names(self, videos: Sequence[str]) -> dict[str, str]:
        """As recorded, where all are, even if the store too has some of them, under the names that
        they have in an indexed folder.
        """
        key = digest(video_key(self.config, self.identity, self.generation))
        names = {video: stored_name(video, self.content(video)) for video in videos}
        recorded = all((key, name) in self._rows for name in names.values())
        return names if recorded else super()._names(videos)

    def _filled(
        self,
        kind: str,
        key: Key,
        work: Sequence[Work],
        batch: BatchOf,
        desc: str,
        typed: Callable[[StoredRecord], D],
    ) -> Outcomes[D]:
        name, collection = digest(key), self.store.collection(kind, key)
        if any((name, item.stored) not in self._rows for item in work):
            return super()._filled(kind, key, work, batch, desc, typed)
        rows = {item.id: (item.stored, *self._rows[name, item.stored]) for item in work}
        return Outcomes(
            {
                id_: typed(RecordedRecord(id_, collection, stored, row, vector))
                for id_, (stored, row, vector) in rows.items()
            },
            {},
        )


class RecordedRun(Run):
    """A run on `RecordedDescriptions`."""

    def pooled(
        self, described: Outcomes[D], pooling: str, scheme: str, source: str = PREDICTS
    ) -> Outcomes[np.ndarray]:
        """One vector (D,) for each description, see `Run.pooled`.

        Raises
        ------
        ValueError
            If recorded descriptions are to be pooled otherwise than by `POOLED`, or their vectors
            are not recorded.
        """
        records = [item.record for item in described.values()]
        recorded = [record for record in records if isinstance(record, RecordedRecord)]
        if not recorded:
            return super().pooled(described, pooling, scheme, source)
        vectors = [record.vector for record in recorded if record.vector is not None]
        if (pooling, scheme, source) != POOLED or len(vectors) < len(records):
            raise ValueError(
                f"the vectors of {recorded[0].id!r} and others under {pooling}, {scheme} and"
                f" {source} are not recorded; {INSTEAD}"
            )
        return Vectors(list(described), np.stack(vectors), described.failures)

    def evaluate(
        self,
        strategy: str,
        pooling: str | None = None,
        scheme: str | None = None,
        source: str | None = None,
        save: bool = True,
    ) -> Result:
        """As `Run.evaluate`. What was recorded is another machine's work, and is not saved as a
        result of this one.
        """
        described = [*self.gallery().values(), *self.queries(strategy).values()]
        recorded = any(isinstance(item.record, RecordedRecord) for item in described)
        return super().evaluate(strategy, pooling, scheme, source, save and not recorded)


def recorded_run(config: RunConfig) -> Run:
    """The run of a configuration on what is recorded of its backbone; where nothing is, it is an
    ordinary `Run`'s work.
    """
    return RecordedRun(config, descriptions=RecordedDescriptions(config, benchmark_of(config)))


def read_recorded(path: Path) -> dict[tuple[str, str], tuple[dict, np.ndarray | None]]:
    """The rows of a file of `recorded_file`, and their vectors, by key and stored name.

    A line with a ``key`` begins the rows of a benchmark and a key. The vectors of a key are those
    of its first rows, in their order.
    """
    matrices = load_file(vectors_of(path))
    counts = dict.fromkeys(matrices, 0)
    rows: dict[tuple[str, str], tuple[dict, np.ndarray | None]] = {}
    key = ""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "key" in row:
            key = row["key"]
            continue
        vector = None
        if counts.get(key, 0) < len(matrices.get(key, ())):
            vector = matrices[key][counts[key]]
            counts[key] += 1
        rows[key, row["stored"]] = row, vector
    return rows
