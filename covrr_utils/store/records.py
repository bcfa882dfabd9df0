"""Stored records as a mapping: texts and token states stay on disk until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from covrr_utils.backbones.description import Description

if TYPE_CHECKING:
    from covrr_utils.store.collection import Collection


@dataclass(frozen=True)
class StoredRecord:
    """A record in the store. What is written of it beside its token states is read when it is first
    asked for; the states are read each time that ``description`` is asked for, and not kept.
    """

    id: str
    collection: Collection = field(repr=False)
    stored: str = field(repr=False)

    @cached_property
    def _head(self) -> dict:
        return self.collection.head(self.stored)

    @property
    def text(self) -> str:
        """The description's text."""
        return self._head["text"]

    @property
    def ended(self) -> bool:
        """Whether the model ended its turn by itself."""
        return self._head["ended"]

    @property
    def extra(self) -> dict:
        """What led to the description."""
        return dict(self._head["extra"])

    @property
    def description(self) -> Description:
        """The description with its token states."""
        return self.collection.record(self.stored).description


class Records(Mapping[str, StoredRecord]):
    """Stored records by id, each made when it is asked for, and not kept."""

    def __init__(self, collection: Collection, names: Mapping[str, str]):
        self._collection, self._names = collection, dict(names)

    def __getitem__(self, id_: str) -> StoredRecord:
        return StoredRecord(id_, self._collection, self._names[id_])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
