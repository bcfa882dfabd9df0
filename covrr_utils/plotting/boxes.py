"""Boxes and arrows on a canvas whose unit is the inch: of these the drawings of the method and of a
model are made.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch
from matplotlib.typing import ColorType

from covrr_utils.plotting.style import QUIET

INK = "0.15"  # of the words


def canvas(across: float, down: float) -> tuple[plt.Figure, plt.Axes]:
    """A figure with one axis whose unit is the inch."""
    figure = plt.figure(figsize=(across, down))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, across), ylim=(0, down))
    axis.axis("off")
    return figure, axis


def place(figure: plt.Figure, at: tuple[float, float], size: tuple[float, float]) -> plt.Axes:
    """An axis for a picture on a canvas; ``at`` is its lower left corner, both in inches."""
    across, down = figure.get_size_inches()
    return figure.add_axes((at[0] / across, at[1] / down, size[0] / across, size[1] / down))


def box(
    axis: plt.Axes,
    at: tuple[float, float],
    size: tuple[float, float],
    fill: ColorType,
    edge: ColorType,
) -> None:
    """A box with round corners; ``at`` is its lower left corner, both in inches."""
    axis.add_patch(
        FancyBboxPatch(
            at, *size, boxstyle="round,pad=0,rounding_size=0.08", facecolor=fill, edgecolor=edge
        )
    )


def arrow(
    axis: plt.Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: ColorType = QUIET,
    width: float = 1.6,
) -> None:
    """An arrow from ``start`` to ``end``, in inches; its line is ``width`` points wide."""
    axis.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": width}
    )
