"""What judges say of traces, and why targets were missed, as charts."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import empty_figure, names, plain_text, wrapped
from covrr_utils.plotting.marks import NOTHING, errors, headed, legend, marker_of, points
from covrr_utils.plotting.style import colour_of


def score_and_recall(table: pd.DataFrame, title: str, judge: str) -> plt.Figure:
    """Recall at 1 over Reasoning Score, one point per strategy: columns strategy, score, R@1, and
    of both the bounds ``... low`` and ``... high``.
    """
    if table.empty:
        return empty_figure(title, NOTHING)
    figure, axis = plt.subplots(figsize=(6.6, 3.6), layout="constrained")
    handles = [
        axis.errorbar(
            row["score"],
            row["R@1"],
            xerr=errors(row, "score", "score low", "score high"),
            yerr=errors(row, "R@1", "R@1 low", "R@1 high"),
            fmt=marker_of(number),
            color=colour_of(number, row["strategy"]),
            ms=6,
            capsize=3,
            lw=1.2,
        )
        for number, row in enumerate(table.to_dict("records"))
    ]
    axis.set(
        xlabel=wrapped(f"Reasoning Score, judge {judge} (0-10, 95 % interval)", 60),
        ylabel="R@1, % (95 % interval)",
    )
    headed(axis, title, 4.5)
    legend(axis, handles, table["strategy"])
    return plain_text(figure)


def judges_on_sabotage(table: pd.DataFrame, title: str) -> plt.Figure:
    """What each judge gives to each kind of trace, one line per kind: columns judge, traces, score,
    low, high.
    """
    if table.empty:
        return empty_figure(title, NOTHING)
    kinds, judges = (table[column].drop_duplicates().tolist() for column in ("traces", "judge"))
    figure, axis = plt.subplots(figsize=(8.2, 0.9 + 0.6 * len(kinds)), layout="constrained")
    handles = []
    for number, name in enumerate(judges):
        part = table[table["judge"] == name].set_index("traces").reindex(kinds)
        at = np.arange(len(kinds)) + 0.2 * (number - (len(judges) - 1) / 2)
        handles.append(points(axis, part.astype({"score": float}), at, number, of="score"))
    axis.set(
        yticks=range(len(kinds)),
        yticklabels=names(kinds),
        ylim=(len(kinds) - 0.5, -0.5),
        xlim=(-0.4, 10.4),
        xlabel="Reasoning Score (0-10, 95 % interval)",
    )
    headed(axis, title, 5.5)
    axis.grid(axis="y", visible=False)
    legend(axis, handles, judges)
    return plain_text(figure)


def shares_of_misses(
    table: pd.DataFrame, strategies: Sequence[str], order: Sequence[str], title: str
) -> plt.Figure:
    """Which video took the target's place: a group of bars per kind in ``order``, a bar per
    strategy; columns strategy, kind, share, low, high.
    """
    if table.empty or not order or not strategies:
        return empty_figure(title, "There is no miss to explain.")
    figure, axis = plt.subplots(figsize=(7.2, 0.9 + 0.42 * len(order)), layout="constrained")
    height = 0.8 / len(strategies)
    handles = []
    for number, name in enumerate(strategies):
        part = (
            table[table["strategy"] == name]
            .set_index("kind")[["share", "low", "high"]]
            .reindex(order)
            .fillna(0)
        )
        at = np.arange(len(order)) + height * (number - (len(strategies) - 1) / 2)
        handles.append(
            axis.barh(
                at,
                part["share"],
                0.95 * height,
                xerr=errors(part, "share", "low", "high"),
                color=colour_of(number, name),
                error_kw={"capsize": 2, "lw": 1.2},
            )
        )
    axis.set(
        yticks=range(len(order)),
        yticklabels=names(kind.replace("_", " ") for kind in order),
        xlabel="share of the misses, % (95 % interval)",
    )
    headed(axis, title, 5.0)
    axis.grid(axis="y", visible=False)
    axis.invert_yaxis()
    legend(axis, handles, strategies)
    return plain_text(figure)
