"""`Part`: a collection as one of many workers sees it, on whatever machine.

A worker writes shards and keeps no journal. A shard is a file that is named by its content and
renamed into its place, so that workers need no lock, which network file systems often refuse, and
cannot disturb each other. The lines that announce its shards are handed to the one process that
keeps the journal (`covrr_utils.store.collection.Collection.announce`). If a worker dies before it
hands them over, or that process does, nothing is lost: a shard tells the key it belongs to, and one
that no line announces is taken up by whoever looks next for what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from covrr_utils import files
from covrr_utils.store.collection import Collection
from covrr_utils.store.journal import Line


class Part(Collection):
    """As `Collection`, but what would go into the journal waits until it is ``handed`` over."""

    def __init__(self, folder: Path, key: Mapping[str, object]):
        super().__init__(folder, key)
        self._lines: list[Line] = []

    def handed(self) -> list[Line]:
        """What is to be announced since the last time."""
        lines, self._lines = self._lines, []
        return lines

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with files.writing(self.folder):
            self._refresh()
            yield

    def _take_up(self) -> None:
        """Shards that no line announces are other workers'; their lines may have come since."""
        self._refresh()

    def _append(self, line: Line) -> None:
        self._lines.append(line)
        self._apply(line)
