"""What judges say of traces, and why targets were missed, as charts."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from covrr_utils.plotting.charts import MARKERS, points
from covrr_utils.plotting.style import PALETTE


def score_and_recall(table: pd.DataFrame, title: str, judge: str) -> plt.Figure:
    """Recall at 1 over Reasoning Score, one point per strategy: columns strategy, score, R@1, and
    of both the bounds ``... low`` and ``... high``.
    """
    figure, axis = plt.subplots(figsize=(6.6, 3.6), layout="constrained")
    for number, row in enumerate(table.to_dict("records")):
        across, up = (
            [[row[of] - row[f"{of} low"]], [row[f"{of} high"] - row[of]]] for of in ("score", "R@1")
        )
        axis.errorbar(
            row["score"],
            row["R@1"],
            xerr=across,
            yerr=up,
            fmt=MARKERS[number % len(MARKERS)],
            color=PALETTE[number % len(PALETTE)],
            ms=6,
            capsize=3,
            lw=1.2,
            label=row["strategy"],
        )
    axis.set(
        xlabel=f"Reasoning Score, judge {judge} (0-10, 95 % interval)",
        ylabel="R@1, % (95 % interval)",
        title=title,
    )
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def judges_on_sabotage(table: pd.DataFrame, title: str) -> plt.Figure:
    """What each judge gives to each kind of trace, one line per kind: columns judge, traces, score,
    low, high.
    """
    kinds, judges = (table[column].drop_duplicates().tolist() for column in ("traces", "judge"))
    figure, axis = plt.subplots(figsize=(8.2, 0.9 + 0.6 * len(kinds)), layout="constrained")
    for number, name in enumerate(judges):
        part = table[table["judge"] == name].set_index("traces").reindex(kinds)
        at = np.arange(len(kinds)) + 0.2 * (number - (len(judges) - 1) / 2)
        points(axis, part, at, PALETTE[number], MARKERS[number], name, of="score")
    axis.set(
        yticks=range(len(kinds)),
        yticklabels=kinds,
        ylim=(len(kinds) - 0.5, -0.5),
        xlim=(-0.4, 10.4),
        title=title,
        xlabel="Reasoning Score (0-10, 95 % interval)",
    )
    axis.grid(axis="y", visible=False)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def shares_of_misses(
    table: pd.DataFrame, strategies: Sequence[str], order: Sequence[str], title: str
) -> plt.Figure:
    """Which video took the target's place: a group of bars per kind in ``order``, a bar per
    strategy; columns strategy, kind, share, low, high.
    """
    figure, axis = plt.subplots(figsize=(7.2, 0.9 + 0.42 * len(order)), layout="constrained")
    height = 0.8 / len(strategies)
    for number, (name, colour) in enumerate(zip(strategies, PALETTE)):
        part = (
            table[table["strategy"] == name]
            .set_index("kind")[["share", "low", "high"]]
            .reindex(order)
            .fillna(0)
        )
        errors = np.clip([part["share"] - part["low"], part["high"] - part["share"]], 0, None)
        at = np.arange(len(order)) + height * (number - (len(strategies) - 1) / 2)
        axis.barh(
            at,
            part["share"],
            0.95 * height,
            xerr=errors,
            color=colour,
            label=name,
            error_kw={"capsize": 2, "lw": 1.2},
        )
    axis.set(
        yticks=range(len(order)),
        yticklabels=[kind.replace("_", " ") for kind in order],
        xlabel="share of the misses, % (95 % interval)",
        title=title,
    )
    axis.grid(axis="y", visible=False)
    axis.invert_yaxis()
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure
