"""What a run is asked for, typed: a described video or text, and a described query.

The store keeps beside every description a small json object that says what led to it. It is read
here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from covrr_utils.backbones.description import Description, Failure, Outcomes
from covrr_utils.reasoning.validity import trace_texts
from covrr_utils.store.collection import Collection
from covrr_utils.store.records import StoredRecord
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import ReasoningTrace

D = TypeVar("D", covariant=True)

EMPTY = ReasoningTrace()


@dataclass(frozen=True)
class Described:
    """A description in the store: of a video, or of a text that the model read by itself.

    Everything is at hand but the token states: ``description`` reads them from disk at every call,
    so that a whole gallery never has to fit into memory.
    """

    record: StoredRecord = field(repr=False)

    @property
    def id(self) -> str:
        """The id of the video, the triplet or the text."""
        return self.record.id

    @property
    def text(self) -> str:
        """The description's text."""
        return self.record.text

    @property
    def ended(self) -> bool:
        """Whether the model ended its turn by itself, before the limit of new tokens."""
        return self.record.ended

    @property
    def description(self) -> Description:
        """The description with its token states (T, D)."""
        return self.record.description


class DescribedQuery(Described):
    """The description of one triplet's reference after the edit, and the reasoning behind it."""

    @cached_property
    def trace(self) -> ReasoningTrace | None:
        """The trace that the description was given; None where the strategy uses none."""
        text = self.record.extra["trace"]
        if text is None:
            return None
        return EMPTY if text == EMPTY.text() else parse_trace(text)

    @property
    def samples(self) -> list[str]:
        """The sampled traces to the letter; empty where none were sampled."""
        return self.record.extra["samples"]

    @property
    def written(self) -> str | None:
        """Stage 1's output to the letter; None where the model wrote no single trace."""
        return self.record.extra["written"]

    @property
    def retried(self) -> bool:
        """Whether what was written first held no trace, so that the model was asked again."""
        return self.record.extra.get("retried", False)

    @property
    def stage_1(self) -> list[str]:
        """All texts in which a trace was asked for, to the letter."""
        return trace_texts(self.written, self.samples)

    @property
    def tokens(self) -> float:
        """Tokens that the model wrote in all steps: the triplet's share of its batch."""
        return self.record.extra["tokens"]

    @property
    def seconds(self) -> float:
        """Wall time of all steps in seconds: the triplet's share of its batch."""
        return self.record.extra["seconds"]


class Stored(Outcomes[D]):
    """What a collection holds under ``names`` (id -> stored name), each typed when it is asked for,
    and why it lacks the rest: ``failures`` are by stored name.
    """

    def __init__(
        self,
        collection: Collection,
        names: Mapping[str, str],
        failures: Mapping[str, Failure],
        typed: Callable[[StoredRecord], D],
    ):
        self._records, self._typed = collection.records(names), typed
        lost = {i: replace(failures[n], id=i) for i, n in names.items() if i not in self._records}
        super().__init__({}, lost)

    def __getitem__(self, id_: str) -> D:
        return self._typed(self._records[id_])

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def cut_off(described: Iterable[Described]) -> int:
    """How many of the descriptions ended at the limit of new tokens."""
    return sum(not item.ended for item in described)
