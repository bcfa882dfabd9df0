"""Stored records as a mapping: their texts at hand, their token states on disk until asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from covrr_utils.backbones.description import Description

if TYPE_CHECKING:
    from covrr_utils.store.collection import Collection


@dataclass(frozen=True)
class StoredRecord:
    """A record in the store: what is written of it is at hand, its token states are read from disk
    each time that ``description`` is asked for, and not kept.
    """

    id: str
    text: str
    ended: bool
    extra: dict = field(repr=False)
    collection: Collection = field(repr=False)
    stored: str = field(repr=False)

    @property
    def description(self) -> Description:
        """The description with its token states."""
        return self.collection.record(self.stored).description


class Records(Mapping[str, StoredRecord]):
    """Stored records by id, each made from its shard when it is asked for, and not kept."""

    def __init__(self, collection: Collection, names: Mapping[str, str]):
        self._collection, self._names = collection, dict(names)

    def __getitem__(self, id_: str) -> StoredRecord:
        name = self._names[id_]
        head = self._collection.head(name)
        return StoredRecord(
            id_, head["text"], head["ended"], dict(head["extra"]), self._collection, name
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
