"""One file of records: packed into safetensors bytes, read back one description at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from covrr_utils.backbones.description import Description, NotFinite, Record

DTYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64, "U8": np.uint8}

# of each array: its dtype, how many axes it has, how many of them count its rows
ARRAYS = {
    "states": ("F16", 2, 1),
    "logprobs": ("F32", 1, 1),
    "token_ids": ("I64", 1, 1),
    "special": ("U8", 1, 1),
    "lengths": ("I64", 1, 1),
    "layers": ("F16", 3, 2),
    "vision": ("F32", 2, 1),
}

OPTIONAL = {"layers", "vision"}


def pack(records: Sequence[Record], key: str) -> bytes:
    """The safetensors bytes of a shard: all tokens of all records one after the other, texts in the
    header, beside the digest of the key under which they are stored.

    states: (all tokens, D) float16; logprobs, token_ids, special: (all tokens,); lengths: (N,);
    where every record has them, layers: (L, all tokens, D) float16 and vision: (N, D) float32.

    Raises
    ------
    ValueError
        If a description has not as many states as tokens.
    NotFinite
        If states do not fit float16 or are not finite.
    """
    descriptions = [record.description for record in records]
    for record, d in zip(records, descriptions):
        if (
            not len(d.tokens)
            == len(d.states)
            == len(d.logprobs)
            == len(d.token_ids)
            == len(d.special)
        ):
            raise ValueError(
                f"{record.id!r}: {len(d.tokens)} tokens but {len(d.states)} states; a description"
                " has one of each per token"
            )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
        states = np.concatenate([d.states for d in descriptions]).astype(np.float16)
    if not np.isfinite(states).all():
        raise NotFinite("states are not finite in float16; check the backbone's dtype")
    arrays = {
        "states": states,
        "logprobs": np.concatenate([d.logprobs for d in descriptions]),
        "token_ids": np.concatenate([d.token_ids for d in descriptions]),
        "special": np.concatenate([d.special for d in descriptions]).astype(np.uint8),
        "lengths": np.array([len(d.tokens) for d in descriptions], np.int64),
    }
    layers = [d.layers for d in descriptions if d.layers is not None]
    if len(layers) == len(descriptions):
        arrays["layers"] = np.concatenate(layers, 1).astype(np.float16)
    vision = [d.vision for d in descriptions if d.vision is not None]
    if len(vision) == len(descriptions):
        arrays["vision"] = np.stack(vision)
    lines = [
        {
            "id": r.id,
            "text": r.description.text,
            "tokens": r.description.tokens,
            "ended": r.description.ended,
            "extra": r.extra,
        }
        for r in records
    ]
    return save(arrays, metadata={"records": json.dumps(lines), "key": key})


@dataclass(frozen=True)
class Span:
    """Where an array lies in its file: first byte, shape, how many axes count its rows, dtype."""

    begin: int
    shape: tuple[int, ...]
    counted: int
    dtype: np.dtype


class Shard:
    """One safetensors file: texts in memory, arrays on disk. No file stays open.

    The file may come from anybody: it is read only where its header, texts and arrays agree with
    each other and with its size.

    Raises
    ------
    ValueError
        If they do not.
    OSError
        If the file cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self._whole: dict[str, np.ndarray] | None = None
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            try:
                header = json.loads(file.read(length))
                self.key, self.lines = _texts(header)
                self.spans = _spans(header, 8 + length, size)
            except (KeyError, TypeError, AttributeError, RecursionError) as error:
                raise ValueError(f"a header that is not a shard's ({error!r})") from error
            if self.spans["lengths"].shape != (len(self.lines),):
                raise ValueError("as many texts as descriptions are expected, and it has others")
            lengths = _rows(file, self.spans["lengths"], 0, len(self.lines))
        counts = [len(line["tokens"]) for line in self.lines]
        if lengths.tolist() != counts or self.spans["states"].shape[0] != sum(counts):
            raise ValueError("as many tokens as states are expected, and it has others")
        self.bounds = np.cumsum([0, *counts]).tolist()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its records, in order."""
        return tuple(line["id"] for line in self.lines)

    def record(self, row: int) -> Record:
        """The record at ``row``, from memory where the whole file was read, else from disk.

        Raises
        ------
        OSError
            If the file cannot be read any more, or has become shorter.
        """
        whole = self._whole
        if whole is not None:
            return self._record(row, lambda name, begin, end: whole[name][begin:end])
        with open(self.path, "rb", buffering=0) as file:
            return self._record(
                row, lambda name, begin, end: _rows(file, self.spans[name], begin, end)
            )

    def keep_whole(self) -> None:
        """Read all arrays into memory, for who asks for one record after the other."""
        if self._whole is None:
            with open(self.path, "rb") as file:
                self._whole = {
                    name: _rows(file, span, 0, math.prod(span.shape[: span.counted]))
                    for name, span in self.spans.items()
                }

    def let_go(self) -> None:
        """Keep the texts alone in memory."""
        self._whole = None

    def _record(self, row: int, rows: Callable[[str, int, int], np.ndarray]) -> Record:
        line, spans = self.lines[row], self.spans
        begin, end = self.bounds[row : row + 2]
        layers = vision = None
        if "layers" in spans:
            count, total = spans["layers"].shape[:2]
            kept = [rows("layers", n * total + begin, n * total + end) for n in range(count)]
            layers = np.stack(kept)  # as stored: few of them are asked for at a time
        if "vision" in spans:
            vision = np.array(rows("vision", row, row + 1)[0])
        return Record(
            line["id"],
            Description(
                line["text"],
                list(line["tokens"]),
                np.array(rows("token_ids", begin, end)),
                rows("states", begin, end).astype(np.float32),
                np.array(rows("logprobs", begin, end)),
                line["ended"],
                rows("special", begin, end).astype(bool),
                layers=layers,
                vision=vision,
            ),
            dict(line["extra"]),
        )


def _rows(file: BufferedReader | FileIO, span: Span, begin: int, end: int) -> np.ndarray:
    """Rows ``begin`` to ``end`` of an array, its leading axes counted as one."""
    row = span.shape[span.counted :]
    width = span.dtype.itemsize * math.prod(row)
    array = np.empty((end - begin, *row), span.dtype)
    file.seek(span.begin + begin * width)
    if array.nbytes and file.readinto(array.data) != array.nbytes:
        raise OSError("the file has become shorter while it was in use")
    return array


def _texts(header: dict) -> tuple[str | None, list[dict]]:
    """The digest of the key (None in older shards) and the texts of a header."""
    metadata = header["__metadata__"]
    lines = json.loads(metadata["records"])
    for line in lines:
        if not (
            isinstance(line["id"], str)
            and isinstance(line["text"], str)
            and isinstance(line["ended"], bool)
            and isinstance(line["extra"], dict)
            and all(isinstance(token, str) for token in line["tokens"])
        ):
            raise ValueError("a record that has not the texts of a description")
    return metadata.get("key"), lines


def _spans(header: dict, begin: int, end: int) -> dict[str, Span]:
    """Where each array lies between the bytes ``begin`` and ``end``; all of them are used, none
    twice, and their shapes fit each other.
    """
    spans, covered = {}, begin
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, axes, counted = ARRAYS[name]
        shape, offsets = entry["shape"], entry["data_offsets"]
        if (
            entry["dtype"] != dtype
            or len(shape) != axes
            or not all(type(length) is int and length >= 0 for length in shape)
        ):
            raise ValueError(f"{name!r} is not as expected: {dtype} with {axes} axes")
        kind = np.dtype(DTYPES[dtype])
        size = math.prod(shape) * kind.itemsize
        if [covered - begin, covered - begin + size] != offsets:
            raise ValueError(f"{name!r} does not begin and end where it should")
        spans[name] = Span(covered, tuple(shape), counted, kind)
        covered += size
    if covered != end or spans.keys() | OPTIONAL != ARRAYS.keys():
        raise ValueError("other arrays than those of a shard")
    tokens, records = spans["states"].shape[0], spans["lengths"].shape[0]
    sizes = {"logprobs": tokens, "token_ids": tokens, "special": tokens, "vision": records}
    if any(spans[name].shape[0] != size for name, size in sizes.items() if name in spans) or (
        "layers" in spans and spans["layers"].shape[1] != tokens
    ):
        raise ValueError("arrays of different numbers of tokens or records")
    return spans
