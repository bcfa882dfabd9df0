"""What work costs as the gallery grows."""

from __future__ import annotations

import matplotlib.pyplot as plt

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import empty_figure, plain_text
from covrr_utils.plotting.marks import NOTHING, errors, headed, legend, marker_of
from covrr_utils.plotting.style import colour_of


def growth(table: pd.DataFrame, title: str) -> plt.Figure:
    """Processor seconds against videos in the gallery, both in logarithms, a line for each ``name``
    with the least and the most that was measured (``seconds``, ``low``, ``high``).
    """
    if table.empty:
        return empty_figure(title, NOTHING)
    width = 6.4
    figure, axis = plt.subplots(figsize=(width, 3.8), layout="constrained")
    series = table["name"].drop_duplicates().tolist()
    handles = []
    for number, name in enumerate(series):
        part = table[table["name"] == name].sort_values("videos")
        handles.append(
            axis.errorbar(
                part["videos"],
                part["seconds"],
                yerr=errors(part, "seconds", "low", "high"),
                fmt=f"-{marker_of(number)}",
                color=colour_of(number),
                ms=6,
                capsize=2.5,
                lw=1.4,
            )
        )
    axis.set(xscale="log", yscale="log", xlabel="videos in the gallery", ylabel="processor seconds")
    headed(axis, title, width)
    legend(axis, handles, series, loc="lower right", bbox_to_anchor=(1.0, 0.0))
    return plain_text(figure)
