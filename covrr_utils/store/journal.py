"""The journal of a collection: one checksummed line for every shard and every batch of failures,
appended and never rewritten.

A line that was cut off in writing was never written. A line that is damaged later costs what it
says, not the lines around it.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones.description import Failure
from covrr_utils.files import FileError, reading

SHA256 = re.compile(r"[0-9a-f]{64}")

SHARD = re.compile(r"[0-9a-f]{16}\.safetensors")  # the file's name; it leads nowhere else

FAILURE = {field.name for field in fields(Failure)}


@dataclass(frozen=True)
class Announced:
    """A shard was written: its file's name and checksum, the ids of its records in order."""

    shard: str
    sha256: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """These items failed."""

    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class SetAside:
    """This shard is damaged or gone; what it held is no longer stored."""

    set_aside: str


@dataclass(frozen=True)
class Skipped:
    """Damaged lines that are known already, by the byte at which each begins."""

    skipped: tuple[int, ...]


Line = Announced | Failed | SetAside | Skipped


class Journal:
    """The file of lines. ``damaged``: where unreadable lines begin that no later line knows."""

    def __init__(self, path: Path):
        self.path = path
        self.damaged: set[int] = set()
        self._read_to = 0  # bytes that are known

    def news(self) -> list[Line]:
        """The lines that were added since the last call.

        Raises
        ------
        FileError
            If the file cannot be read, or has become shorter meanwhile.
        """
        with reading(self.path):
            try:
                with open(self.path, "rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    file.seek(self._read_to)
                    text = file.read()
            except FileNotFoundError:
                size, text = 0, b""
        if size < self._read_to:
            raise FileError(
                f"{paths.relative(self.path)} was replaced by a shorter one while it was in use;"
                " run the same command again"
            )
        news: list[Line] = []
        lines = text.split(b"\n")[:-1]  # what follows the last end of a line is cut off
        for number, raw in enumerate(lines, start=1):
            try:
                news.append(line := _parsed(raw))
                if isinstance(line, Skipped):
                    self.damaged -= set(line.skipped)
            except (ValueError, RecursionError):
                if number == len(lines):
                    break  # the last line, cut off in writing: it never was
                self.damaged.add(self._read_to)
            self._read_to += len(raw) + 1
        return news

    def append(self, line: Line) -> None:
        """Add a line at the end and flush it to disk; it is known then, and not among the news.

        Only for who holds the collection's lock and has read all news. A link in the file's place
        is not followed.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(self.path, flags, 0o666), "r+b") as file:
            file.truncate(self._read_to)  # cuts off what a killed process left half written
            file.seek(self._read_to)
            try:
                file.write(_written(line))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._read_to)
                raise
            self._read_to = file.tell()
        if isinstance(line, Skipped):
            self.damaged -= set(line.skipped)


def _written(line: Line) -> bytes:
    """A journal line: checksum, space, json, newline."""
    text = json.dumps(asdict(line)).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(raw: bytes) -> Line:
    """The line that `_written` wrote; `ValueError` for anything else."""
    checksum, _, text = raw.partition(b" ")
    if not text or f"{zlib.crc32(text):08x}".encode() != checksum:
        raise ValueError("a line does not agree with its checksum")
    match json.loads(text):
        case {"shard": str(shard), "sha256": str(sha256), "ids": [*ids]} if (
            SHARD.fullmatch(shard) and SHA256.fullmatch(sha256) and _texts(ids)
        ):
            return Announced(shard, sha256, tuple(ids))
        case {"failures": [*failures]} if all(map(_is_failure, failures)):
            return Failed(tuple(Failure(**failure) for failure in failures))
        case {"set_aside": str(shard)} if SHARD.fullmatch(shard):
            return SetAside(shard)
        case {"skipped": [*places]} if all(isinstance(place, int) for place in places):
            return Skipped(tuple(places))
    raise ValueError("a line that says nothing known")


def _texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_failure(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == FAILURE and _texts(list(value.values()))
