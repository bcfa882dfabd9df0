"""How a file is named by its content and written: beside, then renamed, never in place."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path


def digest(key: Mapping[str, object]) -> str:
    """16 hex digits of the SHA-256 of the key's canonical JSON."""
    return hashlib.sha256(
        json.dumps(key, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")
    ).hexdigest()[:16]


def write_atomically(path: Path, blob: bytes) -> None:
    """Write ``blob`` beside ``path``, flush it to disk, then rename it into place; what could not
    be written leaves nothing behind.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(beside, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: object, indent: int | None = 1) -> None:
    """Write ``data`` as json, atomically.

    A lone surrogate, which labels may hold, is written as json's own escape.
    """
    write_atomically(
        path,
        (json.dumps(data, ensure_ascii=False, indent=indent) + "\n").encode(
            "utf-8", "backslashreplace"
        ),
    )


def content_hash(path: Path) -> str:
    """The first 16 hex digits of the file's SHA-256: a replaced video is another video."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
