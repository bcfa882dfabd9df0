"""What is kept of the packets of a video, and what they prove without being decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av import Packet, VideoStream

DENSE = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d")

HOLE = bytes(64)


@dataclass(frozen=True)
class Entry:
    """What is kept of a packet."""

    stamp: int | None
    size: int
    key: bool
    discard: bool
    corrupt: bool  # said by the container, or seen in the packet
    instant: bool  # see `Kind.looked_at`

    @classmethod
    def of(cls, packet: Packet, kind: Kind) -> Entry:
        """What is kept of ``packet``, which is of this kind."""
        sound, instant = kind.looked_at(bytes(packet)) if packet.size else (True, False)
        return cls(
            packet.pts,
            packet.size,
            packet.is_keyframe,
            packet.is_discard,
            packet.is_corrupt or not sound,
            instant,
        )


@dataclass(frozen=True)
class Kind:
    """How the packets of a codec are written: ``width`` is the number of bytes of the length before
    every unit of H.264 or H.265 where they are chained by lengths (mp4, Matroska), else 0.
    """

    codec: str
    width: int

    @classmethod
    def of(cls, stream: VideoStream) -> Kind:
        """That of a stream's packets."""
        codec, extra = stream.codec_context.name, bytes(stream.codec_context.extradata or b"")
        place = {"h264": 4, "hevc": 21}.get(codec)
        chained = place is not None and len(extra) > place and extra[0] == 1
        return cls(codec, (extra[place] & 3) + 1 if place is not None and chained else 0)

    def looked_at(self, data: bytes) -> tuple[bool, bool]:
        """Whether a packet holds only what an encoder writes, and whether it is an H.264 picture at
        which decoding can begin without any other (IDR).

        A decoder may pass over a hole, a block that was never filled, without a word. An encoder
        writes no three zeros in a unit of H.264 or H.265, and no long run of them inside a packet
        of these, VP8, VP9 and AV1.
        """
        if self.codec in DENSE and HOLE in data.rstrip(b"\0"):
            return False, False
        if not self.width:
            return True, False
        place, kinds = 0, []
        while place + self.width < len(data):
            begin = place + self.width
            place = begin + int.from_bytes(data[place:begin], "big")
            unit = data[begin:place].rstrip(b"\0")
            if not unit or place > len(data) or b"\0\0\0" in unit:
                return False, False
            kinds.append(unit[0] & 31)
        return not any(data[place:]), self.codec == "h264" and 5 in kinds


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
