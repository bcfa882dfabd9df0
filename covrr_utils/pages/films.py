"""Films: a few frames of a video side by side in one small picture, of which a page shows one at a
time.

The page moves it by style alone when it is pointed at, focused or tapped: no script, no second
file, and a still first frame for all who asked their system for less motion.
"""

from __future__ import annotations

import base64
import io
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from covrr_utils.video.clips import Decoded, Sampling
from covrr_utils.video.decoder import Decoder, submitted, told

FRAMES = 8  # of every film, evenly spread over its video

HEIGHT, WIDTH = 128, 256  # pixels that a frame has at most; smaller frames are not enlarged

QUALITY = 70  # of WebP, in 0..100

METHOD = 2  # of WebP, 0 to 6: in less than half the time of the usual 4, and 6 % larger

SHORTEST, LONGEST = 1.0, 6.0  # seconds that a film takes: those of its video within these bounds


@dataclass(frozen=True)
class Film:
    """One video's film: ``style`` is the class under which the page keeps it, ``strip`` its
    `FRAMES` frames as a data URI, ``aspect`` the width of a frame over its height.
    """

    style: str
    strip: str
    aspect: float
    seconds: float


@dataclass(frozen=True)
class Films:
    """The films of a page by video id, and why the other videos have none."""

    shown: dict[str, Film] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def films(path_of: Callable[[str], Path], videos: Iterable[str | None]) -> Films:
    """The film of every video, each once, in the order given; None is no video.

    ``path_of`` gives a video's file and raises `ClipError` where there is none. A video that cannot
    be read has its cause in ``absent``, and the page a tile that says so.
    """
    result = Films()
    workers = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[str, Future[Decoded]]] = deque()
    sampling = Sampling(num_frames=FRAMES)

    def take() -> None:
        video, answer = waiting.popleft()
        try:
            decoded = answer.result()
        except Exception as error:  # one video's: its tile tells the cause
            result.absent[video] = told(error).cause
            return
        result.shown[video] = film(decoded, f"v{len(result.shown)}")

    with Decoder(workers) as decoder:
        for video in dict.fromkeys(video for video in videos if video is not None):
            waiting.append((video, submitted(decoder, path_of, video, sampling)[1]))
            if len(waiting) > 2 * workers:
                take()
        while waiting:
            take()
    return result


def film(decoded: Decoded, style: str) -> Film:
    """The film of decoded frames (T, H, W, 3)."""
    frames = [shrunk(frame) for frame in decoded.frames]
    strip, encoded = Image.fromarray(np.concatenate(frames, axis=1)), io.BytesIO()
    strip.save(encoded, "WEBP", quality=QUALITY, method=METHOD)
    height, width = frames[0].shape[:2]
    return Film(
        style,
        f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}",
        width / height,
        min(max(decoded.total / decoded.fps, SHORTEST), LONGEST),
    )


def shrunk(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "lower narrower 3"]:
    """The frame within `HEIGHT` and `WIDTH`, its aspect kept."""
    height, width = frame.shape[:2]
    scale = min(1.0, HEIGHT / height, WIDTH / width)
    if scale == 1.0:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
