"""Where the files of a benchmark's videos lie: one root or one per section, nested or flat, in any
of the usual containers.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.filenames import (
    leads_into,
    stem_of,
    suffix_of,
    videos_below,
    written_one_way,
)
from covrr_utils.benchmarks.triplets import VIDEO_SUFFIXES, LabelError
from covrr_utils.video.access import unreadable
from covrr_utils.video.clips import ClipError


class VideoFiles:
    """Finds ``{root}/{id}.mp4`` (or with another of `VIDEO_SUFFIXES`) and, where names are
    unambiguous, ``{root}/{last part of the id}.mp4``.

    With several sections an id begins with its section: ``ss2/41`` is looked for as ``41.webm``
    below the root of ss2, or, with one root for all, below ``{root}/ss2`` and ``{root}``. The flat
    layout is not used for a name that two ids share: it would give one of them the other's video.

    A file is found too if its suffix has capitals, or if its name writes accents in another way
    than the labels do. A link may lead out of the video folder only into one of ``link_roots``.
    """

    def __init__(
        self,
        ids: Iterable[str],
        sections: Sequence[str],
        root: Path,
        roots: Mapping[str, Path],
        extension: str = ".mp4",
        link_roots: Sequence[Path] = (),
    ):
        self.ids, self.sections = set(ids), tuple(sections)
        self.root, self.roots = Path(root), dict(roots)
        self.link_roots = tuple(Path(folder) for folder in link_roots)
        self.suffixes = tuple(dict.fromkeys([extension, *VIDEO_SUFFIXES]))
        names = Counter(self._flat(video) for video in self.ids)
        self.shared = {key for key, count in names.items() if count > 1}
        self._listings: dict[Path, dict[str, dict[str, str]]] = {}

    def _split(self, video: str) -> tuple[str, str]:
        """Section and id inside it; the only section, if any, is not part of the id."""
        if len(self.sections) > 1:
            section, _, inner = video.partition("/")
            return section, inner
        return self.sections[0] if self.sections else "", video

    def _flat(self, video: str) -> tuple[str, str]:
        """The flat name of a video, with the section when that has a root of its own."""
        section, inner = self._split(video)
        return section if section in self.roots else "", written_one_way(inner.rpartition("/")[2])

    def folders(self, section: str) -> list[Path]:
        """Where videos of a section are looked for, best first."""
        if section in self.roots:
            return [self.roots[section]]
        return [self.root / section, self.root] if len(self.sections) > 1 else [self.root]

    def path(self, video: str) -> Path:
        """The file of a video; where it would lie, if there is none.

        Raises
        ------
        ClipError
            If a link leads outside the folder in which the file was looked for, or the file system
            does not let us look (`covrr_utils.video.access.unreadable`).
        """
        section, inner = self._split(video)
        folders, refused, other = self.folders(section), None, None
        names = [inner]
        if "/" in inner and self._flat(video) not in self.shared:
            names.append(inner.rpartition("/")[2])
        for name in names:
            for folder in folders:
                for path in self._candidates(folder, name):
                    try:
                        mode = path.stat().st_mode
                    except OSError as error:
                        if os.path.lexists(path):  # a link to nothing, or into a circle
                            other = other or path
                        elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
                            refused = refused or unreadable(path, error)
                        continue
                    check_inside(path, folder, self.link_roots)
                    if stat.S_ISREG(mode):
                        return path
                    if name == inner or suffix_of(path.name):
                        other = other or path  # a folder or a device in the place of the file
        if other is not None:
            return other
        if refused is not None:
            raise refused
        return folders[0] / f"{inner}{self.suffixes[0]}"

    def _candidates(self, folder: Path, name: str) -> Iterator[Path]:
        """Where a video may lie below a folder: as it is written, then as another system would
        have written it, last the folder of that name (one that could not be listed).
        """
        for suffix in self.suffixes:
            yield folder / f"{name}{suffix}"
        *parents, stem = name.split("/")
        place: Path | None = folder
        for parent in parents:
            if place is not None and not os.path.isdir(place / parent):
                written = self._listing(place).get(written_one_way(parent), {}).get("")
                place = None if written is None else place / written
            elif place is not None:
                place = place / parent
        if place is None:
            return
        files = self._listing(place).get(written_one_way(stem), {})
        yield from (place / files[suffix] for suffix in self.suffixes if suffix in files)
        if "" in files:
            yield place / files[""]

    def _listing(self, folder: Path) -> dict[str, dict[str, str]]:
        """The names in a folder: ``{name without suffix, written one way: {suffix in small letters:
        name}}``; folders have the suffix "".
        """
        if folder not in self._listings:
            names: dict[str, dict[str, str]] = {}
            try:
                with os.scandir(folder) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        stem, suffix = stem_of(entry.name), suffix_of(entry.name)
                        names.setdefault(written_one_way(stem), {}).setdefault(suffix, entry.name)
            except OSError:  # said by `path`, which looks for the file itself
                pass
            self._listings[folder] = names
        return self._listings[folder]

    def ambiguous(self) -> list[str]:
        """Ids whose flat name is shared, so that only the nested layout can serve them, sorted."""
        return sorted(video for video in self.ids if self._flat(video) in self.shared)

    def listed(self) -> list[str]:
        """The ids of all video files below the roots, sorted; a flat file is the video of the
        labels with that name, if there is one.

        A folder that may not be looked into, for want of permission or because a link leads out to
        it, is listed like a video: it counts, and is a miss with its cause.

        Raises
        ------
        LabelError
            If a root is no folder or may not be looked into, or a file cannot be said to belong to
            one section.
        """
        flat = {
            self._flat(video): video for video in self.ids if self._flat(video) not in self.shared
        }
        whole = {written_one_way(video): video for video in sorted(self.ids)}
        names = set()
        others = (
            [
                (section, self.root / section)
                for section in self.sections
                if section not in self.roots
            ]
            if self.roots
            else [("", self.root)]
        )
        for section, root in [*self.roots.items(), *others]:
            if not root.is_dir():
                raise LabelError(
                    f"{paths.relative(root)}: no such folder; give the videos' folder as DIR, or a"
                    " section's as SECTION=DIR"
                )
            for inside in videos_below(root, self.link_roots):
                names.add(self._known(inside, section, flat, whole, root))
        return sorted(names)

    def _known(
        self,
        inside: str,
        section: str,
        flat: Mapping[tuple[str, str], str],
        whole: Mapping[str, str],
        root: Path,
    ) -> str:
        """The id of the file ``inside`` (relative, without extension) below a root."""
        video = f"{section}/{inside}" if len(self.sections) > 1 and section else inside
        if video in self.ids:
            return video
        if (written := written_one_way(video)) in whole:
            return whole[written]
        name = section if section in self.roots else "", written_one_way(inside)
        if "/" not in inside and name in flat:
            return flat[name]
        if len(self.sections) > 1 and video.partition("/")[0] not in self.sections:
            raise LabelError(
                f"{paths.relative(root / inside)}: cannot be said to belong to one of the sections"
                f" {', '.join(self.sections)}; keep each section in a folder of its name, or give"
                " each its own root as name=DIR"
            )
        return video


def check_inside(path: Path, folder: Path, link_roots: Sequence[Path]) -> None:
    """Refuse a file that a link has put outside ``folder``, unless one of ``link_roots`` holds it.

    Raises
    ------
    ClipError
        With cause "outside the video folder".
    """
    if _without_links(path, folder):
        return
    real = path.resolve()
    if not leads_into(real, (folder, *link_roots)):
        raise ClipError(
            "outside the video folder",
            f"{paths.relative(path)}: leads outside {paths.relative(folder)}, to"
            f" {paths.relative(real)}; only files below the video folder are read (the folder"
            " itself may be a link). To allow it, name the folder to which it leads with"
            " --link-roots (LINK_ROOTS in a notebook)",
        )


def _without_links(path: Path, folder: Path) -> bool:
    """Whether a path goes down from ``folder`` over no link, so that it cannot lead out of it; this
    takes less time than to resolve it.
    """
    here, whole = str(folder), str(path)
    below = os.path.join(here, "")
    if not whole.startswith(below):
        return False
    for part in whole[len(below) :].split(os.sep):
        here = os.path.join(here, part)
        if part == ".." or os.path.islink(here):
            return False
    return True


def parse_roots(
    given: str | Sequence[str], sections: Sequence[str]
) -> tuple[Path | None, dict[str, Path]]:
    """``["/data/webvid"]`` or ``["webvid=/data/webvid", "ss2=/data/ssv2"]`` as a common root and
    the roots of sections.

    Raises
    ------
    LabelError
        If a folder does not exist, or two common roots are given.
    """
    root, roots = None, {}
    for text in [given] if isinstance(given, str | Path) else given:
        name, equals, folder = str(text).partition("=")
        section = name if equals and name in sections else None
        path = Path(folder if section else text).expanduser()
        if not path.is_dir():
            raise LabelError(
                f"video folder {str(text)!r}: no such folder; expected DIR or SECTION=DIR, sections"
                f" of these labels: {', '.join(sections) or 'none'}"
            )
        if section:
            roots[section] = path
        elif root is not None:
            raise LabelError(
                f"video folders {str(root)!r} and {str(text)!r}: only one common folder can be"
                " given; name sections as SECTION=DIR"
            )
        else:
            root = path
    return root, roots


def parse_link_roots(given: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The folders into which links among the videos may lead, as absolute paths.

    Raises
    ------
    LabelError
        If one is no folder.
    """
    folders = [given] if isinstance(given, str | Path) else given
    link_roots = tuple(Path(folder).expanduser().absolute() for folder in folders)
    for folder in link_roots:
        if not folder.is_dir():
            raise LabelError(
                f"link root {paths.relative(folder)}: no such folder; expected the folder to which"
                " links among the videos lead"
            )
    return link_roots
