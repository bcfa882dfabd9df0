"""Clips that play in a chapter: plain HTML that needs no script and no second file, so that it
survives nbconvert, the book and every viewer of notebooks.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from covrr_utils.video.clips import Clip, ClipError, Sampling
from covrr_utils.video.decoder import read_clip

FRAMES = Sampling(num_frames=24)  # the frames of a clip that plays, evenly spread

QUALITY = 50  # of WebP, in 0..100

SIDE = 192  # pixels of the page that a clip is wide

SHORTEST = 40  # milliseconds that a frame stands at least

HOLD = 600  # milliseconds that the last frame stands, so that an end is seen


@dataclass(frozen=True)
class MovingClips:
    """Clips side by side that play for ever, each over its caption: pairs of a caption and of an
    animated WebP, or of the cause why there is none.
    """

    clips: tuple[tuple[str, bytes | str], ...]

    def _repr_html_(self) -> str:
        tiles = "".join(_tile(caption, picture) for caption, picture in self.clips)
        return f'<div style="display:flex; flex-wrap:wrap; gap:12px">{tiles}</div>'

    def __repr__(self) -> str:
        return "clips: " + " | ".join(caption for caption, _ in self.clips)


def moving(
    path_of: Callable[[str], Path], videos: Sequence[str], captions: Sequence[str]
) -> MovingClips:
    """The videos as clips that play at the tempo of their files.

    ``path_of`` gives a video's file, as `Benchmark.video_path` does; a video that cannot be read is
    a tile that says why.
    """
    shown: list[tuple[str, bytes | str]] = []
    for video, caption in zip(videos, captions, strict=True):
        try:
            shown.append((caption, animated(read_clip(path_of(video), FRAMES, video))))
        except ClipError as error:
            shown.append((caption, f"cannot be read: {error.cause}"))
    return MovingClips(tuple(shown))


def animated(clip: Clip) -> bytes:
    """The clip's frames as an animated WebP that begins again at its end; every frame stands until
    the time of the next, the last one for `HOLD` milliseconds.
    """
    pictures = [_shrunk(Image.fromarray(frame)) for frame in clip.frames]
    steps = np.diff(np.round(1000 * clip.times)).astype(int)
    durations = [*(max(int(step), SHORTEST) for step in steps), HOLD]
    # the method 6 takes fourteen times as long and saves a fiftieth of the bytes
    return webp(pictures, durations, quality=QUALITY, method=5)


def webp(pictures: Sequence[Image.Image], duration: int | list[int], **options: int) -> bytes:
    """An animated WebP that begins again at its end; ``duration`` of each picture, or of every one,
    in milliseconds, ``options`` are Pillow's.
    """
    blob = io.BytesIO()
    pictures[0].save(
        blob,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=duration,
        loop=0,
        **options,
    )
    return blob.getvalue()


def _shrunk(picture: Image.Image) -> Image.Image:
    """The picture at most `SIDE` pixels wide; a smaller one is not enlarged."""
    if picture.width <= SIDE:
        return picture
    height = max(1, round(picture.height * SIDE / picture.width))
    return picture.resize((SIDE, height), Image.Resampling.LANCZOS)


def _tile(caption: str, picture: bytes | str) -> str:
    words = html.escape(caption)
    if isinstance(picture, str):
        shown = f'<div style="padding:2em 1em; background:#eee">{html.escape(picture)}</div>'
    else:
        data = base64.b64encode(picture).decode()
        shown = (
            f'<img src="data:image/webp;base64,{data}" width="{SIDE}" alt="moving clip: {words}"/>'
        )
    return (
        f'<figure style="width:{SIDE}px; margin:0">{shown}<figcaption style="font-size:85%">'
        f"{words}</figcaption></figure>"
    )
