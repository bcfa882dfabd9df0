"""One file of records: packed into safetensors bytes, read back as a memory map, one description at
a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from covrr_utils.backbones.description import Description, NotFinite, Record

DTYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64, "U8": np.uint8}


def pack(records: Sequence[Record]) -> bytes:
    """The safetensors bytes of a shard: all tokens of all records one after the other, texts in the
    header.

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
    if all(d.layers is not None for d in descriptions):
        arrays["layers"] = np.concatenate([d.layers for d in descriptions], 1).astype(np.float16)
    if all(d.vision is not None for d in descriptions):
        arrays["vision"] = np.stack([d.vision for d in descriptions])
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
    return save(arrays, metadata={"records": json.dumps(lines)})


class Shard:
    """One safetensors file, mapped: texts in memory, arrays on disk."""

    def __init__(self, path: Path):
        # a plain view of it: slices of a memmap cost several times as much
        mapped = np.asarray(np.memmap(path, np.uint8, "r"))
        length = int.from_bytes(mapped[:8].tobytes(), "little")
        header = json.loads(mapped[8 : 8 + length].tobytes())
        self.lines = json.loads(header.pop("__metadata__")["records"])
        self.arrays = {}
        for name, entry in header.items():
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            self.arrays[name] = (
                mapped[begin:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
            )
        self.bounds = [0, *np.cumsum(self.arrays["lengths"]).tolist()]

    def record(self, row: int) -> Record:
        line, arrays = self.lines[row], self.arrays
        span = slice(*self.bounds[row : row + 2])
        return Record(
            line["id"],
            Description(
                line["text"],
                list(line["tokens"]),
                np.array(arrays["token_ids"][span]),
                arrays["states"][span].astype(np.float32),
                np.array(arrays["logprobs"][span]),
                line["ended"],
                arrays["special"][span].astype(bool),
                layers=arrays["layers"][:, span].astype(np.float32) if "layers" in arrays else None,
                vision=np.array(arrays["vision"][row]) if "vision" in arrays else None,
            ),
            dict(line["extra"]),
        )
