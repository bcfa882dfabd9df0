"""`index` describes a folder of your own videos: only what is new or changed is computed, and what
fails is recorded with its cause.

A video is known by its content: one that was moved or renamed is not described again, two copies
are described once, and a description that a benchmark's run left under the same path is taken as it
is. A removed video leaves the index; its description stays in the store, for when it comes back.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, Outcomes
from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.benchmarks.filenames import stem_of
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.descriptions import Descriptions
from covrr_utils.experiments.folder_words import FolderWords, folder_words
from covrr_utils.experiments.folders import Changes, FolderGallery, VideoFolder
from covrr_utils.experiments.keys import content_name, reading_key, stored_name, video_key
from covrr_utils.experiments.places import backbone_label
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import Described, Stored
from covrr_utils.files import digest
from covrr_utils.video.clips import ClipError, Sampling
from covrr_utils.video.decoder import read_clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

PROBED = 24  # videos of a folder that are looked at to tell what kind of videos these are

READING = "reading the descriptions alone"


@dataclass(frozen=True)
class Indexed:
    """What indexing did.

    Attributes
    ----------
    changes : what became of the videos since the last time, with any backbone
    videos : how many there are
    computed : how many descriptions were computed now; those of the others were stored
    failures : why each of the others is not described, by video
    """

    changes: Changes
    videos: int
    computed: int
    failures: Mapping[str, Failure]

    @property
    def described(self) -> int:
        """How many videos can be found now."""
        return self.videos - len(self.failures)


class FolderDescriptions(Descriptions):
    """The descriptions of a folder's videos, as `Descriptions` of a benchmark's.

    Its gallery holds what was described before; only `look_again` makes it the folder as it is, and
    lets what is missing be computed.
    """

    benchmark: FolderGallery

    def __init__(self, folder: VideoFolder, config: RunConfig, backbone: Backbone | None = None):
        self.folder, self._completing = folder, False
        kind = folder.kind or kind_of(folder)
        super().__init__(config, FolderGallery.of(folder, kind, folder.seen), backbone)

    def look_again(self) -> Changes:
        """Read the folder; its videos as they are now are the gallery."""
        changes = self.folder.update()
        self.benchmark = replace(self.benchmark, gallery=tuple(self.folder.seen))
        self._contents, self._gallery, self._completing = {}, None, True
        return changes

    def gallery(self) -> Outcomes[Described]:
        """Descriptions of the folder's videos, by video."""
        if self._gallery is None and not self._completing:
            self._gallery = self.stored()
        return super().gallery()

    def stored(self) -> Outcomes[Described]:
        """The descriptions of those videos that were described before, and the failures that are
        recorded; nothing is computed, and a video of which nothing is known is in neither. Whether
        a description is intact shows when it is read.
        """
        collection = self.store.collection(
            "gallery", video_key(self.config, self.identity, self.generation)
        )
        names, failures = self._names(self.benchmark.gallery), collection.failures()
        known = {
            video: name for video, name in names.items() if name in collection or name in failures
        }
        return Stored(collection, known, failures, Described)

    def words(self) -> FolderWords:
        """The words of the descriptions, as they are kept with the folder."""
        key = digest(video_key(self.config, self.identity, self.generation))
        return folder_words(self.folder.place / f"words-{key}.npz", self.gallery())

    def read_alone(self, words: FolderWords) -> Outcomes[Described]:
        """The descriptions as the model reads each alone, by video; ``words``, which are theirs,
        tell where those lie that were read before.
        """
        gallery = self.gallery()
        key = reading_key(self.config, self.identity, self.generation)
        collection = self.store.collection("readings", key)
        names = {video: words.reading(gallery[video].record.stored) for video in gallery}
        if any(name not in collection for name in names.values()):
            return self.alone(gallery, READING)
        read = Stored(collection, names, {}, Described)
        return Outcomes(read, gallery.failures)

    def asking(self, triplet: Triplet, outside: Path | None = None) -> FolderDescriptions:
        """The same gallery with this one query; ``outside``: its reference, if it is not in the
        folder.
        """
        other = copy.copy(self)
        other.benchmark = replace(
            self.benchmark, triplets=(triplet,), outside_reference=outside, exclude_reference=False
        )
        other._queries, other._given = {}, {}
        other._contents = dict(self._contents)
        return other

    def with_query(self, name: str, described: Outcomes) -> FolderDescriptions:
        """These, with what was ``described`` as the queries of that ``name``."""
        self._queries[name] = described
        return self

    def content(self, video: str) -> str | None:
        seen = self.folder.seen.get(video)
        return super().content(video) if seen is None else seen.content

    def _candidates(self, video: str, content: str | None) -> list[str]:
        """A video is named by its content; a benchmark's run would have called it by its path."""
        if content is None:
            return [stored_name(video, None)]
        return [content_name(content), stored_name(stem_of(video), content)]


def index(folder: VideoFolder, config: RunConfig, backbone: Backbone | None = None) -> Indexed:
    """Describe the videos of a folder, have the model read each description alone, and pool both,
    so that a search finds its vectors made.

    The same call goes on where it was interrupted.

    Raises
    ------
    FolderError
        If there is no video in the folder.
    UnknownBackbone
        If there is no such backbone; nothing is read then.
    FileError
        If the store cannot be written.
    """
    folder.kind = kind_of(folder)
    descriptions = FolderDescriptions(folder, config, backbone)
    descriptions.identity  # noqa: B018  # a misspelt backbone is told before any file is read
    changes = descriptions.look_again()
    before = len(descriptions.stored())
    gallery = descriptions.gallery()
    run = Run(config, descriptions=descriptions)
    run.pooled_gallery(config.pooling, config.scheme, config.source)
    run.pooled(descriptions.read_alone(descriptions.words()), config.pooling, config.scheme)
    if (label := backbone_label(config.backbone)) not in folder.backbones:
        folder.backbones.append(label)
        folder.save()
    return Indexed(changes, len(folder.seen), len(gallery) - before, gallery.failures)


def kind_of(folder: VideoFolder) -> str:
    """``mini`` where every video that is probed looks as the clips of the mini world do, by size
    and frame rate, else ``real``: what may be said of embedded backbones depends on it.

    Up to `PROBED` videos are probed, evenly spread; those that cannot be read say nothing.
    """
    listed = list(folder.files)
    step = max(len(listed) / PROBED, 1)
    chosen = [listed[int(number * step)] for number in range(min(PROBED, len(listed)))]
    formats = [_format_of(folder, video) for video in chosen]
    return "mini" if {known for known in formats if known} <= {_mini_format()} else "real"


def _format_of(folder: VideoFolder, video: str) -> tuple[int | None, ...] | None:
    """Width, height and frames a second (rounded) of a video; None where it cannot be read."""
    try:
        return _format(folder.path(video))
    except ClipError:
        return None


def _format(path: Path) -> tuple[int | None, ...]:
    metadata = read_clip(path, Sampling(num_frames=2)).metadata
    return metadata.width, metadata.height, round(metadata.fps or 0)


@cache
def _mini_format() -> tuple[int | None, ...] | None:
    """The format of the embedded clips; None where there are none."""
    clips: Sequence[Path] = sorted(paths.mini_dir().glob("videos/*/*.mp4"))[:1]
    return _format(clips[0]) if clips else None
