"""Whether an avi is whole: its chunks follow one another without a gap and end with the file.

libav reads over missing bytes in an avi without a word.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

LISTS = (b"RIFF", b"LIST")  # chunks of chunks, after four bytes that name their content


def broken_at(path: Path) -> int | None:
    """The byte at which the chain of chunks breaks; None if it holds to the end."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        place = 0
        while place < size:
            end = _end(file, place, size)
            if end is None or (end := _walked(file, place, end)) is None:
                return file.tell()
            place = end
    return None


def _walked(file: BinaryIO, place: int, end: int) -> int | None:
    """The end of the list at ``place``, if the chain of its chunks holds."""
    inner = place + 12
    while inner < end:
        file.seek(inner)
        name = file.read(4)
        stop = _end(file, inner, end)
        if stop is None:
            return None
        if name in LISTS and _walked(file, inner, stop) is None:
            return None
        inner = stop
    return end


def _end(file: BinaryIO, place: int, limit: int) -> int | None:
    """Where the chunk at ``place`` ends; None if there is no chunk, or it goes beyond ``limit``.

    A list without a size (its recorder was switched off) goes on to ``limit``. Chunks begin at even
    bytes; the last may lack its filling byte.
    """
    file.seek(place)
    head = file.read(8)
    if len(head) < 8 or not head[:4].isascii() or not head[:4].decode().isprintable():
        return None
    size = int.from_bytes(head[4:], "little")
    if head[:4] in LISTS and size == 0:
        return limit
    stop = place + 8 + size
    return None if stop > limit else min(stop + size % 2, limit)
