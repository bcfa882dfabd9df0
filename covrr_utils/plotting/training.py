"""How a mini backbone learned, as a chart."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import empty_figure, plain_text
from covrr_utils.plotting.marks import NOTHING, headed, legend, marker_of
from covrr_utils.plotting.style import colour_of


def training_curve(
    table: pd.DataFrame, stages: Sequence[tuple[str, int]], title: str
) -> plt.Figure:
    """Loss over steps (columns ``step``, ``loss``), the stages (name, steps) shaded behind it."""
    if table.empty:
        return empty_figure(title, NOTHING)
    figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
    axis.plot(table["step"], table["loss"], color=colour_of(0))
    start = 0
    for name, steps in stages:
        colour = colour_of(1 if name == "vision" else 2)
        axis.axvspan(start, start + steps, color=colour, alpha=0.12, lw=0)
        # narrower bands have no room for a name; their colour tells
        if steps > 0.08 * sum(count for _, count in stages):
            axis.text(
                start + steps / 2,
                0.93,
                name,
                ha="center",
                va="top",
                transform=axis.get_xaxis_transform(),
                fontsize=9,
            )
        start += steps
    axis.set(xlim=(0, start or None), xlabel="step", ylabel="loss, nats", yscale="log")
    headed(axis, title, 6.0)
    return plain_text(figure)


def learning_curves(table: pd.DataFrame, columns: Sequence[str], title: str) -> plt.Figure:
    """Percent that is right over lessons (column ``lesson``), a line for each of ``columns``."""
    if table.empty:
        return empty_figure(title, NOTHING)
    figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
    handles = [
        axis.plot(
            table["lesson"], table[name], marker=marker_of(number), ms=4, color=colour_of(number)
        )[0]
        for number, name in enumerate(columns)
    ]
    axis.set(xlabel="lesson", ylabel="stated rightly, %", ylim=(-4, 104))
    headed(axis, title, 5.5)
    legend(axis, handles, columns)
    return plain_text(figure)
