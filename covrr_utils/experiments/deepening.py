"""The states of decoder blocks for descriptions that the store holds without them: each text is
read again in one pass (`covrr_utils.backbones.forcing`), nothing is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import Record
from covrr_utils.backbones.forcing import force
from covrr_utils.backbones.generation import Prompt
from covrr_utils.reasoning import prompts
from covrr_utils.reasoning.batch import Clips, Computed
from covrr_utils.reasoning.settings import Settings

if TYPE_CHECKING:
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.store.batches import Compute
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
        assert isinstance(self.writer, Backbone)
        asked = [Prompt(clip, self.question(item, self.settings.style)) for item, clip in known]
        answers = [item.description.token_ids.tolist() for item, _ in known]
        deeper = force(self.writer, asked, answers, self.settings.layers)
        again = [
            Record(item.id, description, item.extra)
            for (item, _), description in zip(known, deeper, strict=True)
        ]
        return [*again, *records], failures
