"""A corpus of small clips, made with PyAV: containers, codecs, groups of pictures, time stamps,
trims and turns, as cameras, editors and cutters write them; and the straight decode that says what
each of them shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 80, 48

FAST = {"cpu-used": "8", "deadline": "realtime", "crf": "20", "b": "0"}


@dataclass(frozen=True)
class Made:
    """How a clip is made: ``times`` are seconds of its frames where they are not ``n / rate``,
    ``start`` the time stamp of the first; ``trim`` cuts from one second to another without encoding
    again; ``turn`` is (degrees, mirrored).
    """

    name: str
    codec: str
    frames: int = 60
    rate: Fraction | int = 25
    options: dict[str, str] = field(default_factory=dict)
    times: tuple[float, ...] | None = None
    start: float = 0.0
    trim: tuple[float, float] | None = None
    turn: tuple[float, bool] | None = None
    muxing: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    size: tuple[int, int] = (WIDTH, HEIGHT)


def pictures(count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Frames that differ from each other: (count, height, width, 3) uint8, a bar that wanders over
    a growing brightness.
    """
    width, height = size
    frames = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        frames[number] = 20 + 160 * number // max(count - 1, 1)
        place = number * 7 % (width - 8)
        frames[number, : height // 2, place : place + 8] = (250, 40, 40)
    return frames


def make(made: Made, folder: Path) -> Path:
    """Write the clip; gives its path."""
    path = folder / made.name
    with av.open(str(path), "w", options=made.muxing) as container:
        stream = container.add_stream(made.codec, rate=made.rate, options=made.options)
        stream.width, stream.height = made.size
        stream.pix_fmt = made.pixels
        if made.turn is not None:
            stream.set_display_rotation(made.turn[0], hflip=made.turn[1])
        timed = (made.times is not None or made.start) and path.suffix != ".avi"
        tick = Fraction(1, 90000) if timed else 1 / Fraction(made.rate)
        stream.codec_context.time_base = tick
        for number, pixels in enumerate(pictures(made.frames, made.size)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            seconds = made.times[number] if made.times else number / Fraction(made.rate)
            frame.pts, frame.time_base = round((seconds + Fraction(made.start)) / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path if made.trim is None else _trimmed(path, *made.trim)


def _trimmed(path: Path, begin: float, end: float) -> Path:
    """A cut without encoding again, as lossless cutters write it: from the key frame before
    ``begin``, with time stamps that begin at ``begin``.
    """
    cut = path.with_name(f"cut-{path.name}")
    with av.open(str(path)) as source, av.open(str(cut), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        first = max(
            place
            for place, packet in enumerate(packets)
            if packet.is_keyframe and float(packet.pts * packet.time_base) <= begin + 1e-6
        )
        for packet in packets[first:]:
            if packet.pts * packet.time_base < end:
                moved = round(begin / packet.time_base)
                packet.pts -= moved
                packet.dts = None if packet.dts is None else packet.dts - moved
                packet.stream = copy
                target.mux(packet)
    return cut


def straight(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the file shows: seconds after the first frame, and the frames, upright.

    Frames of avi, which has no time stamps, stand at ``n / rate`` where those that libav guesses
    do not rise.
    """
    stamps, frames = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        for frame in container.decode(stream):
            stamps.append(frame.pts * frame.time_base)
            frames.append(_turned(frame.to_ndarray(format="rgb24"), frame.rotation))
    if path.suffix == ".avi" and any(late <= early for early, late in zip(stamps, stamps[1:])):
        stamps = [number / rate for number in range(len(stamps))]
    return np.array([float(stamp - stamps[0]) for stamp in stamps]), frames


def _turned(pixels: np.ndarray, degrees: int) -> np.ndarray:
    return np.rot90(pixels, degrees // 90 % 4)


def h264(gop: int = 12, b: int = 3, **more: str) -> dict[str, str]:
    """Options of libx264: group size, B-frames, and what else."""
    return {"g": str(gop), "bf": str(b), "sc_threshold": "0", "crf": "15"} | more


def mpeg(gop: int = 12, b: int = 2) -> dict[str, str]:
    """Options of MPEG-2 and MPEG-4: group size and B-frames."""
    return {"g": str(gop), "bf": str(b), "q:v": "2", "b": "2000000", "sc_threshold": "1000000000"}


SLOWING: Sequence[float] = tuple(np.cumsum(np.linspace(0.02, 0.3, 40)).round(3))

GAPS: Sequence[float] = tuple(0.04 * n for n in range(80) if n % 7 in (0, 1, 2, 5))[:40]

CORPUS = (
    *(
        Made(f"{name}.mp4", "libx264", options=h264(*how))
        for name, how in {
            "plain": (12, 0),
            "b": (12, 3),
            "one-group": (250, 3),
            "every-key": (1, 0),
            "two": (2, 0),
        }.items()
    ),
    Made("open-groups.mp4", "libx264", options=h264(12, 3, x264opts="open-gop=1")),
    Made("refresh.mp4", "libx264", options=h264(30, 0, x264opts="intra-refresh=1")),
    Made("front.mp4", "libx264", options=h264(), muxing={"movflags": "faststart"}),
    Made(
        "fragments.mp4", "libx264", options=h264(), muxing={"movflags": "frag_keyframe+empty_moov"}
    ),
    Made("ntsc.mp4", "libx264", rate=Fraction(30000, 1001), options=h264()),
    Made("late.mp4", "libx264", options=h264(), start=3.2),
    Made("ten-bit.mp4", "libx264", options=h264(), pixels="yuv420p10le"),
    Made("hevc.mp4", "libx265", options={"x265-params": "keyint=12:bframes=3:log-level=none"}),
    Made("mpeg4.mp4", "mpeg4", options=mpeg()),
    Made("narrow.mp4", "libx264", options=h264(), size=(72, 48)),
    Made("varying.mp4", "libx264", frames=40, options=h264(), times=SLOWING),
    Made("varying.mkv", "libx264", frames=40, options=h264(), times=SLOWING),
    Made("varying.webm", "libvpx-vp9", frames=40, options=FAST, times=SLOWING),
    *(
        Made(f"trimmed.{suffix}", "libx264", 100, options=h264(50, b), trim=(1.6, 2.8))
        for suffix in ("mp4", "mov", "mkv", "ts")
        for b in (3,)
    ),
    Made("trimmed-plain.mp4", "libx264", 100, options=h264(50, 0), trim=(1.6, 2.8)),
    Made("trimmed-at-key.mp4", "libx264", 100, options=h264(50, 3), trim=(2.0, 3.2)),
    Made("trimmed-mpeg4.mp4", "mpeg4", 100, options=mpeg(50, 0), trim=(1.6, 2.8)),
    *(
        Made(f"turned-{degrees}.{suffix}", "libx264", options=h264(), turn=(degrees, False))
        for degrees in (90, 180, 270)
        for suffix in ("mp4", "mov")
    ),
    Made("h264.mov", "libx264", options=h264()),
    Made("h264.mkv", "libx264", options=h264()),
    Made("h264-ntsc.mkv", "libx264", rate=Fraction(24000, 1001), options=h264()),
    Made("mpeg2.mkv", "mpeg2video", options=mpeg()),
    Made("late.mkv", "libx264", options=h264(), start=3.2),
    Made("vp9.webm", "libvpx-vp9", options=FAST),
    Made(
        "vp9-hidden.webm",
        "libvpx-vp9",
        options={"cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1", "b": "500000"},
    ),
    Made("vp8.webm", "libvpx", options=FAST),
    Made(
        "vp8-hidden.webm",
        "libvpx",
        options={"cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1", "b": "500000"},
    ),
    Made("live.webm", "libvpx", options=FAST, muxing={"live": "1"}),
    Made("live.mkv", "libx264", options=h264(), muxing={"live": "1"}),
    *(
        Made(f"h264-{gop}-{b}.avi", "libx264", options=h264(gop, b))
        for gop, b in ((12, 0), (12, 3), (250, 2))
    ),
    *(
        Made(f"mpeg4-{gop}-{b}.avi", "mpeg4", options=mpeg(gop, b))
        for gop, b in ((12, 0), (12, 2), (250, 2))
    ),
    *(
        Made(f"mpeg2-{gop}-{b}.avi", "mpeg2video", options=mpeg(gop, b))
        for gop, b in ((12, 0), (12, 2), (15, 2))
    ),
    Made("gaps.avi", "mpeg4", 40, options=mpeg(12, 0), times=GAPS),
    Made("h264.ts", "libx264", options=h264()),
    Made("mpeg2.ts", "mpeg2video", options=mpeg()),
    Made("mpeg2.mpg", "mpeg2video", options=mpeg()),
    Made("late.ts", "libx264", options=h264(), start=3.2),
    Made("two-frames.mp4", "libx264", 2, options=h264()),
    Made("two-frames.avi", "mpeg4", 2, options=mpeg()),
)
