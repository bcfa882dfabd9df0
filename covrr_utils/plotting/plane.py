"""Vectors of many dimensions in a plane, which shows only a part of them and says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float

from covrr_utils.plotting.lettering import empty_figure, plain_text
from covrr_utils.plotting.marks import NOTHING, headed, legend
from covrr_utils.plotting.style import HIT, REFERENCE, colour_of

Plane = Float[np.ndarray, "N 2"]


def vectors_in_a_plane(
    gallery: Plane,
    groups: Sequence[str],
    query: Float[np.ndarray, " 2"],
    target: Float[np.ndarray, " 2"] | None,
    explained: tuple[float, float],
    title: str,
    nearest: Sequence[int] = (),
) -> plt.Figure:
    """The gallery's vectors, a colour a group, with a query and its target among them.

    Parameters
    ----------
    gallery, query, target : places on the first two principal axes
    groups : of every vector of the gallery, what it is coloured by; "" is grey
    explained : the share of the variance that lies along each of the two axes, 0 to 1
    nearest : which of the gallery's vectors are nearest to the query in all dimensions; each gets a
        ring
    """
    if gallery.shape[0] < 2 or gallery.shape[1] < 2:  # a single vector spans no plane
        return empty_figure(title, NOTHING)
    figure, axis = plt.subplots(figsize=(8.0, 5.2), layout="constrained")
    handles, shown = [], []
    labels = np.asarray(groups)
    for number, name in enumerate(dict.fromkeys(sorted(groups))):
        size, colour = (26, colour_of(number + 1)) if name else (14, "0.82")
        part = gallery[labels == name]
        handles.append(axis.scatter(part[:, 0], part[:, 1], s=size, color=[colour], linewidths=0))
        shown.append(name or "others")
    if len(nearest):
        ringed = gallery[list(nearest)]
        ring: dict[str, Any] = {
            "s": 110,
            "facecolor": "none",
            "edgecolor": "black",
            "linewidths": 1.3,
            "zorder": 2,
        }
        handles.append(axis.scatter(ringed[:, 0], ringed[:, 1], **ring))
        shown.append(f"the query's {len(ringed)} nearest in all dimensions")
    for point, colour, marker, name in (
        (query, REFERENCE, "*", "query"),
        (target, HIT, "D", "its target"),
    ):
        if point is not None:
            size = 340 if marker == "*" else 130
            look: dict[str, Any] = {
                "s": size,
                "color": colour,
                "marker": marker,
                "edgecolor": "black",
                "zorder": 3,
            }
            handles.append(axis.scatter(point[0], point[1], **look))
            shown.append(name)
    axis.set(
        xlabel=f"first principal axis, {100 * explained[0]:.1f} % of the variance",
        ylabel=f"second, {100 * explained[1]:.1f} %",
    )
    headed(axis, title, 5.5)
    legend(axis, handles, shown)
    return plain_text(figure)
