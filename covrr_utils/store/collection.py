"""Descriptions on disk: keyed by everything that determines them, written so that an interruption
loses at most the shard in flight.

A `Collection` is a folder named by the hash of its key (backbone weights, prompt, sampling,
decoding, strategy, ...). Shards are written beside and renamed, then announced by one line at the
end of ``journal.jsonl``. Adding a shard costs the same however many there are; reading makes one
description at a time and keeps no file open, so that neither writing nor pooling needs the whole
gallery in memory. Opening and reading write nothing.

A shard that is damaged or gone costs its own descriptions: `Collection.missing` finds it by its
checksum, sets it aside and names its ids, so that they are computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from covrr_utils import files, paths
from covrr_utils.backbones.description import Failure, Record
from covrr_utils.store.index import Index
from covrr_utils.store.journal import Announced, Failed, Journal, Line, SetAside, Skipped
from covrr_utils.store.records import Records
from covrr_utils.store.repair import KEY, StoreError, check_key, fault, unannounced
from covrr_utils.store.shards import Shard, pack

JOURNAL = "journal.jsonl"

KEPT_SHARDS = 256  # how many shards' texts are kept in memory; their states stay on disk


class Store:
    """All collections below one folder."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def collection(self, kind: str, key: Mapping[str, object]) -> Collection:
        """The collection of ``kind`` (``gallery``, ``queries``) for exactly this key; made when it
        is first written.
        """
        return Collection(self.root / kind / files.digest(key), key)


class Collection:
    """Records under one key. ``ids`` are known at once; descriptions are read when asked for.

    Raises
    ------
    StoreError
        If the folder belongs to another key.
    FileError
        If it cannot be read.
    """

    def __init__(self, folder: Path, key: Mapping[str, object]):
        self.folder, self.key = folder, dict(key)
        self._journal = Journal(folder / JOURNAL)
        self._index = Index()
        self._texts: OrderedDict[str, Shard] = OrderedDict()
        self._last: Shard | None = None  # whose record was read last
        self._intact: set[str] = set()  # names of shards whose checksum was right in this process
        check_key(folder)
        self._refresh()

    def __contains__(self, id_: str) -> bool:
        return id_ in self._index.places

    def __len__(self) -> int:
        return len(self._index.places)

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of ``ids`` that are not stored, or not intact: what is to be computed.

        The checksum of every shard that holds one of the others is verified, once per process. A
        shard that is damaged or gone is set aside and named on standard error; the rest stays. A
        shard that was written, but that no line of the journal announces, is taken up again.

        Raises
        ------
        FileError
            If a shard cannot be read: whether it is damaged is not known then.
        """
        ids = list(dict.fromkeys(ids))
        lines = dict.fromkeys(self._index.places[id_][0] for id_ in ids if id_ in self)
        bar = tqdm(lines, "checking what is stored", unit="shard", delay=2, leave=False)
        if faulty := [line for line in bar if self._fault(line)]:
            self._set_aside(faulty)
        if any(id_ not in self for id_ in ids):
            self._take_up()
        return [id_ for id_ in ids if id_ not in self]

    def add(self, records: Iterable[Record]) -> None:
        """Write one shard: states as float16 (about three decimal digits), all else exactly.
        Recorded failures of these ids are lifted.

        What another process has stored under the same id meanwhile stays, and this record is not
        used.

        Raises
        ------
        ValueError
            If states do not fit float16 or are not finite, or an id is already stored.
        FileError
            If the file system refuses; nothing of this shard is stored then, and all that was
            stays. `covrr_utils.files.DiskFull` where the disk is full.
        """
        records = list(records)
        if not records:
            return
        ids = tuple(record.id for record in records)
        if known := [id_ for id_ in ids if id_ in self]:
            raise ValueError(f"{known[0]!r} is already stored under this key")
        if twice := [id_ for id_ in ids if ids.count(id_) > 1]:
            raise ValueError(f"{twice[0]!r} is given twice; a collection holds each id once")
        blob = pack(records, self.folder.name)
        sha256 = hashlib.sha256(blob).hexdigest()
        line = Announced(f"{sha256[:16]}.safetensors", sha256, ids)
        with self._writing():
            files.write_atomically(self.folder / line.shard, blob)
            self._append(line)
        self._intact.add(line.shard)

    def announce(self, lines: Iterable[Line]) -> None:
        """Write down what a `covrr_utils.store.part.Part` has handed over. A shard that is known is
        not announced again.

        Raises
        ------
        FileError
            If the file system refuses.
        """
        with self._writing():
            for line in lines:
                if not (isinstance(line, Announced) and line.shard in self._index.announced):
                    self._append(line)

    def record_failures(self, failures: Iterable[Failure]) -> None:
        """Remember what failed (the newest word on an id counts); the next run tries these again.

        What is known already is not written again. Where the store cannot be written, that is
        said, and the failures are remembered in this process.
        """
        new = Failed(tuple(f for f in failures if self._index.failures.get(f.id) != f))
        if new.failures:
            self._note([new])

    def failures(self) -> dict[str, Failure]:
        """What failed and has not succeeded since, by id."""
        return dict(self._index.failures)

    def shard_of(self, name: str) -> str:
        """The file name of the shard that holds a record; it is named by its content."""
        return self._index.places[name][0].shard

    def records(self, names: Mapping[str, str] | None = None) -> Records:
        """The stored records, read when asked for. ``names``: id -> stored id, to give them other
        ids (those not stored are left out).
        """
        if names is None:
            names = {id_: id_ for id_ in self._index.places}
        return Records(self, {id_: name for id_, name in names.items() if name in self})

    def record(self, name: str) -> Record:
        """One stored record, its token states among it.

        Raises
        ------
        KeyError
            If there is none of that id.
        StoreError
            If its shard is damaged or gone; it is set aside then.
        FileError
            If its shard cannot be read.
        """
        shard, row = self._located(name)
        with files.reading(shard.path):
            if shard is self._last:  # one record after the other, as in a pass over all of them
                shard.keep_whole()
            elif self._last is not None:
                self._last.let_go()
            self._last = shard
            return shard.record(row)

    def head(self, name: str) -> dict:
        """What is written of a stored record beside its arrays: ``text``, ``tokens``, ``ended`` and
        ``extra``. No token state is read; errors are those of `record`.
        """
        shard, row = self._located(name)
        return shard.lines[row]

    def _located(self, name: str) -> tuple[Shard, int]:
        """The intact shard that holds a record, with its texts, and the record's row in it."""
        line, row = self._index.places[name]
        if self._fault(line):
            self._set_aside([line])
            if name not in self:
                raise StoreError(
                    f"{paths.relative(self.folder / line.shard)} is damaged or gone; run the same"
                    f" command again: its {len(line.ids)} descriptions are computed again, and the"
                    " rest stays"
                )
            return self._located(name)  # another process has computed it again
        shard = self._texts.get(line.shard)
        if shard is None:
            with files.reading(self.folder / line.shard):
                shard = self._texts[line.shard] = Shard(self.folder / line.shard)
        self._texts.move_to_end(line.shard)
        while len(self._texts) > KEPT_SHARDS:
            self._texts.popitem(last=False)
        return shard, row

    def _fault(self, line: Announced) -> str | None:
        """As `covrr_utils.store.repair.fault`; an intact shard is looked at once per process."""
        if line.shard in self._intact:
            return None
        why = fault(self.folder, line)
        if why is None:
            self._intact.add(line.shard)
        return why

    def _set_aside(self, lines: Iterable[Announced]) -> None:
        """Rename these shards and forget their records, except what another process has put right
        meanwhile. In a store that cannot be written they are forgotten in this process alone.
        """
        try:
            with self._writing():
                for line in lines:
                    if self._index.announced.get(line.shard) == line and (why := self._fault(line)):
                        path = self.folder / line.shard
                        fate = files.set_aside(path) if path.exists() else ""
                        files.say(
                            f"{paths.relative(path)} is lost ({why}){fate}. Its {len(line.ids)}"
                            f" descriptions are to be computed again; the other"
                            f" {len(self) - len(line.ids)} stay"
                        )
                        self._append(SetAside(line.shard))
        except files.FileError as error:
            files.say(f"{error}. The damaged shards are left out")
            for line in lines:
                self._apply(SetAside(line.shard))

    def _take_up(self) -> None:
        """Announce shards that are there and that no line announces (any more)."""
        lines: list[Line] = [*unannounced(self.folder, self._index.announced)]
        if damaged := self._journal.damaged:
            files.say(
                f"{paths.relative(self.folder / JOURNAL)}: {len(damaged)} lines are damaged. What"
                " they announced is taken up again where its shard tells its key, and computed"
                " again otherwise"
            )
            lines.append(Skipped(tuple(sorted(damaged))))
        if lines:
            self._note(lines)

    def _note(self, lines: Iterable[Line]) -> None:
        """Append lines to the journal; where that is refused, they hold in this process alone."""
        try:
            with self._writing():
                for line in lines:
                    self._append(line)
        except files.FileError as error:
            files.say(str(error))
            for line in lines:
                self._apply(line)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time: what another process has added meanwhile is read before."""
        with files.locked(self.folder / ".lock"), files.writing(self.folder):
            files.write_atomically(
                self.folder / KEY, json.dumps(self.key, ensure_ascii=False, indent=1).encode()
            )
            self._refresh()
            yield

    def _append(self, line: Line) -> None:
        self._journal.append(line)
        self._apply(line)

    def _refresh(self) -> None:
        """Read what the journal says since the last time."""
        for line in self._journal.news():
            self._apply(line)

    def _apply(self, line: Line) -> None:
        self._index.apply(line)
        if isinstance(line, SetAside):
            self._intact.discard(line.set_aside)
            self._texts.pop(line.set_aside, None)
