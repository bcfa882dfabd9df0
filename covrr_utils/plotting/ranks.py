"""Ranks in a picture: at which rank the targets stand."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from covrr_utils.plotting.lettering import empty_figure, plain_text
from covrr_utils.plotting.marks import headed
from covrr_utils.plotting.style import colour_of
from covrr_utils.retrieval.metrics import Ranks

EDGES = (1, 2, 6, 11, 51, 201)  # the first rank of every group


def rank_histogram(ranks: Mapping[str, Ranks], gallery_size: int, title: str = "") -> plt.Figure:
    """How many targets stand at which rank, for each named run: ranks in groups that begin at the
    `EDGES`, what failed in a group of its own.
    """
    if not any(len(values) for values in ranks.values()):
        return empty_figure(title, "There is no rank to show.")
    edges = [edge for edge in EDGES if edge <= gallery_size] + [gallery_size + 1]
    groups = list(zip(edges, edges[1:]))
    names = [f"{a}" if b == a + 1 else f"{a} to {b - 1}" for a, b in groups] + ["no rank"]
    across = 7.0
    figure, axis = plt.subplots(figsize=(across, 3.2 if title else 2.9), layout="constrained")
    width = 0.8 / len(ranks)
    for number, (name, values) in enumerate(ranks.items()):
        known = [rank for rank in values if rank is not None]
        counts = [sum(a <= rank < b for rank in known) for a, b in groups]
        counts.append(len(values) - len(known))
        places = np.arange(len(names)) + width * (number - (len(ranks) - 1) / 2)
        label, colour = name.replace("_", " "), colour_of(number, name)
        bars = axis.bar(places, counts, width, label=label, color=colour)
        axis.bar_label(bars, fontsize=8)
    axis.set_xticks(range(len(names)), names)
    axis.set(xlabel="rank of the target", ylabel="triplets")
    axis.grid(axis="x", visible=False)
    axis.legend(loc="upper right")
    headed(axis, title, 0.9 * across)
    return plain_text(figure)
