"""A clip: the frames of a video that a model sees, with their times; how they are sampled, with one
sampling for gallery and query alike; and why a video cannot be had.

The processor receives frames *and* metadata: handed a path, or frames without metadata, it assumes
24 frames a second and writes wrong times into the prompt.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

from covrr_utils.video.scaling import PixelBudget

if TYPE_CHECKING:
    from transformers.video_utils import VideoMetadata

CAUSES = (
    "missing",
    "empty file",
    "not a file",
    "no permission",
    "impossible name",
    "read error",
    "not decodable",
    "truncated",
    "damaged",
    "unusable size",
    "too short",
    "too large",
    "decoder hung",
    "decoder died",
    "outside the video folder",
)


DECORD, AV = READERS = ("decord", "pyav")


class ClipError(Exception):
    """A video that cannot be used; ``cause`` is one of `CAUSES`."""

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause


class NoRoom(ClipError):
    """Frames that do not fit into the memory that is left now; later they may."""

    def __init__(self, message: str):
        super().__init__("too large", message)


@dataclass(frozen=True)
class Sampling:
    """How frames are taken from a video: either ``fps`` frames per second or ``num_frames`` in all,
    evenly spread.

    ``min_frames`` and ``max_frames`` bound the count when it follows from ``fps``. With the
    ``budget`` of a processor, large frames are scaled at once to the size at which the model sees
    them; as the processor would do the same, that is no part of what a sampling says (`to_dict`).
    """

    fps: float | None = None
    num_frames: int | None = None
    min_frames: int = 4
    max_frames: int = 768
    budget: PixelBudget | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if (self.fps is None) == (self.num_frames is None):
            raise ValueError(
                f"give exactly one of fps and num_frames, got fps={self.fps},"
                f" num_frames={self.num_frames}"
            )

    def indices(self, total: int, video_fps: float) -> Int[np.ndarray, " asked"]:
        """Frame numbers to read from ``total`` frames, first and last frame included (as Qwen3-VL's
        processor samples).
        """
        if self.num_frames is not None:
            count = self.num_frames
        else:
            count = int(total / video_fps * (self.fps or 0.0))
            count = min(max(count, self.min_frames), self.max_frames, total)
        return np.linspace(0, total - 1, count).round().astype(np.int64)

    def to_dict(self) -> dict[str, object]:
        """What decides the frames, for store keys and results."""
        return {name: value for name, value in asdict(self).items() if name != "budget"}


@dataclass
class Clip:
    """Sampled frames (T, H, W, 3), uint8 RGB, with the metadata that timestamps need."""

    id: str
    frames: UInt8[np.ndarray, "taken height width 3"]
    metadata: VideoMetadata

    @property
    def times(self) -> Float[np.ndarray, " taken"]:
        """Seconds after the first frame of the video at which the frames stand."""
        return np.asarray(self.metadata.frames_indices) / self.metadata.fps

    def paired(self) -> Clip:
        """The clip as a processor takes it: a single frame twice, as a temporal patch holds two."""
        if len(self.frames) > 1:
            return self
        twice = replace(self.metadata, frames_indices=[*(self.metadata.frames_indices or [0])] * 2)
        return Clip(self.id, self.frames.repeat(2, axis=0), twice)


@dataclass
class Decoded:
    """The frames that were taken, in RGB, with their ``indices`` on a grid of ``total`` points with
    ``fps`` points a second, and the ``reader`` that read them.

    The grid is that of the frames, or, in a video with a variable frame rate, that of its time
    stamps: ``indices / fps`` are the seconds after the first frame either way.
    """

    frames: UInt8[np.ndarray, "taken height width 3"]
    indices: Int[np.ndarray, " taken"]
    total: int
    fps: float
    reader: str
    size: tuple[int, int]  # height and width in the file; large frames are scaled down at once


def as_clip(decoded: Decoded, id: str) -> Clip:
    """Decoded frames with the metadata from which the processor takes timestamps."""
    from transformers.video_utils import VideoMetadata

    height, width = decoded.size
    return Clip(
        id,
        decoded.frames,
        VideoMetadata(
            total_num_frames=decoded.total,
            fps=decoded.fps,
            width=width,
            height=height,
            duration=decoded.total / decoded.fps,
            video_backend=decoded.reader,
            frames_indices=decoded.indices.tolist(),
        ),
    )
