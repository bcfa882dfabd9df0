"""How a file is named by its content, read, locked and written: beside, then renamed, never in
place.

What a file system refuses is told by every reader and writer in the same way: one sentence that
names the file, the reason and the next step (`FileError`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from covrr_utils import paths

T = TypeVar("T")

FULL = (errno.ENOSPC, errno.EDQUOT)

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this disk is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "this machine has too many files open",
    errno.EIO: "the disk reports an input/output error",
    errno.EISDIR: "a folder lies where a file is expected",
    errno.ENOTDIR: "a file lies where a folder is expected",
    errno.EEXIST: "a file lies where a folder is expected",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    **dict.fromkeys(NO_LOCKS, "the file system refuses locks"),
}


class FileError(RuntimeError):
    """The file system refuses to read or to write; the message names file, reason and next step."""


class DiskFull(FileError):
    """The disk, or the quota on it, is full; what was written before is intact."""


class Locked(FileError):
    """Another process holds the lock."""


def reason(error: OSError) -> str:
    """What the operating system says, in plain words; its own words where we have no better."""
    number = error.errno
    if number in REASONS:
        return REASONS[number]
    return f"{error.strerror or error} (errno {number})" if number else str(error)


def unread(path: Path, error: OSError) -> FileError:
    """The error that says that ``path`` could not be read. Whether its content is intact is not
    known then, and nothing is said about it.
    """
    advice = {
        errno.EMFILE: "raise the limit (`ulimit -n 4096`)",
        errno.ENOENT: "look whether it was moved or deleted",
        errno.EACCES: "ask its owner for permission to read it",
    }
    return FileError(
        f"{paths.relative(path)} could not be read: {reason(error)};"
        f" {advice.get(error.errno or 0, 'look after the disk')}, and run the same command again."
        " Nothing is known to be wrong with its content"
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell an `OSError` within as `unread` does."""
    try:
        yield
    except OSError as error:
        raise unread(path, error) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell an `OSError` within as a `FileError`: ``path`` could not be written, and what to do.

    Raises
    ------
    DiskFull
        If the disk or the quota is full.
    FileError
        For every other reason.
    """
    try:
        yield
    except OSError as error:
        full, place = error.errno in FULL, _place_to_choose(path)
        advice = (
            f"All that was written before is intact; make room, or {place} on another disk (and"
            " copy what lies there), and run the same command again to go on"
            if full
            else f"{place[0].upper()}{place[1:]} that can be written and locked, and run the same"
            " command again"
        )
        kind = DiskFull if full else FileError
        raise kind(
            f"{reason(error)}: {paths.relative(path)} could not be written. {advice}"
        ) from error


def _place_to_choose(path: Path) -> str:
    """How the user puts ``path`` elsewhere."""
    for folder, variable in (
        (paths.runs_dir(), "COVRR_RUNS"),
        (paths.figures_dir(), "COVRR_FIGURES"),
    ):
        if path.absolute().is_relative_to(folder):
            return f"set {variable} to a folder"
    return "name a folder"


def digest(key: Mapping[str, object]) -> str:
    """16 hex digits of the SHA-256 of the key's canonical JSON."""
    return hashlib.sha256(
        json.dumps(key, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")
    ).hexdigest()[:16]


def write_atomically(path: Path, blob: bytes) -> None:
    """Write ``blob`` beside ``path``, flush it to disk, then rename it into place; what could not
    be written leaves nothing behind.

    Folders are made where needed. A link at ``path`` is replaced, never followed. Where the same
    bytes lie already, nothing is written: finished work is served from a read-only disk too.

    Raises
    ------
    FileError
        If it cannot be written, or if a folder below ``runs/`` is a link that leads out of it.
    """
    with writing(path):
        if holds(path, blob):
            return
        refuse_links(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".writing-{uuid.uuid4().hex[:16]}")
        try:
            with open(beside, "xb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with suppress(OSError):  # the error that led here is the one to tell
                beside.unlink(missing_ok=True)
            raise


def delete(path: Path) -> None:
    """Delete the file at ``path``, if there is one.

    Raises
    ------
    FileError
        If it cannot be deleted, or is a folder.
    """
    with writing(path):
        path.unlink(missing_ok=True)


def holds(path: Path, blob: bytes) -> bool:
    """Whether ``path`` is a file, and no link to one, with exactly these bytes; of what cannot be
    read it is not known, and it counts as other bytes.
    """
    try:
        return (
            not path.is_symlink() and path.stat().st_size == len(blob) and path.read_bytes() == blob
        )
    except OSError:  # what cannot be read is written
        return False


def refuse_links(path: Path) -> None:
    """Raise a `FileError` where a folder between ``runs/`` and ``path`` is a link that leads out of
    ``runs/``: unpacked results of a stranger do not write into other folders.
    """
    root = paths.runs_dir()
    if path.absolute().is_relative_to(root) and not path.parent.resolve().is_relative_to(
        root.resolve()
    ):
        raise FileError(
            f"{paths.relative(path)}: a link leads to {paths.relative(path.parent.resolve())},"
            " outside the runs folder, and nothing is written through it; put a folder in its"
            " place, or set COVRR_RUNS to where it leads"
        )


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


def read_or_set_aside(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """As `parse_or_set_aside`, of the file's bytes."""
    return parse_or_set_aside(path, lambda path: parse(path.read_bytes()))


def parse_or_set_aside(path: Path, parse: Callable[[Path], T]) -> T | None:
    """What ``parse`` makes of the file; None where there is no such file.

    A file that ``parse`` refuses (`ValueError`, `KeyError`, `TypeError`, `RecursionError`) is
    damaged: it is named on standard error, renamed to ``<name>.damaged``, and None is returned, so
    that whoever made it makes it again. A file that cannot be read is named and left where it is.
    """
    shown = paths.relative(path)
    try:
        return parse(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        say(f"{shown} could not be read ({reason(error)}) and is left out")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = type(error).__name__ if isinstance(error, RecursionError) else str(error)
        say(f"{shown} is damaged ({' '.join(why.split())[:160]}){set_aside(path)}")
    return None


def set_aside(path: Path) -> str:
    """Rename a damaged file to ``<name>.damaged``; what became of it, as the end of a sentence."""
    try:
        os.replace(path, path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        return f"; it is left out, but could not be renamed ({reason(error)})"
    return f"; it is now {path.name}.damaged, and what it held is made again when it is needed"


def say(text: str) -> None:
    """One line on standard error, above a progress bar where one is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path`` meanwhile; folders are made where needed.

    Raises
    ------
    Locked
        If another process holds it and ``wait`` is off.
    FileError
        If the file system refuses locks, or the lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with writing(path):
        refuse_links(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:  # of the kind OSError, but nothing is wrong with the disk
            raise Locked(
                f"{paths.relative(path)}: another process is at work here; wait until it ends"
            ) from None
    try:
        yield
    finally:
        lock.release()


def content_hash(path: Path) -> str:
    """The first 16 hex digits of the file's SHA-256: a replaced video is another video."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
