"""Under which name the content of a video is kept, so that nothing stands under it that was made of
frames that an earlier release read wrongly.

The first release read other frames than a player shows from mp4 files that an edit list cuts or
that hold MPEG-4 Part 2, and from other containers, of which it took truncated ones for whole. Open
groups of pictures in mp4, which it read wrongly too, cannot be told without reading the whole file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from covrr_utils.files import content_hash

VERSION = "frames-2"  # of the reading of all but the plainest files

CODECS = (b"avc1", b"avc3", b"hvc1", b"hev1", b"vp09", b"av01")

Span = tuple[int, int]  # the bytes of a box of an mp4 file, from the first to behind the last


def frames_hash(path: Path) -> str:
    """The hash of a file's content, followed by the version of the reading where the first release
    may have read other frames.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    content = content_hash(path)
    return content if _read_alike(path) else f"{content}-{VERSION}"


def _read_alike(path: Path) -> bool:
    """Whether a file is an mp4 of a usual codec that is shown from its first frame on."""
    with open(path, "rb") as file:
        try:
            whole = (0, path.stat().st_size)
            if next(_boxes(file, whole))[0] != b"ftyp":
                return False
            (moov,) = _inner(file, whole, b"moov")
            (track,) = [
                track
                for track in _inner(file, moov, b"trak")
                if _read(file, *_inner(file, track, b"mdia", b"hdlr"))[8:12] == b"vide"
            ]
            edits = [
                time
                for listed in _inner(file, track, b"edts", b"elst")
                for time in _edits(_read(file, listed))
            ]
            (tables,) = _inner(file, track, b"mdia", b"minf", b"stbl")
            (samples,) = _inner(file, tables, b"stsd")
            codec = _read(file, samples)[12:16]
            offsets = [
                struct.unpack(">i", _read(file, table)[12:16])[0]
                for table in _inner(file, tables, b"ctts")
            ]
        except (struct.error, ValueError, TypeError, IndexError, StopIteration):
            return False  # no mp4 as this reads it
    return codec in CODECS and edits in ([], offsets or [0])


def _boxes(file: BinaryIO, span: Span) -> Iterator[tuple[bytes, Span]]:
    """The boxes within a span: the kind and the content of each."""
    begin, end = span
    while begin + 8 <= end:
        file.seek(begin)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            head, size = 16, struct.unpack(">Q", file.read(8))[0]
        size = size or end - begin
        if size < head or begin + size > end:
            raise ValueError(f"a box of {size} bytes at byte {begin}")
        yield kind, (begin + head, begin + size)
        begin += size


def _inner(file: BinaryIO, span: Span, *kinds: bytes) -> list[Span]:
    """The boxes that are reached from a span through boxes of these kinds."""
    spans = [span]
    for kind in kinds:
        spans = [
            content for outer in spans for name, content in _boxes(file, outer) if name == kind
        ]
    return spans


def _read(file: BinaryIO, span: Span) -> bytes:
    file.seek(span[0])
    return file.read(span[1] - span[0])


def _edits(box: bytes) -> list[int]:
    """The times in the media, in its ticks, at which the pieces of an edit list begin; waiting at
    the beginning is no piece.
    """
    form = ">Qqi" if box[0] == 1 else ">Iii"
    count = struct.unpack(">I", box[4:8])[0]
    entries = list(struct.iter_unpack(form, box[8 : 8 + count * struct.calcsize(form)]))
    return [time for _, time, _ in entries if time != -1]
