"""What a journal says: where each record lies, and what failed."""

from __future__ import annotations

from covrr_utils.backbones.description import Failure
from covrr_utils.store.journal import Announced, Failed, Line, SetAside


class Index:
    """The state after all lines so far.

    Attributes
    ----------
    places : id -> the line that announced its shard, and its row there; the first one counts
    announced : the shards that are there, by file name
    failures : what failed and has not succeeded since, by id; the newest word counts
    """

    def __init__(self) -> None:
        self.places: dict[str, tuple[Announced, int]] = {}
        self.announced: dict[str, Announced] = {}
        self.failures: dict[str, Failure] = {}

    def apply(self, line: Line) -> None:
        """Take note of one more line."""
        match line:
            case Announced():
                self.announced[line.shard] = line
                self._place(line)
            case Failed(failures):
                self.failures |= {f.id: f for f in failures if f.id not in self.places}
            case SetAside(shard):
                self.announced.pop(shard, None)
                self.places.clear()
                for other in self.announced.values():
                    self._place(other)

    def _place(self, line: Announced) -> None:
        for row, id_ in enumerate(line.ids):
            self.places.setdefault(id_, (line, row))
            self.failures.pop(id_, None)
