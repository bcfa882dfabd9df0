"""Descriptions on disk: written in shards beside and renamed, never in place; keyed by everything that determines them.

A `Collection` is a folder named by the hash of its key (backbone weights, prompt, sampling, decoding, strategy, ...). Its
``manifest.json`` lists the shards that count, each with its checksum; a shard that is not in the manifest does not exist. So an
interruption loses at most the shard in flight, and another prompt never meets old vectors.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors.numpy import load, save

from covrr_utils import paths
from covrr_utils.descriptions import Description, Failure, Record


class StoreError(RuntimeError):
    """A shard or manifest that is damaged; the message names it."""


class Store:
    """All collections below one folder."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def collection(self, kind: str, key: Mapping[str, object]) -> Collection:
        """The collection of ``kind`` (``gallery``, ``queries``) for exactly this key; made when it is first written."""
        return Collection(self.root / kind / digest(key), key)


class Collection:
    """Records under one key. ``ids`` are known at once; descriptions are read when asked for."""

    def __init__(self, folder: Path, key: Mapping[str, object]):
        self.folder, self.key = folder, dict(key)
        self._manifest = self._read_manifest()
        self._ids = _ids(self._manifest)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, records: Iterable[Record]) -> None:
        """Write one shard: states as float16 (about three decimal digits), all else exactly. Recorded failures of these ids are lifted.

        Raises
        ------
        ValueError
            If states do not fit float16 or are not finite, or an id is already stored.
        """
        records = list(records)
        if not records:
            return
        ids = [record.id for record in records]
        if known := [id_ for id_ in ids if id_ in self]:
            raise ValueError(f"{known[0]!r} is already stored under this key")
        if twice := [id_ for id_ in ids if ids.count(id_) > 1]:
            raise ValueError(f"{twice[0]!r} is given twice; a collection holds each id once")
        descriptions = [record.description for record in records]
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
            states = np.concatenate([d.states for d in descriptions]).astype(np.float16)
        if not np.isfinite(states).all():
            raise ValueError("states are not finite in float16; check the backbone's dtype")
        lines = [
            {"id": r.id, "text": r.description.text, "tokens": r.description.tokens, "ended": r.description.ended, "extra": r.extra}
            for r in records
        ]
        blob = save(_optional(descriptions) | {
            "states": states,
            "logprobs": np.concatenate([d.logprobs for d in descriptions]),
            "token_ids": np.concatenate([d.token_ids for d in descriptions]),
            "special": np.concatenate([d.special for d in descriptions]).astype(np.uint8),
            "lengths": np.array([len(d.tokens) for d in descriptions], np.int64),
        }, metadata={"records": json.dumps(lines, ensure_ascii=False)})
        self.folder.mkdir(parents=True, exist_ok=True)
        sha256 = hashlib.sha256(blob).hexdigest()
        name = f"{sha256[:16]}.safetensors"
        write_atomically(self.folder / name, blob)
        with self._locked():
            shards = [*self._manifest["shards"], {"file": name, "sha256": sha256, "ids": ids}]
            failures = [failure for failure in self._manifest["failures"] if failure["id"] not in set(ids)]
            self._write_manifest({"key": self.key, "shards": shards, "failures": failures})

    def load(self) -> dict[str, Record]:
        """Every stored record by id, in the order in which they were stored."""
        found: dict[str, Record] = {}
        for shard in self._manifest["shards"]:
            found.update(self._read_shard(shard))
        return found

    def record_failures(self, failures: Iterable[Failure]) -> None:
        """Remember what failed (the newest word on an id counts); the next run tries these again."""
        new = {failure.id: asdict(failure) for failure in failures}
        if not new:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            kept = [failure for failure in self._manifest["failures"] if failure["id"] not in new]
            self._write_manifest({**self._manifest, "key": self.key, "failures": [*kept, *new.values()]})

    def failures(self) -> dict[str, Failure]:
        """What failed and has not succeeded since, by id."""
        return {failure["id"]: Failure(**failure) for failure in self._manifest["failures"]}

    @contextmanager
    def _locked(self):
        """One writer at a time: what another process has added meanwhile is read before, and kept."""
        with FileLock(self.folder / ".lock"):
            self._manifest = self._read_manifest()
            yield

    def _read_manifest(self) -> dict:
        path = self.folder / "manifest.json"
        if not path.exists():
            return {"key": self.key, "shards": [], "failures": []}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            digest_of_key, _ = digest(manifest["key"]), (_ids(manifest), manifest["failures"])
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise StoreError(f"{paths.relative(path)}: damaged manifest ({error}); delete its folder to compute it again") from error
        if digest_of_key != self.folder.name:
            raise StoreError(f"{paths.relative(path)}: the manifest belongs to another key; delete its folder to compute it again")
        return manifest

    def _write_manifest(self, manifest: dict) -> None:
        write_atomically(self.folder / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1).encode())
        self._manifest, self._ids = manifest, _ids(manifest)

    def _read_shard(self, shard: dict) -> dict[str, Record]:
        path = self.folder / shard["file"]
        blob = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(blob).hexdigest() != shard["sha256"]:
            raise StoreError(f"{paths.relative(path)}: missing or damaged shard; delete {paths.relative(self.folder)} to compute it again")
        tensors = load(blob)
        header = int.from_bytes(blob[:8], "little")
        lines = json.loads(json.loads(blob[8 : 8 + header])["__metadata__"]["records"])
        ends = np.cumsum(tensors["lengths"])
        found = {}
        for number, (line, end, length) in enumerate(zip(lines, ends, tensors["lengths"], strict=True)):
            span = slice(end - length, end)
            description = Description(
                line["text"], line["tokens"], tensors["token_ids"][span], tensors["states"][span].astype(np.float32),
                tensors["logprobs"][span], line["ended"], tensors["special"][span].astype(bool),
                layers=tensors["layers"][:, span].astype(np.float32) if "layers" in tensors else None,
                vision=tensors["vision"][number] if "vision" in tensors else None,
            )
            found[line["id"]] = Record(line["id"], description, line["extra"])
        return found


def _optional(descriptions: list[Description]) -> dict[str, np.ndarray]:
    """What only some backbones and runs keep: ``layers`` (L, all tokens, D) float16 and ``vision`` (N, D) float32."""
    found = {}
    if all(d.layers is not None for d in descriptions):
        found["layers"] = np.concatenate([d.layers for d in descriptions], 1).astype(np.float16)
    if all(d.vision is not None for d in descriptions):
        found["vision"] = np.stack([d.vision for d in descriptions])
    return found


def _ids(manifest: dict) -> set[str]:
    return {id_ for shard in manifest["shards"] for id_ in shard["ids"]}


def digest(key: Mapping[str, object]) -> str:
    """16 hex digits of the SHA-256 of the key's canonical JSON."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def write_atomically(path: Path, blob: bytes) -> None:
    """Write ``blob`` beside ``path``, flush it to disk, then rename it into place."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with open(beside, "wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
