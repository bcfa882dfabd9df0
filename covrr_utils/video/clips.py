"""A video file becomes frames and metadata, once, with one sampling for gallery and query alike.

Decoding is done here (decord, through its maintained fork ``decord2``), so that the processor
receives frames *and* their true timestamps; handing it a path, or frames without metadata, gives
wrong times (FACTS: 24 fps is then assumed).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covrr_utils import paths

if TYPE_CHECKING:
    from decord import VideoReader
    from transformers.video_utils import VideoMetadata

CAUSES = (
    "missing",
    "empty file",
    "not decodable",
    "too short",
    "too large",
    "decoder hung",
    "decoder died",
    "outside the video folder",
)


class ClipError(Exception):
    """A video that cannot be used; ``cause`` is one of `CAUSES`."""

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Sampling:
    """How frames are taken from a video: either ``fps`` frames per second or ``num_frames`` in all,
    evenly spread.

    ``min_frames`` and ``max_frames`` bound the count when it follows from ``fps``.
    """

    fps: float | None = None
    num_frames: int | None = None
    min_frames: int = 4
    max_frames: int = 768

    def __post_init__(self):
        if (self.fps is None) == (self.num_frames is None):
            raise ValueError(
                f"give exactly one of fps and num_frames, got fps={self.fps},"
                f" num_frames={self.num_frames}"
            )

    def indices(self, total: int, video_fps: float) -> np.ndarray:
        """Frame numbers to read from ``total`` frames: (n,) int64, first and last frame included
        (as Qwen3-VL's processor samples).
        """
        count = self.num_frames
        if count is None:
            count = min(
                max(int(total / video_fps * self.fps), self.min_frames), self.max_frames, total
            )
        return np.linspace(0, total - 1, count).round().astype(np.int64)

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass
class Clip:
    """Sampled frames (T, H, W, 3), uint8 RGB, with the metadata that timestamps need."""

    id: str
    frames: np.ndarray
    metadata: VideoMetadata

    @property
    def times(self) -> np.ndarray:
        """(T,) seconds at which the frames stand in the video."""
        return np.asarray(self.metadata.frames_indices) / self.metadata.fps


@dataclass
class Decoded:
    """Frames (T, H, W, 3) uint8 RGB, their numbers (T,) int64 at ``fps`` frames per second, and the
    number of all frames.
    """

    frames: np.ndarray
    indices: np.ndarray
    total: int
    fps: float


def read_clip(path: Path, sampling: Sampling, id: str | None = None) -> Clip:
    """Decode the frames that ``sampling`` asks for, in this process (`covrr_utils.video.decoder`
    has processes of their own for long work).

    Raises
    ------
    ClipError With cause "missing", "empty file", "not decodable" (not a video, truncated, no video
        stream) or "too short" (fewer than two frames: the model's temporal patch needs two).
    """
    path = Path(path)
    return as_clip(decode(path, sampling), id if id is not None else path.stem)


def as_clip(found: Decoded, id: str) -> Clip:
    """Decoded frames with the metadata from which the processor takes timestamps."""
    from transformers.video_utils import VideoMetadata

    height, width = found.frames.shape[1:3]
    return Clip(
        id,
        found.frames,
        VideoMetadata(
            total_num_frames=found.total,
            fps=found.fps,
            width=width,
            height=height,
            duration=found.total / found.fps,
            video_backend="decord",
            frames_indices=found.indices.tolist(),
        ),
    )


def decode(path: Path, sampling: Sampling) -> Decoded:
    """Sampled frames; the decoder applies a rotation that the file asks for.

    In a video with a variable frame rate, frames are taken evenly in *time*, and ``indices`` are
    their times on the grid of the mean rate, so that timestamps are true.

    Raises
    ------
    ClipError
        As `read_clip`.
    """
    from decord import VideoReader, cpu

    shown = paths.relative(path)
    if not path.is_file():
        raise ClipError(
            "missing",
            f"{shown}: no such file; put the video there or accept that its triplets count as"
            " misses",
        )
    if path.stat().st_size == 0:
        raise ClipError("empty file", f"{shown}: the file has no bytes; download it again")
    try:
        with open(path, "rb") if not _utf8(path) else nullcontext(str(path)) as source:
            reader = VideoReader(source, ctx=cpu(0), num_threads=1)
        total, fps = len(reader), float(reader.get_avg_fps())
        if total < 2:
            raise ClipError(
                "too short", f"{shown}: {total} frame(s), but a clip needs at least two"
            )
        chosen = indices = sampling.indices(total, fps)
        starts = reader.get_frame_timestamp(list(range(total)))[:, 0]
        steps = np.diff(starts)
        if steps.max() > 1.5 * steps.min() + 1e-3:  # a variable frame rate
            # the container's own mean need not agree with its frames
            fps = (total - 1) / float(starts[-1] - starts[0])
            indices = sampling.indices(total, fps)
            chosen = np.abs(starts[None] - (starts[0] + indices / fps)[:, None]).argmin(1)
            indices = ((starts[chosen] - starts[0]) * fps).round().astype(np.int64)
        return Decoded(_batch(reader, path, chosen), indices, total, fps)
    except (ClipError, MemoryError):
        raise
    except Exception as error:  # decord raises its own classes and plain RuntimeError alike
        reason = (
            str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        )
        raise ClipError(
            "not decodable", f"{shown}: cannot be decoded as a video ({reason}); download it again"
        ) from error


def _utf8(path: Path) -> bool:
    """Whether the decoder can be given the name itself; a file whose name is no UTF-8 is handed
    over open.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _batch(reader: VideoReader, path: Path, indices: np.ndarray) -> np.ndarray:
    """The frames with these numbers: (T, H, W, 3). decord2 3.4.0 mistakes the rows of frames 96 or
    144 pixels wide; PyAV reads those.
    """
    from decord import DECORDError

    try:
        return reader.get_batch(indices.tolist()).asnumpy()
    except DECORDError as error:
        if "size must exactly match" not in str(error):
            raise
    return by_av(path, indices)


def by_av(path: Path, indices: np.ndarray) -> np.ndarray:
    """The frames with these numbers, decoded one after the other by PyAV: (T, H, W, 3) uint8 RGB.

    Raises
    ------
    ValueError
        If the file has fewer frames.
    """
    import av

    wanted, found = set(indices.tolist()), {}
    with av.open(str(path)) as file:
        for number, frame in enumerate(file.decode(video=0)):
            if number in wanted:
                found[number] = frame.to_ndarray(format="rgb24")
    if missing := sorted(wanted - set(found)):
        raise ValueError(f"frame {missing[0]} is missing")
    return np.stack([found[number] for number in indices.tolist()])
