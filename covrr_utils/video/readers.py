"""A video file becomes frames: by decord where its container proves that counting from key frames
gives the right ones, else by PyAV, straight through from the first frame to the last.

Whichever reads it, a frame is the one that a player shows at its stated time.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from covrr_utils import paths
from covrr_utils.video.access import check_file, unreadable
from covrr_utils.video.clips import AV, DECORD, ClipError, Decoded, Sampling
from covrr_utils.video.containers import Contents, matrix, opened, reason, survey
from covrr_utils.video.scaling import STEEPEST, scaled
from covrr_utils.video.timeline import Picked, Timeline, timeline

if TYPE_CHECKING:
    from av import VideoFrame

Frames = UInt8[np.ndarray, "taken height width 3"]

Size = tuple[int, int]  # height, width

TOGETHER = 8  # frames that are decoded before they are scaled


def decode(path: Path, sampling: Sampling) -> Decoded:
    """The frames that ``sampling`` takes, upright, each with its time.

    Raises
    ------
    ClipError
        With one of the causes in `covrr_utils.video.clips.CAUSES`.
    """
    check_file(path)
    try:
        contents = survey(path)
        height, width = contents.size
        if max(height, width) > STEEPEST * min(height, width):
            raise ClipError(
                "unusable size",
                f"{paths.relative(path)}: the model takes no frames of {width} x {height}: one side"
                f" is more than {STEEPEST} times as long as the other; crop the video",
            )
        if contents.plain and contents.expected is not None and len(contents.expected.ticks) > 1:
            picked = contents.expected.pick(sampling)
            frames = by_decord(path, contents, picked, _target(sampling, picked, contents))
            if frames is not None:
                return Decoded(
                    frames, picked.indices, picked.total, picked.fps, DECORD, contents.size
                )
        frames, picked = by_av(path, contents, sampling)
        return Decoded(frames, picked.indices, picked.total, picked.fps, AV, contents.size)
    except OSError as error:
        raise unreadable(path, error) from error


def _target(sampling: Sampling, picked: Picked, contents: Contents) -> Size | None:
    """The size to which the frames are scaled as soon as they are decoded; None if they are not."""
    if sampling.budget is None:
        return None
    return sampling.budget.target(len(picked.places), *contents.size)


def by_decord(
    path: Path, contents: Contents, picked: Picked, target: Size | None = None
) -> Frames | None:
    """The picked frames as decord reads them, in order, scaled to ``target`` where one is given;
    None where decord's answer is not proved.

    Its count, its time stamps and its key frames must be those of the container, and libav must not
    have reported any damage meanwhile: decord itself passes a damaged frame on as a good one.
    """
    decord, expected = _decord(), contents.expected
    try:
        with _standard_error() as heard:
            reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            if expected is None or len(reader) != len(expected.ticks):
                return None
            stamps = reader.get_frame_timestamp(list(range(len(reader))))[:, 0]
            close = float(np.abs(stamps - expected.seconds).max()) < 0.5 * float(
                np.diff(expected.seconds).min()
            )
            if not close or tuple(reader.get_key_indices()) != contents.keys:
                return None
            places = picked.places.tolist()
            if target is None:
                frames = reader.get_batch(places).asnumpy()
            else:
                frames = np.concatenate(
                    [
                        scaled(reader.get_batch(places[n : n + TOGETHER]).asnumpy(), target)
                        for n in range(0, len(places), TOGETHER)
                    ]
                )
    except (decord.DECORDError, RuntimeError, AssertionError, UnicodeEncodeError):
        return None  # decord2 3.4.0 cannot copy some widths, nor open a name that is no UTF-8
    return None if heard else frames


def _decord() -> ModuleType:
    """decord, without the libraries of CUDA that lie beside torch.

    It loads all of them when it is imported, in case it was built for CUDA: 0.8 GB and half a
    second of processor time in every decoding process. Where it was, it cannot be imported without.
    """
    if "decord" in sys.modules or "nvidia" in sys.modules:
        return importlib.import_module("decord")
    sys.modules["nvidia"] = None  # type: ignore[assignment]  # as if there were none
    try:
        return importlib.import_module("decord")
    except OSError:
        del sys.modules["nvidia"]
        return importlib.import_module("decord")
    finally:
        sys.modules.pop("nvidia", None)


@contextmanager
def _standard_error() -> Iterator[list[bytes]]:
    """What C libraries write to standard error meanwhile: nothing, or one item, when the block has
    ended.
    """
    heard: list[bytes] = []
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield heard
            finally:
                os.dup2(kept, 2)
                file.seek(0)
                heard.extend(filter(None, [file.read()]))
    finally:
        os.close(kept)


def by_av(path: Path, contents: Contents, sampling: Sampling) -> tuple[Frames, Picked]:
    """The frames that ``sampling`` takes, decoded by PyAV from the first frame on.

    The timeline is that of the frames which the decoder gives. Mostly it is the one that the
    packets promised, so that one pass is enough.

    Raises
    ------
    ClipError
        With cause "damaged", "too short" or "not decodable".
    """
    shown = paths.relative(path)
    expected = contents.expected
    picked = None if expected is None else expected.pick(sampling)
    if picked is None:
        stamps, frames = _pass(path, set(), None)
    else:
        target = _target(sampling, picked, contents)
        stamps, frames = _pass(path, set(picked.places.tolist()), target)
    places, kept = _shown(stamps)
    if len(kept) < 2:
        raise ClipError(
            "too short", f"{shown}: {len(kept)} frame(s), but a clip needs at least two"
        )
    try:
        line = timeline(kept, contents.tick, contents.rates, contents.counted)
    except ValueError as error:
        raise ClipError(
            "damaged",
            f"{shown}: its time stamps cannot be trusted ({error}); write the file again, for"
            " instance with ffmpeg",
        ) from error
    if expected is None or picked is None or not _same(line, expected) or len(places) < len(stamps):
        picked = line.pick(sampling)
        target = _target(sampling, picked, contents)
        _, frames = _pass(path, {places[place] for place in picked.places}, target)
    return np.stack([frames[places[place]] for place in picked.places]), picked


def _same(line: Timeline, other: Timeline) -> bool:
    return line.rate == other.rate and np.array_equal(line.ticks, other.ticks)


def _shown(stamps: list[int | None]) -> tuple[list[int], list[int | None]]:
    """Places and stamps of the frames that are shown at all: of two with the same stamp, the
    second.
    """
    places = [
        place
        for place, stamp in enumerate(stamps)
        if place + 1 == len(stamps) or stamp is None or stamp != stamps[place + 1]
    ]
    return places, [stamps[place] for place in places]


def _pass(
    path: Path, wanted: set[int], target: Size | None
) -> tuple[list[int | None], dict[int, UInt8[np.ndarray, "height width 3"]]]:
    """The time stamps of all frames, in the order in which they are shown, and the ``wanted``
    frames by their place in it, scaled to ``target`` where one is given.

    Raises
    ------
    ClipError
        With cause "damaged" or "not decodable", if one cannot be decoded as it was encoded.
    """
    import av

    stamps: list[int | None] = []
    pixels_at: dict[int, np.ndarray] = {}
    size: tuple[int, int] | None = None
    with opened(path) as (container, stream):
        try:
            for place, frame in enumerate(container.decode(stream)):
                if frame.is_corrupt:
                    raise ValueError("the decoder marks it as corrupt")
                stamps.append(frame.pts)
                if place in wanted:
                    size = size or (frame.width, frame.height)
                    pixels = _upright(frame, size)
                    pixels_at[place] = pixels if target is None else scaled(pixels[None], target)[0]
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            shown = paths.relative(path)
            if not stamps:
                raise ClipError(
                    "not decodable",
                    f"{shown}: no frame of it can be decoded ({reason(error)}); download it again"
                    " or convert it",
                ) from error
            raise ClipError(
                "damaged",
                f"{shown}: frame {len(stamps)} cannot be decoded ({reason(error)}); download it"
                " again",
            ) from error
    return stamps, pixels_at


def _upright(frame: VideoFrame, size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
    """A frame in RGB, in the ``size`` (width, height) of the first, turned and mirrored as the file
    asks for.
    """
    pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    turned = matrix(frame)
    if turned is None:
        return pixels
    a, b, c, d = turned
    if a and d and not (b or c):
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    if b and c and not (a or d):
        return pixels.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    return pixels  # turned by an angle that no camera writes
