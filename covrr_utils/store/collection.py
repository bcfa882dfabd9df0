"""Descriptions on disk: keyed by everything that determines them, written so that an interruption
loses at most the shard in flight.

A `Collection` is a folder named by the hash of its key (backbone weights, prompt, sampling,
decoding, strategy, ...). Shards are written beside and renamed, then announced by one line at the
end of ``journal.jsonl``: a shard that no line announces does not exist, and a line that was cut off
is not there. Adding a shard costs the same however many there are; reading maps shards into memory
and makes one description at a time, so that neither writing nor pooling needs the whole gallery in
memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones.description import Description, Failure, Record
from covrr_utils.files import FileError, digest, locked, write_atomically, writing
from covrr_utils.store.shards import Shard, pack

JOURNAL, KEY = "journal.jsonl", "key.json"

OPEN_SHARDS = 256  # how many shards' texts are kept in memory; their states stay on disk


class StoreError(FileError):
    """A shard or journal that is damaged; the message names it."""


class Store:
    """All collections below one folder."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def collection(self, kind: str, key: Mapping[str, object]) -> Collection:
        """The collection of ``kind`` (``gallery``, ``queries``) for exactly this key; made when it
        is first written.
        """
        return Collection(self.root / kind / digest(key), key)


class Collection:
    """Records under one key. ``ids`` are known at once; descriptions are read when asked for."""

    def __init__(self, folder: Path, key: Mapping[str, object]):
        self.folder, self.key = folder, dict(key)
        # id -> (the line that announced its shard, its row there)
        self._places: dict[str, tuple[dict, int]] = {}
        self._failures: dict[str, Failure] = {}
        self._read_to = 0  # bytes of the journal that are known
        self._open: OrderedDict[str, Shard] = OrderedDict()
        self._checked: set[str] = set()
        self._check_key()
        self._refresh()

    def __contains__(self, id_: str) -> bool:
        return id_ in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, records: Iterable[Record]) -> None:
        """Write one shard: states as float16 (about three decimal digits), all else exactly.
        Recorded failures of these ids are lifted.

        What another process has stored under the same id meanwhile stays, and this record is not
        used.

        Raises
        ------
        ValueError
            If states do not fit float16 or are not finite, or an id is already stored.
        DiskFull
            If the disk is full; nothing of this shard is stored then, and all that was stays.
        """
        records = list(records)
        if not records:
            return
        ids = [record.id for record in records]
        if known := [id_ for id_ in ids if id_ in self]:
            raise ValueError(f"{known[0]!r} is already stored under this key")
        if twice := [id_ for id_ in ids if ids.count(id_) > 1]:
            raise ValueError(f"{twice[0]!r} is given twice; a collection holds each id once")
        blob = pack(records)
        sha256 = hashlib.sha256(blob).hexdigest()
        name = f"{sha256[:16]}.safetensors"
        with self._writing():
            write_atomically(self.folder / name, blob)
            self._append({"shard": name, "sha256": sha256, "ids": ids})

    def record_failures(self, failures: Iterable[Failure]) -> None:
        """Remember what failed (an id's newest entry counts); the next run tries these again."""
        lines = [asdict(failure) for failure in failures]
        if lines:
            with self._writing():
                self._append({"failures": lines})

    def failures(self) -> dict[str, Failure]:
        """What failed and has not succeeded since, by id."""
        return dict(self._failures)

    def records(self, names: Mapping[str, str] | None = None) -> Records:
        """The stored records, read when asked for. ``names``: id -> stored id, to give them other
        ids (those not stored are left out).
        """
        return Records(
            self,
            (
                {id_: id_ for id_ in self._places}
                if names is None
                else {i: n for i, n in names.items() if n in self}
            ),
        )

    def record(self, name: str) -> Record:
        """One stored record, its token states among it.

        Raises
        ------
        KeyError
            If there is none of that id.
        StoreError
            If its shard is missing or damaged.
        """
        shard, row = self._located(name)
        return shard.record(row)

    def head(self, name: str) -> dict:
        """What is written of a stored record beside its arrays: ``text``, ``tokens``, ``ended`` and
        ``extra``. No token state is read; errors are those of `record`.
        """
        shard, row = self._located(name)
        return shard.lines[row]

    def _located(self, name: str) -> tuple[Shard, int]:
        """The shard that holds a record, opened, and the record's row in it."""
        line, row = self._places[name]
        shard = self._open.get(line["shard"])
        if shard is None:
            shard = self._open[line["shard"]] = self._shard(line)
        self._open.move_to_end(line["shard"])
        while len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard, row

    def _shard(self, line: dict) -> Shard:
        """Open a shard; its checksum is verified once per process."""
        path = self.folder / line["shard"]
        try:
            if line["shard"] not in self._checked:
                with open(path, "rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != line["sha256"]:
                        raise ValueError("another checksum than when it was written")
                self._checked.add(line["shard"])
            return Shard(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            shown = paths.relative(self.folder)
            raise StoreError(
                f"{paths.relative(path)}: missing or damaged shard; delete {shown} to compute it"
                f" again ({error})"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time: what another process has added meanwhile is read before, and a line
        that was cut off is removed.
        """
        with locked(self.folder / ".lock"), writing(self.folder):
            if not (self.folder / KEY).exists():
                write_atomically(
                    self.folder / KEY, json.dumps(self.key, ensure_ascii=False, indent=1).encode()
                )
            self._refresh()
            yield

    def _append(self, line: dict) -> None:
        """Announce: one line at the end of the journal, flushed to disk."""
        with open(
            self.folder / JOURNAL, "r+b" if (self.folder / JOURNAL).exists() else "w+b"
        ) as file:
            file.truncate(self._read_to)  # cuts off what a killed process left half written
            file.seek(self._read_to)
            try:
                file.write(_line(line))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._read_to)
                raise
            self._read_to = file.tell()
        self._apply(line)

    def _refresh(self) -> None:
        """Read what the journal says since the last time."""
        path = self.folder / JOURNAL
        if not path.exists():
            return
        with open(path, "rb") as file:
            file.seek(self._read_to)
            text = file.read()
        lines = text.split(b"\n")
        for number, raw in enumerate(lines[:-1]):
            try:
                line = _parsed(raw)
                self._apply(line)
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines) - 2:
                    return  # the last line, cut off in writing: it never was
                where = paths.relative(path)
                raise StoreError(
                    f"{where}: damaged journal ({error}); delete its folder to compute it again"
                ) from error
            self._read_to += len(raw) + 1

    def _apply(self, line: dict) -> None:
        if "failures" in line:
            self._failures |= {
                failure["id"]: Failure(**failure)
                for failure in line["failures"]
                if failure["id"] not in self._places
            }
            return
        for row, id_ in enumerate(line["ids"]):
            self._places.setdefault(id_, (line, row))
            self._failures.pop(id_, None)

    def _check_key(self) -> None:
        """The folder's key must be this one: a renamed or edited folder never lends its vectors to
        another key.
        """
        path = self.folder / KEY
        if not path.exists():
            if (self.folder / JOURNAL).exists():
                raise StoreError(
                    f"{paths.relative(path)}: missing beside a journal; delete its folder to"
                    " compute it again"
                )
            return
        try:
            found = digest(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{paths.relative(path)}: damaged ({error}); delete its folder to compute it again"
            ) from error
        if found != self.folder.name:
            raise StoreError(
                f"{paths.relative(path)}: belongs to another key; delete its folder to compute it"
                " again"
            )


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
    """Stored records by id, each made from the mapped shard when it is asked for, and not kept."""

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


def _line(line: dict) -> bytes:
    """A journal line: checksum, space, json, newline."""
    text = json.dumps(line).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(raw: bytes) -> dict:
    checksum, _, text = raw.partition(b" ")
    if not text or f"{zlib.crc32(text):08x}".encode() != checksum:
        raise ValueError("a line does not agree with its checksum")
    return json.loads(text)
