"""The states of decoder blocks for descriptions that the store holds without them: each text is
read again in one pass (`covrr_utils.backbones.forcing`), nothing is generated. And the other way
round: what the store holds with them serves a run that does not ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from covrr_utils.backbones.description import Record
from covrr_utils.backbones.generation import Prompt
from covrr_utils.reasoning import prompts
from covrr_utils.reasoning.batch import Clips, Computed
from covrr_utils.reasoning.settings import Settings
from covrr_utils.store.batches import keep
from covrr_utils.store.relatives import relatives

if TYPE_CHECKING:
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.experiments.computing import BatchOf
    from covrr_utils.experiments.descriptions import Descriptions
    from covrr_utils.experiments.keys import Key
    from covrr_utils.store.batches import Compute
    from covrr_utils.store.collection import Collection, Store
    from covrr_utils.store.records import StoredRecord

Wording = Callable[["StoredRecord", str], str]  # that a record answers, and how it is worded


def of_video(record: StoredRecord, style: str) -> str:
    """What was asked about a video as it is."""
    return prompts.describe(style)


def of_query(edits: Mapping[str, str]) -> Wording:
    """What was asked about the video after the edit, given the edits by triplet."""

    def question(record: StoredRecord, style: str) -> str:
        edit, trace = edits[record.id], record.extra["trace"]
        if trace is None:
            return prompts.single_stage(edit, style)
        return prompts.after_trace(edit, trace, style)

    return question


def deepened(
    descriptions: Descriptions, kind: str, key: Key, names: Mapping[str, str], batch: BatchOf
) -> BatchOf:
    """``batch`` of what has these ``names`` in the collection of ``key``, but for the states of
    layers: descriptions that the store holds without them are not written again.
    """
    shallow = descriptions.store.collection(kind, {**key, "layers": []}).records(names)
    edits = {triplet.id: triplet.edit for triplet in descriptions.benchmark.triplets}
    question = of_video if kind == "gallery" else of_query(edits)
    return lambda d, writer: Deepened(writer, d.settings, shallow, question, batch(d, writer))


def take_over(
    store: Store, kind: str, collection: Collection, names: Sequence[str], size: int
) -> None:
    """Copy what ``collection``, which has no states of layers, lacks of these names from others
    that differ in nothing else, ``size`` descriptions at a time.
    """
    for deep in relatives(store, kind, collection.key, ("layers",)):
        lacking = [name for name in collection.missing(names) if name in deep]
        gone = set(deep.missing(lacking))
        there = sorted((n for n in lacking if n not in gone), key=deep.shard_of)
        for start in range(0, len(there), size):
            records = [deep.record(name) for name in there[start : start + size]]
            keep(
                collection,
                [replace(r, description=replace(r.description, layers=None)) for r in records],
                {},
            )


@dataclass(frozen=True)
class Deepened:
    """``shallow`` records, by the id of a video or triplet, with the states of the ``settings``'
    layers; what is not among them is computed by ``compute``.
    """

    writer: Writer
    settings: Settings
    shallow: Mapping[str, StoredRecord]
    question: Wording
    compute: Compute

    def __call__(self, clips: Clips) -> Computed:
        known = [(self.shallow[id_], clip) for id_, clip in clips if id_ in self.shallow]
        others = [(id_, clip) for id_, clip in clips if id_ not in self.shallow]
        records, failures = self.compute(others) if others else ([], [])
        if not known:
            return records, failures
        from covrr_utils.backbones.backbone import Backbone  # which imports torch
        from covrr_utils.backbones.forcing import force

        assert isinstance(self.writer, Backbone)
        asked = [Prompt(clip, self.question(item, self.settings.style)) for item, clip in known]
        answers = [item.description.token_ids.tolist() for item, _ in known]
        deeper = force(self.writer, asked, answers, self.settings.layers)
        again = [
            Record(item.id, description, item.extra)
            for (item, _), description in zip(known, deeper, strict=True)
        ]
        return [*again, *records], failures
