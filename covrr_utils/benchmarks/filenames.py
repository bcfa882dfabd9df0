"""The names of video files: accents, suffixes and bytes as systems write them, and which videos a
folder holds.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.triplets import SUFFIX, LabelError
from covrr_utils.files import reason

DOUBLE = "._"  # how the names begin of what macOS keeps beside files on other file systems


def written_one_way(name: str) -> str:
    """A name with composed accents, whichever way it writes them (macOS and zip files decompose
    them), and what is no UTF-8 as escapes.
    """
    return unicodedata.normalize("NFC", as_text(name))


def as_text(name: str | Path) -> str:
    """A file's name as text: an id has no bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def stem_of(file: str) -> str:
    """A file's name without a video's suffix."""
    return SUFFIX.sub("", file)


def suffix_of(file: str) -> str:
    """The suffix of a video file in small letters; "" for other files."""
    return file[len(stem_of(file)) :].lower()


def leads_into(real: Path, folders: Iterable[Path]) -> bool:
    """Whether a path without links lies below one of ``folders``, which may be links themselves."""
    return any(real.is_relative_to(_real(folder)) for folder in folders)


@lru_cache(maxsize=256)
def _real(folder: Path) -> Path:
    return folder.resolve()


def videos_below(root: Path, link_roots: Sequence[Path]) -> Iterator[str]:
    """The names of the videos below a folder, relative to it and without suffix; order, links,
    closed folders and errors are those of `video_files_below`.
    """
    for path in video_files_below(root, link_roots):
        name = path if os.path.isdir(path) else path.parent / stem_of(path.name)
        yield as_text(name.relative_to(root))


def video_files_below(root: Path, link_roots: Sequence[Path]) -> Iterator[Path]:
    """The video files below a folder, sorted within each folder.

    A folder that may not be looked into is named among them, so that it is not passed over in
    silence. Links to folders are followed into ``link_roots`` and below the root, each folder once.

    Raises
    ------
    LabelError
        If ``root`` itself may not be looked into.
    """
    closed: list[Path] = []
    seen: set[Path] = set()

    def refuse(error: OSError) -> None:
        if Path(error.filename) == root:
            raise LabelError(
                f"{paths.relative(root)}: may not be looked into ({reason(error)}); give read"
                " permission to the folder"
            ) from error
        closed.append(Path(error.filename))

    def entered(folder: Path) -> bool:
        if not folder.is_symlink():
            return True
        real = folder.resolve()
        if real in seen or _real(root).is_relative_to(real):
            return False
        seen.add(real)
        if leads_into(real, (root, *link_roots)):
            return True
        closed.append(folder)
        return False

    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = [name for name in sorted(folders) if entered(Path(folder, name))]
        for file in sorted(files):
            if suffix_of(file) and stem_of(file) and not file.startswith(DOUBLE):
                yield Path(folder) / file
    yield from closed
