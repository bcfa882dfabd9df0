"""What the store lacks is computed, batch by batch, by the engine of a run: in this process, or by
the workers of a cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from covrr_utils.backbones.description import Record
from covrr_utils.experiments.engines import LOCAL, RAY
from covrr_utils.experiments.model import Model
from covrr_utils.experiments.workers import Do, Phase, Task, Unread
from covrr_utils.store.batches import Compute, fill, keep
from covrr_utils.store.collection import Collection
from covrr_utils.store.prefetch import Work

if TYPE_CHECKING:
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.experiments.descriptions import Descriptions

BatchOf = Callable[["Descriptions", "Writer"], Compute]


def compute_missing(
    descriptions: Descriptions,
    collection: Collection,
    work: Sequence[Work],
    batch: BatchOf,
    desc: str,
) -> None:
    """Compute what ``work`` lists and ``collection`` lacks, by what ``batch`` makes of the
    descriptions and the writer of the process that computes; it must hold no model itself.

    Errors are those of `covrr_utils.store.batches.fill`, and of
    `covrr_utils.experiments.cluster.Cluster` where that is the engine.
    """
    config = descriptions.config
    if config.engine == RAY:
        spread(
            descriptions,
            collection,
            work,
            lambda d, part, some: compute_missing(d, part, some, batch, desc),
            desc,
        )
        return
    model, path_of = descriptions.model, descriptions.benchmark.video_path
    computes = model.computes(lambda writer: batch(descriptions, writer), path_of)
    size = config.in_flight if model.serving else config.batch_size
    sampling, kept = descriptions.backbone.sampling, descriptions.frames
    fill(collection, work, path_of, sampling, computes, size, desc, kept)


def read_missing(
    descriptions: Descriptions, collection: Collection, unread: Sequence[Unread], desc: str
) -> None:
    """Have the model read these texts, each by itself."""
    if not unread:
        return
    if descriptions.config.engine == RAY:
        spread(
            descriptions,
            collection,
            unread,
            lambda d, part, some: read_missing(d, part, some, desc),
            desc,
        )
        return
    size = descriptions.config.batch_size
    for start in tqdm(range(0, len(unread), size), desc=desc, mininterval=1):
        batch = unread[start : start + size]
        readings = descriptions.backbone.read([item.text for item in batch])
        records = [
            Record(item.stored, reading) for item, reading in zip(batch, readings, strict=True)
        ]
        collection.record_failures(keep(collection, records, {}))


def spread(
    descriptions: Descriptions, collection: Collection, tasks: Sequence[Task], do: Do, desc: str
) -> None:
    """Have the workers of the cluster do these tasks."""
    phase = Phase(_twin(descriptions), descriptions.identity, collection.folder, collection.key, do)
    size = descriptions.config.batch_size
    descriptions.model.cluster.spread(phase, collection, tasks, size, desc)


def _twin(descriptions: Descriptions) -> Descriptions:
    """The same for another process, which loads a model of its own and computes by itself."""
    other = copy.copy(descriptions)
    other.config = descriptions.config.replace(engine=LOCAL)
    other.model = Model(other.config, descriptions.benchmark.kind)
    other.forget()
    return other
