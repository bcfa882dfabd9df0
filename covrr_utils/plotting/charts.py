"""Measured numbers as charts: every point where it was measured, with its interval; what was
published always in a panel of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import empty_figure, names, plain_text, words, wrapped
from covrr_utils.plotting.marks import (
    NOTHING,
    errors,
    headed,
    label_points,
    legend,
    marker_of,
    points,
)
from covrr_utils.plotting.style import QUIET, colour_of
from covrr_utils.plotting.tables import KIND


def recall_bars(
    results: Sequence[dict], label: str, title: str, ks: Sequence[str] = ("1", "5", "10")
) -> tuple[plt.Figure, pd.DataFrame]:
    """Grouped bars of recall in percent with 95% intervals; one group per K, one colour per value
    of ``label``. Also the table behind it.
    """
    table = pd.DataFrame(
        [
            {
                label: r[label],
                "K": k,
                "recall": 100 * r["recall"][k],
                "low": 100 * r["interval"][k][0],
                "high": 100 * r["interval"][k][1],
                "n": r["triplets"],
                "kind": r["kind"],
            }
            for r in results
            for k in ks
        ]
    )
    if table.empty:
        return empty_figure(title, NOTHING), table
    width = 1.6 + 1.1 * len(ks) * max(2, len(results)) / 2
    figure, axis = plt.subplots(figsize=(width, 3.4), layout="constrained")
    step = 0.8 / len(results)
    handles = []
    for number in range(len(results)):
        part = table.iloc[number * len(ks) : (number + 1) * len(ks)]
        at = np.arange(len(ks)) + step * (number - (len(results) - 1) / 2)
        handles.append(
            axis.bar(
                at,
                part["recall"],
                0.92 * step,
                yerr=errors(part, "recall", "low", "high"),
                capsize=3,
                color=colour_of(number, results[number][label]),
                error_kw={"lw": 1},
            )
        )
        for x, value, high in zip(at, part["recall"], part["high"]):
            axis.text(x, high + 1.5, f"{value:.2f}", ha="center", fontsize=8)
    axis.set(
        xticks=range(len(ks)), xticklabels=[f"R@{k}" for k in ks], ylabel="recall, %", ylim=(0, 112)
    )
    headed(axis, title, width)
    axis.grid(axis="x", visible=False)
    legend(
        axis,
        handles,
        [result[label] for result in results],
        bbox_to_anchor=(0.0, 1.0),
        ncols=min(len(results), 3),
    ).set_in_layout(False)
    return plain_text(figure), table


def forest(
    table: pd.DataFrame,
    title: str,
    paper: pd.DataFrame | None = None,
    groups: str | None = None,
    k: int = 1,
) -> plt.Figure:
    """One line per row of ``table`` (name, recall, low, high), top to bottom; rows of one
    ``groups`` value share a colour. Without groups the strategies have theirs.

    ``paper`` (name, recall) goes into a panel of its own: the two kinds of number have no common
    scale.
    """
    if table.empty:
        return empty_figure(title, NOTHING)
    table = table.reset_index(drop=True)
    height = 0.9 + 0.27 * max(len(table), 0 if paper is None else len(paper))
    widths = [1] if paper is None else [1.9, 1]
    size = (7.2 if paper is None else 10.4, height)
    figure, axes = plt.subplots(
        1, len(widths), figsize=size, width_ratios=widths, squeeze=False, layout="constrained"
    )
    axis = axes[0, 0]
    series = table[groups].drop_duplicates().tolist() if groups else []
    handles = []
    for number, name in enumerate(series):
        part = table[table[groups] == name]
        handles.append(points(axis, part, -part.index.to_numpy(), number, name=name))
    if not groups:
        for place, name in enumerate(table["name"]):
            points(axis, table.iloc[[place]], [-place], name=name)
    axis.set(
        yticks=-np.arange(len(table)),
        yticklabels=names(table["name"]),
        ylim=(-len(table) + 0.4, 0.6),
        xlabel=f"R@{k}, % (95 % interval)",
    )
    headed(axis, title, 0.6 * size[0])
    axis.set_xlim(left=min(0, axis.get_xlim()[0]))
    if groups:
        legend(axis, handles, series, loc="lower left", bbox_to_anchor=(1.0, 0.0))
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
            yticklabels=names(paper["name"]),
            ylim=(-len(paper) + 0.4, 0.6),
            xlim=(0, 1.25 * paper["recall"].max() if len(paper) else 1),
            xlabel=f"R@{k}, %",
            title=KIND,
        )
    return plain_text(figure)


def by_tag(table: pd.DataFrame, title: str, k: int = 1) -> plt.Figure:
    """Recall by tag (groups of lines) and name (colours and markers), with intervals."""
    if table.empty:
        return empty_figure(title, NOTHING)
    tags, series = table["tag"].drop_duplicates().tolist(), table["name"].drop_duplicates().tolist()
    figure, axis = plt.subplots(
        figsize=(8.2, 0.8 + 0.2 * len(tags) * (len(series) + 1)), layout="constrained"
    )
    step = 0.8 / len(series)
    handles = []
    for number, name in enumerate(series):
        part = table[table["name"] == name]
        at = [-tags.index(tag) - step * (number - (len(series) - 1) / 2) for tag in part["tag"]]
        handles.append(points(axis, part, at, number, 5, name=name))
    counts = table.groupby("tag")["n"].first()
    axis.set(
        yticks=-np.arange(len(tags)),
        yticklabels=names(f"{tag} ({counts[tag]})" for tag in tags),
        xlabel=f"R@{k}, % (95 % interval)",
    )
    headed(axis, title, 5.5)
    axis.set_xlim(left=0)
    for boundary in range(len(tags) - 1):
        axis.axhline(-boundary - 0.5, color="0.85", lw=0.8)
    axis.grid(axis="y", visible=False)
    legend(axis, handles, series)
    return plain_text(figure)


def gain_and_cost(
    table: pd.DataFrame,
    title: str,
    cost: str = "tokens",
    label: str = "tokens written per query",
    scale: Literal["linear", "log"] = "linear",
) -> plt.Figure:
    """Recall at 1 with interval over what a query costs: columns name, recall, low, high, and the
    one that ``cost`` names, on an axis of this ``scale``. Every point stands where it was measured;
    names beside points are moved apart. The axis of recall begins a step below the lowest interval.
    """
    if table.empty:
        return empty_figure(title, NOTHING)
    measured = table.dropna(subset=["recall", cost]).reset_index(drop=True)
    if measured.empty:
        return empty_figure(title, f"There is nothing to draw: no {cost} were counted.")
    figure, axis = plt.subplots(figsize=(8.4, 4.4), layout="constrained")
    lengths = errors(measured, "recall", "low", "high")
    for number, row in measured.iterrows():
        axis.errorbar(
            row[cost],
            row["recall"],
            yerr=lengths[:, number, None],
            fmt=marker_of(number),
            color=colour_of(number, row["name"]),
            ms=7,
            capsize=3,
            lw=1.2,
        )
    most = max(measured[cost].max(), 1)
    axis.set(
        xlabel=label,
        ylabel="R@1, % (95 % interval)",
        xscale=scale,
        ylim=(max(0, 10 * (measured["low"].min() // 10 - 1)), None),
        xlim=(0, 1.35 * most) if scale == "linear" else (measured[cost].min() / 3, 3 * most),
    )
    if scale == "log":
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if tick < 3 * most]
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    headed(axis, title, 7.0)
    spans = (measured["recall"] - lengths[0], measured["recall"] + lengths[1])
    label_points(figure, axis, measured[cost], measured["recall"], measured["name"], spans)
    return plain_text(figure)


def scaling(
    table: pd.DataFrame,
    panels: Mapping[str, Sequence[str]],
    titles: Sequence[str],
    paper: pd.DataFrame | None = None,
) -> plt.Figure:
    """Measures against parameters (log scale); what was published in a last panel of its own.

    ``table``: column ``parameters``, and for each measure its values, with ``<measure> low`` and
    ``<measure> high`` where it has an interval. ``panels``: label of the axis -> the measures drawn
    in it; ``titles``: what each of these panels shows. ``paper``: columns ``name``, ``size`` (in
    10^9 parameters as named), ``recall``.
    """
    count = len(panels) + (paper is not None)
    if table.empty or not count:
        return empty_figure("", NOTHING)
    figure, axes = plt.subplots(
        1, count, figsize=(4 * count, 3.6), squeeze=False, layout="constrained"
    )
    for axis, (label, measures), title in zip(
        axes[0, : len(panels)], panels.items(), titles, strict=True
    ):
        handles = [
            axis.errorbar(
                table["parameters"],
                table[measure],
                yerr=(
                    errors(table, measure, f"{measure} low", f"{measure} high")
                    if f"{measure} low" in table
                    else None
                ),
                fmt=f"{marker_of(number)}-",
                color=colour_of(number),
                capsize=3,
                lw=1.2,
            )
            for number, measure in enumerate(measures)
        ]
        if len(measures) > 1:
            beneath = {"loc": "best", "bbox_to_anchor": None, "frameon": True}
            legend(axis, handles, measures, ncols=(len(measures) + 1) // 2, **beneath)
        ends = table["parameters"].min() / 1.6, table["parameters"].max() * 1.6
        axis.set(xscale="log", xlabel="parameters", ylabel=wrapped(words(label), 40), xlim=ends)
        headed(axis, title, 3.6)
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
    return plain_text(figure)
