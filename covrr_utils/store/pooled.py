"""Pooled vectors on disk: what one way of pooling makes of a collection is computed once.

A file lies in the collection's folder for each way. It names, for every vector, the shard whose
states were pooled, and is used for that shard alone: what was computed again is pooled again. The
file is no source of anything. Where it is damaged it is set aside, and where it cannot be written
the vectors are pooled anew next time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from safetensors.numpy import save

from covrr_utils import files
from covrr_utils.backbones.description import Description, Failure
from covrr_utils.retrieval.pooling import NothingToPool
from covrr_utils.retrieval.vectors import Vectors
from covrr_utils.store.collection import Collection
from covrr_utils.store.records import StoredRecord

FOLDER = "pooled"  # in a collection's folder

VECTORS, RECORDS, CHECKSUM = "vectors", "records", "sha256"

Pool = Callable[[Description], Float32[np.ndarray, " V"]]


def pooled(
    records: Iterable[StoredRecord],
    way: Mapping[str, object],
    pool: Pool,
    failures: Mapping[str, Failure],
) -> Vectors:
    """One vector for each record; one that cannot be pooled joins ``failures``.

    Parameters
    ----------
    records : all of one collection
    way : everything that decides what ``pool`` makes of a description
    pool : raises `NothingToPool` where a description cannot become a vector
    """
    records, lost = list(records), dict(failures)
    if not records:
        return Vectors([], np.empty((0, 0), np.float32), lost)
    collection = records[0].collection
    path = collection.folder / FOLDER / f"{files.digest(way)}.safetensors"
    kept = files.read_or_set_aside(path, _parsed) or _Pooled({}, np.empty((0, 0), np.float32))
    known = _valid(kept, collection, records)
    if any(record.stored not in known for record in records):
        kept = _completed(kept, known, collection, records, pool)
        known = kept.entries
        try:
            files.write_atomically(path, _packed(kept))
        except files.FileError as error:
            files.say(f"{error}. The vectors are pooled again next time")
    ids, rows = [], []
    for record in records:
        entry = known[record.stored]
        if entry.row is None:
            lost[record.id] = Failure(record.id, "pooling", "nothing to pool", entry.message)
        else:
            ids.append(record.id)
            rows.append(entry.row)
    whole = rows == list(range(len(kept.matrix)))
    return Vectors(ids, kept.matrix if whole else kept.matrix[rows], lost)


@dataclass(frozen=True)
class _Entry:
    """What became of one record: the shard it lay in, its row or why it has none."""

    shard: str
    row: int | None
    message: str = ""


@dataclass(frozen=True)
class _Pooled:
    """What a file holds: entries by stored name, and their vectors."""

    entries: dict[str, _Entry]
    matrix: Float32[np.ndarray, "N V"]


def _valid(
    kept: _Pooled, collection: Collection, records: Iterable[StoredRecord]
) -> dict[str, _Entry]:
    """The entries of these records, as far as their shards are the ones that were pooled."""
    return {
        record.stored: entry
        for record in records
        if (entry := kept.entries.get(record.stored))
        and entry.shard == collection.shard_of(record.stored)
    }


def _completed(
    kept: _Pooled,
    known: Mapping[str, _Entry],
    collection: Collection,
    records: Iterable[StoredRecord],
    pool: Pool,
) -> _Pooled:
    """These records in their order, pooled where they are not known, then the rest of the file that
    is still of use.
    """
    names = {record.stored: record for record in records}
    others = {
        name: entry
        for name, entry in kept.entries.items()
        if name not in names and name in collection and entry.shard == collection.shard_of(name)
    }
    entries: dict[str, _Entry] = {}
    vectors: list[np.ndarray] = []
    for name in [*names, *others]:
        entry = known.get(name) or others.get(name)
        vector, message = None, ""
        if entry is None:
            try:
                vector = pool(names[name].description)
            except NothingToPool as error:
                message = str(error)
        elif entry.row is None:
            message = entry.message
        else:
            vector = kept.matrix[entry.row]
        row = None if vector is None else len(vectors)
        entries[name] = _Entry(collection.shard_of(name), row, message)
        if vector is not None:
            vectors.append(vector)
    return _Pooled(entries, np.stack(vectors) if vectors else np.empty((0, 0), np.float32))


def _packed(kept: _Pooled) -> bytes:
    """The safetensors bytes of a file."""
    matrix = np.ascontiguousarray(kept.matrix)
    lines = [[name, entry.shard, entry.row, entry.message] for name, entry in kept.entries.items()]
    records = json.dumps(lines)
    checksum = _checksum(records, matrix.data)
    return save({VECTORS: matrix}, metadata={RECORDS: records, CHECKSUM: checksum})


def _checksum(records: str, vectors: memoryview) -> str:
    total = hashlib.sha256(records.encode())
    total.update(vectors)
    return total.hexdigest()


def _parsed(blob: bytes) -> _Pooled:
    """What `_packed` wrote; `ValueError`, `KeyError` or `TypeError` for anything else."""
    begin = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:begin])
    texts, (height, width) = header["__metadata__"], header[VECTORS]["shape"]
    data = memoryview(blob)[begin:]
    if header[VECTORS]["dtype"] != "F32" or _checksum(texts[RECORDS], data) != texts[CHECKSUM]:
        raise ValueError("it has another checksum than when it was written")
    matrix = np.frombuffer(data, np.float32).reshape(height, width)
    entries = {
        name: _Entry(shard, row, message)
        for name, shard, row, message in json.loads(texts[RECORDS])
    }
    rows = [entry.row for entry in entries.values() if entry.row is not None]
    if rows != list(range(height)):
        raise ValueError("it has other vectors than it says")
    return _Pooled(entries, matrix)
