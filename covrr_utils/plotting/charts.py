"""Measured numbers as charts: every point with its interval, what was published always in a panel
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from covrr_utils.plotting.style import PALETTE, QUIET
from covrr_utils.plotting.tables import KIND

MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def points(
    axis: plt.Axes,
    table: pd.DataFrame,
    at: ArrayLike,
    colour: ColorType,
    marker: str = "o",
    label: str | None = None,
    size: float = 6,
    of: str = "recall",
) -> None:
    """Points of the column ``of`` with horizontal intervals (low, high) at the heights ``at``."""
    errors = np.clip([table[of] - table["low"], table["high"] - table[of]], 0, None)
    axis.errorbar(
        table[of],
        at,
        xerr=errors,
        fmt=marker,
        color=colour,
        ms=size,
        capsize=2.5,
        lw=1.2,
        label=label,
    )


def forest(
    table: pd.DataFrame,
    title: str,
    paper: pd.DataFrame | None = None,
    groups: str | None = None,
    k: int = 1,
) -> plt.Figure:
    """One line per row of ``table`` (name, recall, low, high), top to bottom; rows of one
    ``groups`` value share a colour.

    ``paper`` (name, recall) goes into a panel of its own: the two kinds of number have no common
    scale.
    """
    height = 0.9 + 0.27 * max(len(table), 0 if paper is None else len(paper))
    widths = [1] if paper is None else [1.9, 1]
    size = (7.2 if paper is None else 10.4, height)
    figure, axes = plt.subplots(
        1, len(widths), figsize=size, width_ratios=widths, squeeze=False, layout="constrained"
    )
    axis = axes[0, 0]
    names = table[groups].drop_duplicates().tolist() if groups else [None]
    for number, name in enumerate(names):
        part = table if name is None else table[table[groups] == name]
        points(
            axis,
            part,
            [-list(table.index).index(i) for i in part.index],
            PALETTE[number % len(PALETTE)],
            MARKERS[number % len(MARKERS)],
            name,
        )
    axis.set(
        yticks=-np.arange(len(table)),
        yticklabels=table["name"],
        ylim=(-len(table) + 0.4, 0.6),
        xlabel=f"R@{k}, % (95 % interval)",
        title=title,
    )
    axis.set_xlim(left=min(0, axis.get_xlim()[0]))
    if groups:
        axis.legend(loc="lower left", bbox_to_anchor=(1.0, 0.0), frameon=False)
    if paper is not None:
        other = axes[0, 1]
        other.plot(paper["recall"], -np.arange(len(paper)), "o", color=QUIET, ms=7)
        for place, value in enumerate(paper["recall"]):
            other.annotate(
                f"{value:.2f}",
                (value, -place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        other.set(
            yticks=-np.arange(len(paper)),
            yticklabels=paper["name"],
            ylim=(-len(paper) + 0.4, 0.6),
            xlim=(0, 1.25 * paper["recall"].max()),
            xlabel=f"R@{k}, %",
            title=KIND,
        )
    return figure


def by_tag(table: pd.DataFrame, title: str, k: int = 1) -> plt.Figure:
    """Recall by tag (groups of lines) and name (colours and markers), with intervals."""
    tags, names = table["tag"].drop_duplicates().tolist(), table["name"].drop_duplicates().tolist()
    figure, axis = plt.subplots(
        figsize=(8.2, 0.8 + 0.2 * len(tags) * (len(names) + 1)), layout="constrained"
    )
    step = 0.8 / len(names)
    for number, name in enumerate(names):
        part = table[table["name"] == name]
        at = [-tags.index(tag) - step * (number - (len(names) - 1) / 2) for tag in part["tag"]]
        points(
            axis, part, at, PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)], name, 5
        )
    counts = table.groupby("tag")["n"].first()
    axis.set(
        yticks=-np.arange(len(tags)),
        yticklabels=[f"{tag} ({counts[tag]})" for tag in tags],
        xlabel=f"R@{k}, % (95 % interval)",
        title=title,
    )
    axis.set_xlim(left=0)
    for boundary in range(len(tags) - 1):
        axis.axhline(-boundary - 0.5, color="0.85", lw=0.8)
    axis.grid(axis="y", visible=False)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def gain_and_cost(table: pd.DataFrame, title: str) -> plt.Figure:
    """Recall at 1 with interval over the tokens written per query: columns name, recall, low, high,
    tokens.

    A point that would cover an earlier one stands a little to its right.
    """
    figure, axis = plt.subplots(figsize=(6.6, 3.6), layout="constrained")
    errors = np.clip([table["recall"] - table["low"], table["high"] - table["recall"]], 0, None)
    near = 0.025 * table["tokens"].max()
    for number, row in table.reset_index(drop=True).iterrows():
        before = table.iloc[:number]
        covered = (
            (abs(before["tokens"] - row["tokens"]) < near)
            & (before["low"] <= row["high"])
            & (row["low"] <= before["high"])
        )
        axis.errorbar(
            row["tokens"] + near * covered.sum(),
            row["recall"],
            yerr=errors[:, number, None],
            fmt=MARKERS[number % len(MARKERS)],
            color=PALETTE[number % len(PALETTE)],
            ms=7,
            capsize=3,
            lw=1.2,
            label=row["name"],
        )
    axis.set(
        xlabel="tokens written per query",
        ylabel="R@1, % (95 % interval)",
        title=title,
        ylim=(0, None),
        xlim=(0, None),
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def scaling(
    table: pd.DataFrame,
    panels: Mapping[str, Sequence[str]],
    title: str,
    paper: pd.DataFrame | None = None,
) -> plt.Figure:
    """Measures against parameters (log scale); what was published in a last panel of its own.

    ``table``: column ``parameters``, and for each measure its values, with ``<measure> low`` and
    ``<measure> high`` where it has an interval. ``panels``: label of the axis -> the measures drawn
    in it. ``paper``: columns ``name``, ``size`` (in 10^9 parameters as named), ``recall``.
    """
    count = len(panels) + (paper is not None)
    figure, axes = plt.subplots(
        1, count, figsize=(4 * count, 3.6), squeeze=False, layout="constrained"
    )
    for axis, (label, measures) in zip(axes[0], panels.items()):
        for number, (measure, marker) in enumerate(zip(measures, "osD^v")):
            errors = None
            if f"{measure} low" in table:
                errors = np.clip(
                    [
                        table[measure] - table[f"{measure} low"],
                        table[f"{measure} high"] - table[measure],
                    ],
                    0,
                    None,
                )
            axis.errorbar(
                table["parameters"],
                table[measure],
                yerr=errors,
                fmt=f"{marker}-",
                color=PALETTE[number],
                capsize=3,
                lw=1.2,
                label=measure,
            )
        if len(measures) > 1:
            axis.legend(ncols=(len(measures) + 1) // 2)
        ends = table["parameters"].min() / 1.6, table["parameters"].max() * 1.6
        axis.set(xscale="log", xlabel="parameters", ylabel=label, title=title, xlim=ends)
        axis.set_xticks(
            table["parameters"], [f"{value / 1e6:.1f} M" for value in table["parameters"]]
        )
        axis.minorticks_off()
    if paper is not None:
        axis = axes[0, -1]
        axis.plot(paper["size"], paper["recall"], "o", color=QUIET, ms=7)
        for _, row in paper.iterrows():
            axis.annotate(
                row["name"],
                (row["size"], row["recall"]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        axis.set(
            xscale="log",
            xlabel="parameters, as named",
            ylabel="R@1, %",
            title=KIND,
            xlim=(2, 150),
            ylim=(40, 60),
        )
        axis.set_xticks(paper["size"], [f"{value:g} B" for value in paper["size"]])
        axis.minorticks_off()
    return figure
