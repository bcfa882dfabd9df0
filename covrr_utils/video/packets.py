"""What is kept of the packets of a video, and what they prove without being decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av import Packet, VideoStream


@dataclass(frozen=True)
class Entry:
    """What is kept of a packet."""

    stamp: int | None
    size: int
    key: bool
    discard: bool
    corrupt: bool
    instant: bool  # an H.264 picture at which decoding can begin without any other

    @classmethod
    def of(cls, packet: Packet, width: int | None) -> Entry:
        """``width``: bytes of the length before every unit of H.264 or H.265, where they are
        chained by lengths.
        """
        kinds = [] if width is None or not packet.size else _units(bytes(packet), width)
        return cls(
            packet.pts,
            packet.size,
            packet.is_keyframe,
            packet.is_discard,
            packet.is_corrupt or kinds is None,
            kinds is not None and 5 in kinds,
        )


def unit_width(stream: VideoStream) -> int | None:
    """Bytes of the length before every unit of H.264 or H.265 in mp4 and Matroska, else None."""
    extra = bytes(stream.codec_context.extradata or b"")
    place = {"h264": 4, "hevc": 21}.get(stream.codec_context.name)
    if place is None or len(extra) <= place or extra[0] != 1:
        return None
    return (extra[place] & 3) + 1


def _units(data: bytes, width: int) -> list[int] | None:
    """The H.264 kinds of the units in a packet; None if their lengths do not add up to it, or one
    holds bytes that no encoder writes (three zeros: a block that was never filled).
    """
    place, kinds = 0, []
    while place + width < len(data):
        begin = place + width
        place = begin + int.from_bytes(data[place:begin], "big")
        unit = data[begin:place].rstrip(b"\0")
        if not unit or place > len(data) or b"\0\0\0" in unit:
            return None
        kinds.append(unit[0] & 31)
    return None if any(data[place:]) else kinds


def is_plain(stream: VideoStream, packets: list[Entry]) -> bool:
    """Whether the packets are those of an H.264 mp4 in which every frame can be found by counting
    from the key frame before it: all stamps there and different, from zero on, nothing discarded,
    and every group of pictures closed.
    """
    stamps = [packet.stamp for packet in packets if packet.stamp is not None]
    if (
        stream.codec.name not in ("h264", "libx264")
        or stream.codec_context.pix_fmt != "yuv420p"
        or len(set(stamps)) < len(packets)
        or any(packet.discard or packet.corrupt or not packet.size for packet in packets)
        or min(stamps) != 0
        or not packets[0].key
    ):
        return False
    earlier, later = np.maximum.accumulate(stamps), np.minimum.accumulate(stamps[::-1])[::-1]
    return all(
        packet.instant
        and later[place] == stamps[place]
        and (place == 0 or earlier[place - 1] < stamps[place])
        for place, packet in enumerate(packets)
        if packet.key
    )
