"""What charts are made of: a colour and a marker for each name, intervals, legends, labels that
stand beside their points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.legend import Legend
from numpy.typing import ArrayLike

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import EM, columns, names, plain_text, wrapped
from covrr_utils.plotting.style import colour_of

MARKERS = ("o", "s", "D", "^", "v", "P", "X")

LABEL_SIZE, LABEL_HEIGHT, GAP = 9, 12, 8  # points: letters, a line, from a point to its name

ROUND = 5  # points that a marker reaches to each side

Box = tuple[float, float, float, float]  # points: left, bottom, right, top

NOTHING = "There is nothing to draw: the table has no rows."


def marker_of(number: int) -> str:
    """The marker of the series of this number."""
    return MARKERS[number % len(MARKERS)]


def errors(table: pd.DataFrame | Mapping[str, Any], of: str, low: str, high: str) -> np.ndarray:
    """Lengths (2, N) of the intervals below and above the column ``of``; never negative, although
    bounds that were rounded may lie on the wrong side of their value.
    """
    value, bottom, top = (np.atleast_1d(np.asarray(table[name], float)) for name in (of, low, high))
    return np.clip(np.stack([value - bottom, top - value]), 0, None)


def points(
    axis: plt.Axes,
    table: pd.DataFrame,
    at: ArrayLike,
    number: int = 0,
    size: float = 6,
    of: str = "recall",
    name: object = "",
) -> Any:
    """Points of the column ``of`` with horizontal intervals (low, high) at the heights ``at``, in
    the colour and marker of series ``number``, or of the strategy that is its ``name``; the handle
    for a legend.
    """
    return axis.errorbar(
        table[of],
        at,
        xerr=errors(table, of, "low", "high"),
        fmt=marker_of(number),
        color=colour_of(number, name),
        ms=size,
        capsize=2.5,
        lw=1.2,
    )


def legend(axis: plt.Axes, handles: Sequence[Any], texts: Sequence[object], **where: Any) -> Legend:
    """Names of series beside the chart, long ones wrapped; also those that begin with ``_``."""
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
    options: dict[str, Any] = beside | where
    shown = axis.legend(handles, [str(number) for number in range(len(handles))], **options)
    for entry, text in zip(shown.get_texts(), names(texts, 22, lines=2)):
        entry.set_text(text)
    return shown


def headed(axis: plt.Axes, title: str, inches: float) -> None:
    """The title of a chart, wrapped to its width: the finding, and below it in smaller letters what
    it was found on, where the title has a second line.
    """
    finding, _, run = title.partition("\n")
    axis.set_title(wrapped(finding, columns(inches, 11)), pad=20 if run else None)
    if run:
        axis.annotate(
            wrapped(run, columns(inches, 9), lines=1),
            (0.5, 1),
            xytext=(0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color="0.35",
        )


def label_points(
    figure: plt.Figure,
    axis: plt.Axes,
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    spans: tuple[Sequence[float], Sequence[float]] | None = None,
) -> None:
    """A name beside every point, where it covers no point, no interval (``spans``: their lower and
    upper ends) and no other name: right of the point or left of it, else further up or down, with a
    line to the point. Points are never moved.
    """
    shown = names(texts, 24)
    low, high = (y, y) if spans is None else spans
    plain_text(figure).draw_without_rendering()  # so that the layout is known
    places, bottoms, tops = (_in_points(figure, axis, x, heights) for heights in (y, low, high))
    taken: list[Box] = [
        (across - ROUND, min(least, up - ROUND), across + ROUND, max(most, up + ROUND))
        for (across, up), (_, least), (_, most) in zip(places, bottoms, tops)
    ]
    frame = axis.get_window_extent()
    left, right = (72 * edge / figure.dpi for edge in (frame.x0, frame.x1))
    bottom, top = (72 * edge / figure.dpi for edge in (frame.y0, frame.y1))
    for number in sorted(range(len(texts)), key=lambda i: (-places[i][1], places[i][0])):
        across, up = places[number]
        around = list(_beside(across, up, EM * LABEL_SIZE * len(shown[number])))
        free = [
            (side, rise, box)
            for side, rise, box in around
            if left < box[0] and box[2] < right and bottom < box[1] and box[3] < top
        ] or around[:1]
        side, rise, box = min(
            free, key=lambda place: sum(_meet(place[2], other) for other in taken)
        )
        taken.append(box)
        axis.annotate(
            shown[number],
            (x[number], y[number]),
            xytext=(side * GAP, rise),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=LABEL_SIZE,
            color="0.2",
            arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.7} if rise else None,
        )


def _in_points(
    figure: plt.Figure, axis: plt.Axes, x: Sequence[float], y: Sequence[float]
) -> np.ndarray:
    return axis.transData.transform(np.column_stack([x, y])) * 72 / figure.dpi


def _beside(across: float, up: float, width: float) -> Iterator[tuple[int, float, Box]]:
    """Places for a name, the nearest first: side of the point, height above it, and box."""
    for step in range(8):
        for rise in dict.fromkeys((step * LABEL_HEIGHT, -step * LABEL_HEIGHT)):
            for side in (1, -1):
                near, far = sorted((across + side * GAP, across + side * (GAP + width)))
                half = LABEL_HEIGHT / 2
                yield side, rise, (near, up + rise - half, far, up + rise + half)


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
