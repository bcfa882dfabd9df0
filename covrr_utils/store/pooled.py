"""Pooled vectors on disk: what one way of pooling makes of a collection is computed once.

A file lies in the collection's folder for each way. It names, for every vector, the shard whose
states were pooled, and is used for that shard alone: what was computed again is pooled again. The
file is no source of anything. Where it is damaged it is set aside, and where it cannot be written
the vectors are pooled anew next time.

Vectors are kept as they were pooled, in float32, or in float16: half the disk, and ranks are then
those of the rounded vectors. A large file is not read into memory but mapped, so that a ranking
streams from the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from safetensors.numpy import save

from covrr_utils import files
from covrr_utils.backbones.description import Description, Failure, Outcomes
from covrr_utils.retrieval.pooling import NothingToPool
from covrr_utils.retrieval.vectors import FLOAT32, Vectors
from covrr_utils.store.collection import Collection
from covrr_utils.store.records import StoredRecord

FOLDER = "pooled"  # in a collection's folder

VECTORS, RECORDS, CHECKSUM = "vectors", "records", "sha256"

MAPPED_BYTES = 64 << 20  # of vectors: a file that holds more is mapped

DTYPES = {"F16": np.float16, "F32": np.float32}  # as safetensors names them

Pool = Callable[[Description], Float32[np.ndarray, " V"]]


def pooled(
    records: Iterable[StoredRecord],
    way: Mapping[str, object],
    pool: Pool,
    failures: Mapping[str, Failure],
    kept_as: str = FLOAT32,
) -> Vectors:
    """One vector for each record; one that cannot be pooled joins ``failures``.

    Parameters
    ----------
    records : all of one collection
    way : everything that decides what ``pool`` makes of a description
    pool : raises `NothingToPool` where a description cannot become a vector
    kept_as : one of `covrr_utils.retrieval.vectors.FORMATS`
    """
    records, lost = list(records), dict(failures)
    if not records:
        return Vectors([], np.empty((0, 0), np.float32), lost)
    collection = records[0].collection
    if kept_as != FLOAT32:
        way = {**way, "kept as": kept_as}
    path = collection.folder / FOLDER / f"{files.digest(way)}.safetensors"
    nothing = _Pooled({}, np.empty((0, 0), np.dtype(kept_as)))
    kept = files.parse_or_set_aside(path, _parsed) or nothing
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
            lost[record.id] = _failure(record, entry.message)
        else:
            ids.append(record.id)
            rows.append(entry.row)
    begin, count = (rows or [0])[0], len(rows)
    neighbours = rows == list(range(begin, begin + count))
    return Vectors(
        ids, kept.matrix[begin : begin + count] if neighbours else kept.matrix[rows], lost
    )


def pooled_now(
    records: Iterable[StoredRecord], pool: Pool, failures: Mapping[str, Failure]
) -> Vectors:
    """As `pooled`, for a few records that nobody asks for again: nothing is looked up or kept."""
    vectors, lost = {}, dict(failures)
    for record in records:
        try:
            vectors[record.id] = pool(record.description)
        except NothingToPool as error:
            lost[record.id] = _failure(record, str(error))
    return Vectors.of(Outcomes(vectors, lost))


def _failure(record: StoredRecord, message: str) -> Failure:
    return Failure(record.id, "pooling", "nothing to pool", message)


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
    matrix: Float[np.ndarray, "N V"]


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
                vector = pool(names[name].description).astype(kept.matrix.dtype)
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
    return _Pooled(entries, np.stack(vectors) if vectors else kept.matrix[:0])


def _packed(kept: _Pooled) -> bytes:
    """The safetensors bytes of a file."""
    matrix = np.ascontiguousarray(kept.matrix)
    lines = [[name, entry.shard, entry.row, entry.message] for name, entry in kept.entries.items()]
    records = json.dumps(lines)
    checksum = _checksum(records, matrix)
    return save({VECTORS: matrix}, metadata={RECORDS: records, CHECKSUM: checksum})


def _checksum(records: str, vectors: Float[np.ndarray, "N V"]) -> str:
    total = hashlib.sha256(records.encode())
    rows = max(1, (1 << 20) // max(vectors[:1].nbytes, 1))
    for start in range(0, len(vectors), rows):
        total.update(vectors[start : start + rows].data)
    return total.hexdigest()


def _parsed(path: Path) -> _Pooled:
    """What `_packed` wrote; `ValueError`, `KeyError` or `TypeError` for anything else."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(min(length, size)))
    texts, (height, width) = header["__metadata__"], header[VECTORS]["shape"]
    dtype = np.dtype(DTYPES[header[VECTORS]["dtype"]])
    if size != 8 + length + height * width * dtype.itemsize:
        raise ValueError("it has another size than when it was written")
    matrix = _vectors(path, dtype, 8 + length, (height, width))
    if _checksum(texts[RECORDS], matrix) != texts[CHECKSUM]:
        raise ValueError("it has another checksum than when it was written")
    entries = {
        name: _Entry(shard, row, message)
        for name, shard, row, message in json.loads(texts[RECORDS])
    }
    rows = [entry.row for entry in entries.values() if entry.row is not None]
    if rows != list(range(height)):
        raise ValueError("it has other vectors than it says")
    return _Pooled(entries, matrix)


def _vectors(
    path: Path, dtype: np.dtype, begin: int, shape: tuple[int, int]
) -> Float[np.ndarray, "N V"]:
    """The vectors that begin at this byte of a file: read, or where they are many, mapped."""
    count = shape[0] * shape[1]
    if count * dtype.itemsize > MAPPED_BYTES:
        return np.memmap(path, dtype, "r", begin, shape)
    return np.fromfile(path, dtype, count, offset=begin).reshape(shape)
