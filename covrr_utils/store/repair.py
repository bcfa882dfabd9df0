"""What of a collection's folder is of use: whether it belongs to its key, which shards are damaged,
which ones the journal has forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from covrr_utils import paths
from covrr_utils.files import FileError, digest, reading, say
from covrr_utils.store.journal import Announced
from covrr_utils.store.shards import Shard

KEY = "key.json"


class StoreError(FileError):
    """A shard that is damaged, or a folder that is not what it says; the message names it."""


def check_key(folder: Path) -> None:
    """The key in a collection's folder must be the one that its name is the digest of: a renamed or
    edited folder never lends its vectors to another key.

    A key file that is damaged is named; that or a missing one is written again with the next
    shard, for the folder's name, and the shards in it, tell the key too.

    Raises
    ------
    StoreError
        If it belongs to another key.
    FileError
        If it cannot be read.
    """
    path = folder / KEY
    with reading(path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return
    with suppress(ValueError, RecursionError):
        if digest(json.loads(text)) == folder.name:
            return
        if not any(_key(shard) == folder.name for shard in sorted(folder.glob("*.safetensors"))):
            raise StoreError(
                f"{paths.relative(path)}: belongs to another key than the folder's name says; move"
                " the folder away to compute its descriptions again"
            )
    say(f"{paths.relative(path)} is damaged; it is written again with the next shard")


def read_key(path: Path) -> dict[str, object] | None:
    """The key in a key file; None where that is damaged.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    with reading(path):
        text = path.read_bytes()
    with suppress(ValueError, RecursionError):
        key = json.loads(text)
        return key if isinstance(key, dict) else None
    return None


def _key(path: Path) -> str | None:
    """The digest of the key under which a shard was written, where it tells one."""
    try:
        with reading(path):
            return Shard(path).key
    except ValueError:
        return None


def fault(folder: Path, line: Announced) -> str | None:
    """Why the shard that ``line`` announces is of no use; None where it is intact.

    Raises
    ------
    FileError
        If it cannot be read: whether it is damaged is not known then.
    StoreError
        If it was written under another key.
    """
    path = folder / line.shard
    with reading(path):
        try:
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != line.sha256:
                    return "it has another checksum than when it was written"
            shard = Shard(path)
        except FileNotFoundError:
            return "the file is gone"
        except ValueError as error:
            return str(error)
    if shard.ids != line.ids:
        return "it holds other descriptions than the journal says"
    if shard.key not in (None, folder.name):
        raise StoreError(
            f"{paths.relative(path)}: belongs to another key, so the folder was renamed or mixed"
            " with another; move the folder away to compute its descriptions again"
        )
    return None


def unannounced(folder: Path, announced: Container[str]) -> list[Announced]:
    """The lines that are missing for intact shards of this very key that lie in ``folder``: the
    line was damaged, or the writer was killed just before it.

    Shards of earlier versions do not tell their key, and are left where they are.
    """
    lines = []
    for path in sorted(folder.glob("*.safetensors")):
        if path.name in announced:
            continue
        with reading(path), open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if path.name != f"{sha256[:16]}.safetensors":
            continue
        if _key(path) == folder.name:
            lines.append(Announced(path.name, sha256, Shard(path).ids))
    return lines
