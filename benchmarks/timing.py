"""What all scripts here share: ways of doing the same thing are timed in turn, in one process, and
told as ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Timed:
    """Seconds of one way, round by round: of the clock on the wall, and of the processor."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timed]:
    """Time every way ``rounds`` times, one after the other, every second round backwards, so that
    what changes on the machine meanwhile meets all of them. Each is done once before, untimed.
    """
    for way in ways.values():
        way()
    timed = {name: Timed() for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else reversed(list(ways)):
            wall, processor = time.perf_counter(), time.process_time()
            ways[name]()
            timed[name].wall.append(time.perf_counter() - wall)
            timed[name].processor.append(time.process_time() - processor)
    return timed


def spread(values: Sequence[float], form: str = ".3g") -> str:
    """The median, and the smallest and the largest value in brackets."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def ratios(first: Sequence[float], other: Sequence[float]) -> str:
    """How many times longer ``first`` took than ``other``, round by round: median and extremes."""
    return spread([one / two for one, two in zip(first, other, strict=True)], ".2f")


def table(timed: Mapping[str, Timed], title: str) -> str:
    """A table of ways: seconds, and how many times faster each is than the first one."""
    (first, reference), *_ = timed.items()
    heads = ["", "wall s", "processor s", f"x {first}, wall", f"x {first}, processor"]
    rows = [
        [
            name,
            spread(way.wall),
            spread(way.processor),
            ratios(reference.wall, way.wall),
            ratios(reference.processor, way.processor),
        ]
        for name, way in timed.items()
    ]
    rounds = len(reference.wall)
    return f"\n{title} (median [least, most] of {rounds} rounds in turn)\n{aligned([heads, *rows])}"


def aligned(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells in columns."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )
