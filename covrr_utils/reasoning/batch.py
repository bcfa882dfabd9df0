"""One batch of the store's work: clips in, records and failures out.

`VideoBatch` and `QueryBatch` are what `covrr_utils.store.batches.fill` computes with. A record
keeps beside its description what led to it, as plain json; `covrr_utils.experiments.stored` reads
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from covrr_utils.backbones.description import Failure, Record
from covrr_utils.backbones.generation import Prompt
from covrr_utils.reasoning import prompts, strategies
from covrr_utils.reasoning.settings import Settings

if TYPE_CHECKING:
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.benchmarks.benchmark import Triplet
    from covrr_utils.traces.trace import ReasoningTrace
    from covrr_utils.video.clips import Clip

Clips = Sequence["tuple[str, Clip]"]  # the id of a video or triplet, and its clip

Computed = tuple[list[Record], list[Failure]]

Ask = Callable[["Writer", strategies.Items, Settings], strategies.Outcome]


@dataclass(frozen=True)
class VideoBatch:
    """Describes videos as they are."""

    backbone: Writer
    settings: Settings

    def __call__(self, clips: Clips) -> Computed:
        prompt, begun = prompts.describe(self.settings.style), time.perf_counter()
        descriptions = self.backbone.describe(
            [Prompt(clip, prompt) for _, clip in clips],
            self.settings.generation,
            layers=self.settings.layers,
        )
        seconds = (time.perf_counter() - begun) / len(clips)
        return [
            Record(video, description, {"seconds": seconds})
            for (video, _), description in zip(clips, descriptions, strict=True)
        ], []


@dataclass(frozen=True)
class QueryBatch:
    """Answers triplets (by id) with a strategy. Tokens and seconds of a batch are shared out evenly
    among its triplets.
    """

    backbone: Writer
    settings: Settings
    triplets: Mapping[str, Triplet]
    ask: Ask

    def __call__(self, clips: Clips) -> Computed:
        tokens, begun = self.backbone.generated_tokens, time.perf_counter()
        items = [(self.triplets[id_], clip) for id_, clip in clips]
        queries, failures = self.ask(self.backbone, items, self.settings)
        cost = {
            "tokens": (self.backbone.generated_tokens - tokens) / len(clips),
            "seconds": (time.perf_counter() - begun) / len(clips),
        }
        return [Record(q.triplet, q.description, _notes(q) | cost) for q in queries], failures


@dataclass(frozen=True)
class WithTraces:
    """A strategy that is given its traces, by triplet id, whatever wrote them."""

    traces: Mapping[str, ReasoningTrace]

    def __call__(
        self, backbone: Writer, items: strategies.Items, settings: Settings
    ) -> strategies.Outcome:
        return strategies.described(backbone, items, self.traces, settings), []


def _notes(query: strategies.Query) -> dict[str, object]:
    """What the store keeps of a query beside its description."""
    notes: dict[str, object] = {
        "trace": query.trace.text() if query.trace else None,
        "samples": query.samples,
        "written": query.written,
    }
    return notes | ({"retried": True} if query.retried else {})
