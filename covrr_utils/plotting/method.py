"""The method in one drawing: as a map of its stages with some of them lit, and with a real triplet
flowing through it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.patches import Rectangle
from matplotlib.typing import ColorType

from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.results import QueryRank
from covrr_utils.experiments.stored import Described, DescribedQuery
from covrr_utils.plotting.boxes import INK, arrow, box, canvas, place
from covrr_utils.plotting.lettering import columns, plain_text, wrapped
from covrr_utils.plotting.panels import Seen, middle, seen, show_image
from covrr_utils.plotting.style import HIT, QUIET, REFERENCE
from covrr_utils.retrieval.pooling import pool
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import Clip

STAGES = {  # of the method: what goes on there
    "triplet": "reference video\nand edit",
    "reason": "a trace of what\nthe edit changes",
    "describe": "the video after the\nedit, in words",
    "pool": "token states,\none vector",
    "rank": "the gallery,\nby cosine",
}

SHOWN = 5  # videos of a ranking


def method_map(lit: Collection[str]) -> plt.Figure:
    """The stages of the method in a row, those of ``lit`` in colour, the others grey.

    Raises
    ------
    ValueError
        If ``lit`` names a stage that is not one of `STAGES`.
    """
    if unknown := [stage for stage in lit if stage not in STAGES]:
        raise ValueError(f"unknown stage {unknown[0]!r}; known: {', '.join(STAGES)}")
    across, width = 9.6, 1.62
    figure, axis = canvas(across, 1.0)
    step = (across - width - 0.1) / (len(STAGES) - 1)
    for number, (stage, what) in enumerate(STAGES.items()):
        left, bright = 0.05 + step * number, stage in lit
        fill, edge = ((*REFERENCE, 0.18), REFERENCE) if bright else ("0.96", "0.75")
        box(axis, (left, 0.1), (width, 0.8), fill, edge)
        ink = INK if bright else "0.5"
        weight = "bold" if bright else "normal"
        middle_of = left + width / 2
        axis.text(middle_of, 0.72, stage, ha="center", va="center", color=ink, weight=weight)
        axis.text(middle_of, 0.36, what, ha="center", va="center", color=ink, fontsize=8)
        if number:
            arrow(axis, (left - step + width + 0.06, 0.5), (left - 0.06, 0.5))
    return plain_text(figure)


@dataclass(frozen=True)
class Flow:
    """A triplet on its way through the method.

    ``query`` and ``target`` are the pooled vectors (D,), each of length 1; ``ranked`` holds the
    first videos with their cosines, ``hit`` the place of the target among them from 0, None where
    it is not among them.
    """

    reference: Seen
    edit: str
    trace: ReasoningTrace | None
    description: str
    query: Float[np.ndarray, " D"]
    target: Seen
    target_description: str
    target_vector: Float[np.ndarray, " D"]
    ranked: Sequence[tuple[Seen, float]]
    hit: int | None


def flow(
    clip_of: Callable[[str], Clip],
    triplet: Triplet,
    query: DescribedQuery,
    target: Described,
    row: QueryRank,
) -> Flow:
    """What became of a triplet, to be drawn: ``query`` is what a strategy wrote, ``target`` the
    description of its target, ``row`` the triplet's line of a result.
    """
    ranked = list(zip(row["top"][:SHOWN], row["scores"]))
    videos = [video for video, _ in ranked]
    return Flow(
        seen(clip_of, triplet.reference),
        triplet.edit,
        query.trace,
        query.text,
        pool(query.description),
        seen(clip_of, triplet.target),
        target.text,
        pool(target.description),
        [(seen(clip_of, video), score) for video, score in ranked],
        videos.index(triplet.target) if triplet.target in videos else None,
    )


def method_figure(flow: Flow) -> plt.Figure:
    """The two paths of the method, one above the other: from reference and edit over the trace and
    a description to a vector, and from a gallery video over a description to a vector; the cosine
    of the two ranks the gallery.
    """
    figure, axis = canvas(12.4, 5.5)
    _heads(axis)
    _picture(figure, flow.reference, (0.15, 3.45), 1.3, REFERENCE)
    axis.text(0.15, 3.35, wrapped(f"“{flow.edit}”", 20, 2), va="top", fontsize=10, style="italic")
    _text(axis, (2.0, 3.0), (2.95, 1.75), _lines(flow.trace), REFERENCE)
    _text(axis, (5.35, 3.0), (3.0, 1.75), wrapped(flow.description, columns(2.8, 10), 7), REFERENCE)
    _strip(axis, flow.query, (8.9, 3.0), 1.75)
    for left, right in ((1.55, 1.92), (5.02, 5.27), (8.43, 8.8)):
        arrow(axis, (left, 3.9), (right, 3.9), REFERENCE)
    _picture(figure, flow.target, (0.15, 0.75), 1.3, QUIET)
    axis.text(0.15, 0.65, "every gallery video", va="top", fontsize=10)
    words = wrapped(flow.target_description, columns(2.8, 10), 7)
    _text(axis, (5.35, 0.5), (3.0, 1.75), words, QUIET)
    _strip(axis, flow.target_vector, (8.9, 0.5), 1.75)
    arrow(axis, (1.6, 1.4), (5.27, 1.4), QUIET)
    axis.text(3.4, 1.5, "the same model, the same request", ha="center", fontsize=10, color="0.35")
    arrow(axis, (8.43, 1.4), (8.8, 1.4), QUIET)
    cosine = float(flow.query @ flow.target_vector)
    axis.text(9.05, 2.62, f"cosine\n{cosine:.4f}", ha="center", va="center", fontsize=10)
    arrow(axis, (9.45, 2.62), (10.0, 2.62), INK)
    for number, (video, score) in enumerate(flow.ranked):
        low = 3.95 - 0.95 * number
        colour = HIT if number == flow.hit else None
        _picture(figure, video, (10.35, low), 0.85, colour)
        axis.text(10.25, low + 0.42, f"{number + 1}", ha="right", va="center", fontsize=10)
        note = f"{score:.4f}" + ("\nthe target" if number == flow.hit else "")
        axis.text(11.3, low + 0.42, note, va="center", fontsize=10, color=colour or INK)
    return plain_text(figure)


def _heads(axis: plt.Axes) -> None:
    for left, head in (
        (0.15, "reference + edit"),
        (2.0, "1  Reason: the trace"),
        (5.35, "2  Describe: after the edit"),
        (8.55, "Pool"),
        (10.1, "3  Retrieve"),
    ):
        axis.text(left, 5.15, head, fontsize=11, weight="bold", va="center", color=INK)


def _lines(trace: ReasoningTrace | None) -> str:
    """The trace, a line a slot, none longer than its box; a strategy may write none."""
    if trace is None:
        return "no trace"
    return "\n".join(wrapped(line, columns(2.95, 10), 2) for line in trace.text().split("\n"))


def _picture(
    figure: plt.Figure, clip: Seen, at: tuple[float, float], side: float, colour: ColorType | None
) -> None:
    show_image(place(figure, at, (side, side)), middle(clip), colour=colour, width=3)


def _text(
    axis: plt.Axes, at: tuple[float, float], size: tuple[float, float], words: str, edge: ColorType
) -> None:
    box(axis, at, size, "white", edge)
    axis.text(at[0] + 0.1, at[1] + size[1] / 2, words, va="center", fontsize=10, color=INK)


def _strip(
    axis: plt.Axes, vector: Float[np.ndarray, " D"], at: tuple[float, float], height: float
) -> None:
    """The vector as a column of coloured cells: at most 24 means of neighbouring values."""
    cells = np.array([part.mean() for part in np.array_split(vector, min(24, len(vector)))])
    shades = 0.5 + 0.5 * cells / max(float(np.abs(cells).max()), 1e-9)
    step = height / len(cells)
    for row, shade in enumerate(shades):
        low = at[1] + height - step * (row + 1)
        colour = plt.get_cmap("RdBu_r")(float(shade))
        axis.add_patch(Rectangle((at[0], low), 0.3, step, facecolor=colour, linewidth=0))
