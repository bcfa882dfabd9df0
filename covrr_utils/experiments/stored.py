"""What a run is asked for, typed: a described video or text, and a described query.

The store keeps beside every description a small json object that says what led to it. That object
is written and read here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from covrr_utils.backbones.description import Description, Failure, Outcomes, Record
from covrr_utils.store.collection import Collection
from covrr_utils.store.records import Records, StoredRecord
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import ReasoningTrace

if TYPE_CHECKING:
    from covrr_utils.reasoning.strategies import Query

D = TypeVar("D")

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
    def tokens(self) -> float:
        """Tokens that the model wrote in all steps: the triplet's share of its batch."""
        return self.record.extra["tokens"]

    @property
    def seconds(self) -> float:
        """Wall time of all steps in seconds: the triplet's share of its batch."""
        return self.record.extra["seconds"]


def video_record(video: str, description: Description, seconds: float) -> Record:
    """A described video on its way to the store."""
    return Record(video, description, {"seconds": seconds})


def query_record(query: Query, tokens: float, seconds: float) -> Record:
    """A query that a strategy answered on its way to the store, with its share of the cost."""
    extra: dict[str, object] = {
        "trace": query.trace.text() if query.trace else None,
        "samples": query.samples,
        "written": query.written,
    }
    if query.retried:
        extra["retried"] = True
    return Record(query.triplet, query.description, extra | {"tokens": tokens, "seconds": seconds})


class _Typed(Mapping[str, D]):
    """Stored records by id, each typed when it is asked for."""

    def __init__(self, records: Records, typed: Callable[[StoredRecord], D]):
        self._records, self._type = records, typed

    def __getitem__(self, id_: str) -> D:
        return self._type(self._records[id_])

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def outcomes(
    collection: Collection,
    names: Mapping[str, str],
    failures: Mapping[str, Failure],
    typed: Callable[[StoredRecord], D],
) -> Outcomes[D]:
    """What the collection holds under ``names`` (id -> stored name), and why it lacks the rest:
    ``failures`` are by stored name.
    """
    records = collection.records(names)
    lost = {
        id_: replace(failures[name], id=id_) for id_, name in names.items() if id_ not in records
    }
    return Outcomes(_Typed(records, typed), lost)
