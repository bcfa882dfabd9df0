"""When the frames of a video are shown, and which of them a sampling takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Int

from covrr_utils.video.clips import Sampling


@dataclass(frozen=True)
class Picked:
    """The frames that a sampling takes: their ``places`` in the order in which they are shown, and
    their ``indices`` on a grid of ``total`` points with ``fps`` points a second.

    ``indices / fps`` are the seconds after the first frame. With a constant frame rate the grid is
    that of the frames, so that ``indices`` equals ``places``.
    """

    places: Int[np.ndarray, " taken"]
    indices: Int[np.ndarray, " taken"]
    total: int
    fps: float


@dataclass(frozen=True)
class Timeline:
    """The times of all frames: ``ticks`` after the first frame, strictly rising, each of ``tick``
    seconds; ``rate`` is the constant number of frames a second, None where it varies.
    """

    ticks: Int[np.ndarray, " frames"]
    tick: Fraction
    rate: float | None

    @property
    def seconds(self) -> Float[np.ndarray, " frames"]:
        """Seconds after the first frame."""
        return self.ticks * float(self.tick)

    def pick(self, sampling: Sampling) -> Picked:
        """The frames that ``sampling`` takes, each once: times rise strictly.

        With a variable frame rate the frames are taken evenly in time: of every time asked for, the
        frame nearest to it, at its own exact time.
        """
        count = len(self.ticks)
        if self.rate is not None:
            places = np.unique(sampling.indices(count, self.rate))
            return Picked(places, places, count, self.rate)
        mean = (count - 1) / self.seconds[-1]
        times = sampling.indices(count, mean) / mean
        after = np.searchsorted(self.seconds, times).clip(1, count - 1)
        earlier = times - self.seconds[after - 1] <= self.seconds[after] - times
        places = np.unique(np.where(earlier, after - 1, after))
        total = int(self.ticks[-1] + np.median(np.diff(self.ticks)))
        return Picked(places, self.ticks[places], total, float(1 / self.tick))


def timeline(
    stamps: Sequence[int | None], tick: Fraction, rates: Iterable[Fraction | None], counts: bool
) -> Timeline:
    """The timeline of frames with these time stamps, in the order in which they are shown.

    Parameters
    ----------
    stamps : time stamps in ticks, None where the container has none
    tick : seconds
    rates : frames a second as the container states or suggests them, best first
    counts : whether the container knows no time stamps but a frame rate (avi), so that frame n
        stands at ``n / rate`` where the stamps that were guessed for it do not rise

    Raises
    ------
    ValueError
        If the times do not rise strictly, or are not known.
    """
    stated = [Fraction(rate) for rate in rates if rate]
    known = np.array([stamp for stamp in stamps if stamp is not None], np.int64)
    rising = len(known) == len(stamps) and bool((np.diff(known) > 0).all())
    if not rising and counts and stated:
        return Timeline(np.arange(len(stamps)), 1 / stated[0], float(stated[0]))
    if len(known) < len(stamps):
        raise ValueError(f"{len(stamps) - len(known)} of {len(stamps)} frames have no time stamp")
    if not rising:
        place = int(np.flatnonzero(np.diff(known) <= 0)[0]) + 1
        before, time = (float((known[n] - known[0]) * tick) for n in (place - 1, place))
        raise ValueError(
            f"frame {place} stands at {time:.3f} s, though the one before stands at {before:.3f} s"
        )
    ticks = known - known[0]
    if len(ticks) > 1:
        stated.append(Fraction(len(ticks) - 1) / (int(ticks[-1]) * tick))
    return Timeline(ticks, tick, _constant(ticks, float(tick), stated))


def _constant(
    ticks: Int[np.ndarray, " frames"], tick: float, rates: Iterable[Fraction]
) -> float | None:
    """The first of ``rates`` at which every frame stands, as closely as the container can say it
    (one tick, but never more than a tenth of a frame); None if there is none.
    """
    for rate in map(float, rates):
        distance = np.abs(ticks * tick - np.arange(len(ticks)) / rate)
        if distance.max(initial=0.0) <= min(1.001 * tick, 0.1 / rate):
            return rate
    return None
