"""Where the files of a benchmark's videos lie: one root or one per section, nested or flat, in any
of the usual containers.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.triplets import SUFFIX, VIDEO_SUFFIXES, LabelError
from covrr_utils.video.clips import ClipError


class VideoFiles:
    """Finds ``{root}/{id}.mp4`` (also .webm, .mkv, .avi, .mov, .m4v) and, where names are
    unambiguous, ``{root}/{last part of the id}.mp4``.

    With several sections an id begins with its section: ``ss2/41`` is looked for as ``41.webm``
    below the root of ss2, or, with one root for all, below ``{root}/ss2`` and ``{root}``. The flat
    layout is not used for a name that two ids share: it would give one of them the other's video.
    """

    def __init__(
        self,
        ids: Iterable[str],
        sections: Sequence[str],
        root: Path,
        roots: Mapping[str, Path],
        extension: str = ".mp4",
    ):
        self.ids, self.sections, self.root, self.roots = (
            set(ids),
            tuple(sections),
            Path(root),
            dict(roots),
        )
        self.suffixes = tuple(dict.fromkeys([extension, *VIDEO_SUFFIXES]))
        names = Counter(self._flat(video) for video in self.ids)
        self.shared = {key for key, count in names.items() if count > 1}

    def _split(self, video: str) -> tuple[str, str]:
        """Section and id inside it; the only section, if any, is not part of the id."""
        if len(self.sections) > 1:
            section, _, inner = video.partition("/")
            return section, inner
        return self.sections[0] if self.sections else "", video

    def _flat(self, video: str) -> tuple[str, str]:
        """The flat name of a video, with the section when that has a root of its own."""
        section, inner = self._split(video)
        return section if section in self.roots else "", inner.rpartition("/")[2]

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
            If a link leads outside the folder in which the file was looked for.
        """
        section, inner = self._split(video)
        folders = self.folders(section)
        names = [inner]
        if "/" in inner and self._flat(video) not in self.shared:
            names.append(inner.rpartition("/")[2])
        for name in names:
            for folder in folders:
                for suffix in self.suffixes:
                    path = folder / f"{name}{suffix}"
                    if path.is_file():
                        if not path.resolve().is_relative_to(folder.resolve()):
                            raise ClipError(
                                "outside the video folder",
                                f"{paths.relative(path)}: leads outside {paths.relative(folder)};"
                                " only files below the video folder are read (the folder itself"
                                " may be a link)",
                            )
                        return path
        return folders[0] / f"{inner}{self.suffixes[0]}"

    def ambiguous(self) -> list[str]:
        """Ids whose flat name is shared, so that only the nested layout can serve them, sorted."""
        return sorted(video for video in self.ids if self._flat(video) in self.shared)

    def listed(self) -> list[str]:
        """The ids of all video files below the roots, sorted; a flat file is the video of the
        labels with that name, if there is one.

        Raises
        ------
        LabelError
            If a root is no folder, or a file cannot be said to belong to one section.
        """
        flat = {
            self._flat(video): video for video in self.ids if self._flat(video) not in self.shared
        }
        found = set()
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
            for folder, _, files in os.walk(root):
                for file in files:
                    if SUFFIX.search(file):
                        inside = (Path(folder) / SUFFIX.sub("", file)).relative_to(root).as_posix()
                        # an id is text: such a file counts, as missing
                        inside = os.fsencode(inside).decode("utf-8", "backslashreplace")
                        found.add(self._known(inside, section, flat, root))
        return sorted(found)

    def _known(
        self, inside: str, section: str, flat: Mapping[tuple[str, str], str], root: Path
    ) -> str:
        """The id of the file ``inside`` (relative, without extension) below a root."""
        video = f"{section}/{inside}" if len(self.sections) > 1 and section else inside
        if video in self.ids:
            return video
        name = section if section in self.roots else "", inside
        if "/" not in inside and name in flat:
            return flat[name]
        if len(self.sections) > 1 and video.partition("/")[0] not in self.sections:
            raise LabelError(
                f"{paths.relative(root / inside)}: cannot be said to belong to one of the sections"
                f" {', '.join(self.sections)}; keep each section in a folder of its name, or give"
                " each its own root as name=DIR"
            )
        return video


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
