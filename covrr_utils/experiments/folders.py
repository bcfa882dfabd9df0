"""A folder of videos of your own: which files lie in it, what they hold, and what has changed since
it was last indexed.

A video is known by its content. What was learned of a folder is kept below ``runs/folders``: size,
times and content of every file, so that a file which nobody has touched is not read again.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tqdm import tqdm

from covrr_utils import files, paths
from covrr_utils.benchmarks.benchmark import Benchmark
from covrr_utils.benchmarks.filenames import as_text, video_files_below
from covrr_utils.benchmarks.naming import distinct
from covrr_utils.benchmarks.triplets import VIDEO_SUFFIXES
from covrr_utils.benchmarks.videofiles import check_inside, parse_link_roots
from covrr_utils.video.access import check_file
from covrr_utils.video.clips import ClipError

FORMAT = 1

SETTLED = 2 * 10**9  # ns: a file that changed so lately may change again within one tick of a clock


class FolderError(ValueError):
    """A folder that cannot be indexed or searched."""


@dataclass(frozen=True)
class Seen:
    """A file as it was when its content was read.

    Attributes
    ----------
    size, modified, changed : bytes; times of the content's and of the entry's last change in ns
        (0: the file had just changed, and is read again)
    content : 16 hex digits of its SHA-256; None where it could not be read
    """

    size: int
    modified: int
    changed: int
    content: str | None

    def like(self, status: os.stat_result) -> bool:
        """Whether a file with this status seems to be the one that was read."""
        return (self.size, self.modified) == (status.st_size, status.st_mtime_ns)

    def still(self, status: os.stat_result) -> bool:
        """Whether a file with this status is certainly the one that was read."""
        return self.like(status) and self.changed == status.st_ctime_ns


@dataclass(frozen=True)
class Changes:
    """Videos of a folder by what became of them since it was indexed: ids, each in one list. One
    that ``moved`` has the content of one that is gone from its old place.
    """

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many there are of each."""
        return {name: len(videos) for name, videos in vars(self).items()}


class VideoFolder:
    """The videos below a folder, whatever their container, nested or not. The id of a video is its
    path below the folder, with its suffix.

    Raises
    ------
    FolderError
        If there is no such folder, or it is none.
    LabelError
        If a link root is no folder.
    """

    def __init__(self, root: str | Path, link_roots: Sequence[str | Path] = ()):
        self.root = Path(root).expanduser().absolute()
        self.link_roots = parse_link_roots(tuple(link_roots))
        shown = paths.relative(self.root)
        if self.root.is_file():
            raise FolderError(
                f"{shown} is a file; give the folder of your videos, such as"
                f" {paths.relative(self.root.parent)}"
            )
        if not self.root.is_dir():
            raise FolderError(f"{shown}: no such folder; give the folder of your videos")
        self.seen: dict[str, Seen] = {}
        self.backbones: list[str] = []  # under which it was indexed
        self.kind: str | None = None
        files.read_or_set_aside(self.manifest, self._parse)

    @property
    def place(self) -> Path:
        """Where everything about this folder is kept: ``runs/folders/<name>-<six digits>``."""
        name = distinct(self.root.name or "root", {"folder": str(self.root.resolve())})
        return paths.runs_dir() / "folders" / name

    @property
    def manifest(self) -> Path:
        """The file that lists its videos as they were when they were read."""
        return self.place / "videos.json"

    @cached_property
    def files(self) -> dict[str, Path]:
        """Id -> path of every video file, sorted. A folder that may not be looked into stands among
        them: it counts, and is a failure with its cause.

        Raises
        ------
        FolderError
            If there is none.
        LabelError
            If the folder itself may not be looked into.
        """
        listed = {
            as_text(path.relative_to(self.root)): path
            for path in video_files_below(self.root, self.link_roots)
        }
        if not listed:
            raise FolderError(
                f"{paths.relative(self.root)}: no video in this folder or below it; looked for"
                f" files that end in {', '.join(VIDEO_SUFFIXES)}"
            )
        return dict(sorted(listed.items()))

    def path(self, video: str) -> Path:
        """The file of a video; of one that is gone, where it lay.

        Raises
        ------
        ClipError
            If a link leads outside the folder.
        """
        path = self.files.get(video, self.root / video)
        check_inside(path, self.root, self.link_roots)
        return path

    def update(self) -> Changes:
        """Read the content of every file that is new or was touched, and remember it; what changed
        since the last time.

        An interruption keeps what was read.

        Raises
        ------
        FileError
            If what was learned cannot be written.
        """
        before, known = self.seen, dict(self.seen)
        touched = [video for video in self.files if not self._known(video, Seen.still)]
        try:
            for video in tqdm(
                touched, "reading new and changed files", delay=2, leave=False, mininterval=1
            ):
                known[video] = self._read(video)
        finally:
            self.seen = {video: known[video] for video in self.files if video in known}
            self.save()
        return _changes(before, self.seen)

    def touched(self) -> Changes:
        """What seems to have changed since the last time, by names, sizes and times alone: nothing
        is read, so that a moved file is one that is new and one that was removed.
        """
        now = {
            video: self.seen[video] if self._known(video, Seen.like) else Seen(0, 0, 0, "touched")
            for video in self.files
        }
        return _changes(self.seen, now, by_content=False)

    def save(self) -> None:
        """Write down what is known of the folder."""
        files.write_json(
            self.manifest,
            {
                "format": FORMAT,
                "folder": str(self.root),
                "kind": self.kind,
                "backbones": self.backbones,
                "videos": {
                    video: [seen.size, seen.modified, seen.changed, seen.content]
                    for video, seen in self.seen.items()
                },
            },
            indent=None,
        )

    def _parse(self, blob: bytes) -> None:
        data = json.loads(blob)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r} is not known here, only {FORMAT}")
        self.seen = {video: Seen(*row) for video, row in data["videos"].items()}
        self.kind, self.backbones = data["kind"], list(data["backbones"])

    def _known(self, video: str, test: Callable[[Seen, os.stat_result], bool]) -> bool:
        """Whether a file passes ``test`` against what was seen of it."""
        try:
            return video in self.seen and test(self.seen[video], self.files[video].stat())
        except OSError:
            return False

    def _read(self, video: str) -> Seen:
        """A file's status and content; without content where it cannot be read, and why is said
        when it is to be described.
        """
        try:
            status = self.files[video].stat()
            path = self.path(video)
            check_file(path)
            content = files.content_hash(path)
        except (ClipError, OSError):
            return Seen(0, 0, 0, None)
        latest = max(status.st_mtime_ns, status.st_ctime_ns)
        changed = status.st_ctime_ns if time.time_ns() - latest > SETTLED else 0
        return Seen(status.st_size, status.st_mtime_ns, changed, content)


def _changes(
    before: Mapping[str, Seen], after: Mapping[str, Seen], by_content: bool = True
) -> Changes:
    """The difference between two states of a folder."""
    removed = [video for video in before if video not in after]
    left = Counter(before[video].content for video in removed if by_content)
    changes = Changes(removed=removed)
    for video, seen in after.items():
        if video in before:
            same = seen.content == before[video].content
            (changes.same if same else changes.changed).append(video)
        elif seen.content is not None and left[seen.content]:
            left[seen.content] -= 1
            changes.moved.append(video)
        else:
            changes.new.append(video)
    moved = Counter(after[video].content for video in changes.moved)
    for video in list(removed):
        if moved[before[video].content]:
            moved[before[video].content] -= 1
            removed.remove(video)
    return changes


@dataclass(frozen=True)
class FolderGallery(Benchmark):
    """The videos of a folder as a gallery, with any one video, inside or outside, as reference."""

    folder: VideoFolder | None = None
    outside_reference: Path | None = None

    @classmethod
    def of(cls, folder: VideoFolder, kind: str, videos: Iterable[str]) -> FolderGallery:
        """These ``videos`` of a folder; ``kind`` as of a benchmark."""
        return cls(
            name=folder.root.name,
            kind=kind,
            triplets=(),
            gallery=tuple(videos),
            gallery_name=f"the videos below {paths.relative(folder.root)}",
            videos_root=folder.root,
            extension="",
            exclude_reference=True,
            label=folder.place.name,
            folder=folder,
        )

    def video_path(self, video: str) -> Path:
        """The file of a video of the folder, or of the reference."""
        if self.outside_reference is not None and video == str(self.outside_reference):
            return self.outside_reference
        assert self.folder is not None
        return self.folder.path(video)
