"""What charts are made of: a colour and a marker for each name, intervals, legends, labels that
stand beside their points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.legend import Legend
from numpy.typing import ArrayLike

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import columns, names, plain_text, wrapped
from covrr_utils.plotting.style import colour_of

MARKERS = ("o", "s", "D", "^", "v", "P", "X")

LABEL_WIDTH, LABEL_HEIGHT = 105, 11  # points: room for a name beside a point

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
    figure: plt.Figure, axis: plt.Axes, x: Sequence[float], y: Sequence[float], texts: Sequence[str]
) -> None:
    """A name beside every point; names of neighbouring points are moved apart, points never are."""
    shown = names(texts, 22)
    plain_text(figure).draw_without_rendering()  # so that the layout is known
    places = axis.transData.transform(np.column_stack([x, y])) * 72 / figure.dpi
    taken: list[tuple[float, float]] = []
    for number in sorted(range(len(texts)), key=lambda i: -places[i][1]):
        across, up = places[number]
        near = [bottom for other, bottom in taken if abs(other - across) < LABEL_WIDTH]
        height = min([up, *(bottom - LABEL_HEIGHT for bottom in near)])
        taken.append((across, height))
        axis.annotate(
            shown[number],
            (x[number], y[number]),
            xytext=(10, height - up),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="0.25",
            arrowprops={"arrowstyle": "-", "color": "0.7", "lw": 0.6, "shrinkB": 4},
        )
