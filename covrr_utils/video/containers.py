"""What a container says of its video, asked before the frames are decoded: its packets, their time
stamps, and whether all of it is there.

A container is read to its end, which takes about as long as copying the file. What it promises
(duration, number of frames) is held against what it holds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from covrr_utils import paths
from covrr_utils.video.clips import ClipError
from covrr_utils.video.packets import Entry, Kind, is_plain
from covrr_utils.video.riff import broken_at
from covrr_utils.video.timeline import Timeline, timeline

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

# containers of one video each; playlists and image lists, which name other files, are not among
# them
FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,m4v,ivf,nut,mxf,dv,rm"

# these know a frame rate, but no time stamps
COUNTED = ("avi", "h264", "hevc", "m4v", "mpegvideo", "dv")

SLACK = 0.1  # seconds by which a video may end before its stated end, and a hundredth of it


@dataclass(frozen=True)
class Contents:
    """The video of a container.

    ``expected`` is the timeline that its packets promise, None where only decoding tells; ``plain``
    says that packets and frames correspond one to one in the simplest way, which `decord` needs.
    """

    size: tuple[int, int]  # height and width of an upright frame
    tick: Fraction
    rates: tuple[Fraction | None, ...]
    counted: bool
    expected: Timeline | None
    plain: bool
    keys: tuple[int, ...]  # the places of the key frames, in the order in which frames are shown


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container of a file and its video stream; decoding stops at the first damage.

    Raises
    ------
    ClipError
        With cause "not decodable", if it is no video.
    """
    import av
    from av.container import InputContainer

    shown = paths.relative(path)
    with ExitStack() as stack:
        # as a path that no protocol's name can hide in; a name that is no UTF-8 is handed over open
        source: str | IO[bytes]
        source = f"file:{path}" if _utf8(path) else stack.enter_context(open(path, "rb"))
        try:
            container = stack.enter_context(
                av.open(source, options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})
            )
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            raise ClipError(
                "not decodable",
                f"{shown}: cannot be read as a video ({reason(error)}); download it again or"
                " convert it",
            ) from error
        assert isinstance(container, InputContainer)
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise ClipError("not decodable", f"{shown}: there is no video stream in it")
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


def survey(path: Path) -> Contents:
    """Read a container to its end; only the first frame is decoded.

    Raises
    ------
    ClipError
        With cause "not decodable", "truncated" or "damaged".
    OSError
        If the file cannot be read.
    """
    shown = paths.relative(path)
    with _logs() as logs, opened(path) as (container, stream):
        packets, end, first = _read(container, stream, shown)
        if not any(packet.size and not packet.discard for packet in packets):
            raise ClipError("not decodable", f"{shown}: there is no frame in it")
        formats = container.format.name.split(",")
        counted = any(name in COUNTED for name in formats)
        assert stream.time_base is not None
        tick, rates = stream.time_base, (stream.average_rate, stream.guessed_rate)
        stamps = [packet.stamp for packet in packets if packet.size and not packet.discard]
        expected = _expected(stamps, tick, rates, counted)
        complaints = [text.strip() for _, source, text in logs if source == container.format.name]
        if "avi" in formats and (place := broken_at(path)) is not None:
            raise ClipError(
                "truncated",
                f"{shown}: its parts do not follow one another at byte {place}, so that some of it"
                " is missing; download it again",
            )
        _check_whole(shown, packets, expected, complaints, _promised(container, stream), end)
        size, upright = _size(stream, first)
        plain = upright and "mp4" in formats and is_plain(stream, packets)
        order = np.argsort([packet.stamp or 0 for packet in packets], kind="stable")
        keys = tuple(place for place, number in enumerate(order) if packets[number].key)
        return Contents(size, tick, rates, counted, expected, plain, keys)


def _read(
    container: InputContainer, stream: VideoStream, shown: str
) -> tuple[list[Entry], float, VideoFrame | None]:
    """The packets of the video, the second at which the last packet of any stream ends, and the
    first frame (None if it cannot be decoded).
    """
    import av

    packets: list[Entry] = []
    ends: dict[int, int] = {}  # by the number of a stream, in its ticks
    tried, kind = False, Kind.of(stream)
    first: VideoFrame | None = None
    try:
        for packet in container.demux():
            if packet.size == 0 and packet.dts is None:
                continue  # the end of a stream
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                ends[packet.stream_index] = max(
                    ends.get(packet.stream_index, 0), stamp + (packet.duration or 0)
                )
            if packet.stream_index != stream.index:
                continue
            packets.append(Entry.of(packet, kind))
            if not tried:
                try:
                    pictures = stream.decode(packet)
                    first, tried = (pictures[0], True) if pictures else (None, False)
                except av.FFmpegError:  # reported when the frames are read
                    tried = True
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ClipError(
            "damaged",
            f"{shown}: the container cannot be read to its end ({reason(error)}); download it"
            " again",
        ) from error
    seconds = [float(end * (container.streams[n].time_base or 0)) for n, end in ends.items()]
    return packets, max(seconds, default=0.0), first


def _expected(
    stamps: list[int | None], tick: Fraction, rates: tuple[Fraction | None, ...], counted: bool
) -> Timeline | None:
    """The timeline that the packets promise; None where they do not say."""
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if len(known) < len(stamps):
        return None
    try:
        return timeline(known, tick, rates, counted)
    except ValueError:
        return None


def _promised(container: InputContainer, stream: VideoStream) -> float | None:
    """The second at which the file states to end; None where it states none (live recordings), or
    only what was estimated from its end (transport and program streams).
    """
    formats = container.format.name.split(",")
    if "mp4" in formats and stream.duration and stream.time_base:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if "matroska" in formats and container.duration:
        return container.duration / 1e6
    return None


def _check_whole(
    shown: str,
    packets: list[Entry],
    expected: Timeline | None,
    complaints: list[str],
    promised: float | None,
    end: float,
) -> None:
    """Hold what a container states against what is in it, and heed what its reader complained of.

    Where the frame rate varies, the last frame may be shown for any time, so that an early end says
    nothing by itself.
    """
    regular = expected is not None and expected.rate is not None
    step = 1 / expected.rate if expected is not None and expected.rate else SLACK
    short = 0.0 if promised is None else promised - end
    slack = 1.5 * step if complaints else max(SLACK + 0.01 * (promised or 0), 2.5 * step)
    heard = f" ({complaints[0]})" if complaints else ""
    if packets[-1].corrupt or (short > slack and (regular or complaints)):
        stated = f" of the {promised:.2f} s that it states" if promised else ""
        raise ClipError(
            "truncated", f"{shown}: ends at {end:.2f} s{stated}{heard}; download it again"
        )
    if any(packet.corrupt for packet in packets) or (
        complaints and (not regular or promised is None)
    ):
        raise ClipError("damaged", f"{shown}: a part of it is damaged{heard}; download it again")


def _size(stream: VideoStream, first: VideoFrame | None) -> tuple[tuple[int, int], bool]:
    """Height and width of a frame as it is shown, and whether it is shown as it is stored."""
    if first is None:
        return (stream.codec_context.height, stream.codec_context.width), False
    turned = matrix(first)
    lying = turned is not None and turned[0] == 0 == turned[3]
    size = (first.width, first.height) if lying else (first.height, first.width)
    return size, turned is None


def matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """How a frame is turned before it is shown: the four numbers ``a b c d`` of ``x' = a x + c y``
    and ``y' = b x + d y`` in units of 1/65536; None where it is shown as it is stored.
    """
    side_data = cast("Mapping[str, bytes]", frame.side_data)
    if "DISPLAYMATRIX" not in side_data:
        return None
    numbers = struct.unpack("=9i", bytes(side_data["DISPLAYMATRIX"]))
    turn = (numbers[0], numbers[1], numbers[3], numbers[4])
    return None if turn == (65536, 0, 0, 65536) else turn


@contextmanager
def _logs() -> Iterator[list[tuple[int, str, str]]]:
    """What libav reports as errors meanwhile, in this thread: level, source, text."""
    import av.logging

    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logs:
            yield logs
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip)


def reason(error: BaseException) -> str:
    """The first line of an error, or its class."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _utf8(path: Path) -> bool:
    """Whether the name of a file can be written as UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
