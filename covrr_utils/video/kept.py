"""Decoded frames that are asked for again: every strategy asks about the same references, and often
they are gallery videos too.
"""

from __future__ import annotations

from collections.abc import Iterable

from covrr_utils.video.clips import Decoded, Sampling
from covrr_utils.video.scaling import PixelBudget

KEPT_BYTES = 256 << 20  # of frames in memory; those of the mini benchmark's references fit


class KeptFrames:
    """The frames of these ``videos``, within `KEPT_BYTES`. What came first stays: of more videos
    than fit, asked for in one order again and again, the last ones would never be found.
    """

    def __init__(self, videos: Iterable[str] = ()):
        self._wanted = frozenset(videos)
        self._kept: dict[tuple[str, Sampling, PixelBudget | None], Decoded] = {}
        self._bytes = 0

    def get(self, video: str, sampling: Sampling) -> Decoded | None:
        """The frames that ``sampling`` takes of a video; None where they are not kept."""
        return self._kept.get((video, sampling, sampling.budget))

    def keep(self, video: str, sampling: Sampling, decoded: Decoded) -> None:
        """Keep these frames, if they are among those to be kept and there is room."""
        key, size = (video, sampling, sampling.budget), decoded.frames.nbytes
        if video in self._wanted and key not in self._kept and self._bytes + size <= KEPT_BYTES:
            self._kept[key] = decoded
            self._bytes += size

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()
        self._bytes = 0
