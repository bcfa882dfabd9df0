"""The paper's three figures, drawn by code: what a query looks like, what a triplet holds, how the
two paths meet.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.typing import ColorType

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.plotting.pictures import middle, show_image
from covrr_utils.plotting.style import HIT, PALETTE, REFERENCE
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, split_assertion
from covrr_utils.video.clips import Clip

CHANGED, KEPT = (0.75, 0.25, 0.0), "0.35"


def query_figure(
    triplets: Sequence[Triplet],
    candidates: Sequence[Sequence[str]],
    reasoning: Sequence[ReasoningTrace],
    clip_of: Callable[[str], Clip],
) -> plt.Figure:
    """Fig. 1: per row the reference, the edit, four candidates with the right one boxed, and the
    reasoning: what changes.

    ``candidates``: four gallery videos per triplet, its target among them, in the order in which
    they are drawn.
    """
    figure, axes = plt.subplots(
        len(triplets),
        7,
        figsize=(13.2, 1.72 * len(triplets) + 0.3),
        width_ratios=[1, 1, 1, 1, 1, 1, 1.75],
        squeeze=False,
        layout="constrained",
    )
    for line, triplet, videos, trace in zip(axes, triplets, candidates, reasoning, strict=True):
        show_image(line[0], middle(clip_of(triplet.reference)), "", REFERENCE)
        _words(line[1], f"“{triplet.edit}”", 16, size=11, weight="bold")
        line[1].set_box_aspect(1)
        for place, video in enumerate(videos):
            show_image(
                line[2 + place],
                middle(clip_of(video)),
                "",
                HIT if video == triplet.target else None,
                width=5,
            )
        changes = [
            f"{slot}: {before} → {after}" for slot, before, after in trace.rows() if before != after
        ]
        _words(
            line[-1],
            "\n".join(textwrap.fill(change, 34, subsequent_indent="   ") for change in changes),
            None,
            size=9,
        )
    for axis in axes[:, -1]:
        axis.set_box_aspect(1 / 1.75)  # as high as the pictures
    for axis, title in zip(
        axes[0],
        [
            "input video",
            "edit",
            "candidate 1",
            "candidate 2",
            "candidate 3",
            "candidate 4",
            "reasoning: what changes",
        ],
    ):
        axis.set_title(title, fontsize=10, color="0.1")
    return figure


def trace_figure(
    triplets: Sequence[Triplet], clip_of: Callable[[str], Clip], frames: int = 3
) -> plt.Figure:
    """Fig. 2: sample triplets, frames before and after the edit, with the structured trace; what
    changes is coloured.
    """
    figure, axes = plt.subplots(
        len(triplets),
        2 * frames + 1,
        figsize=(13.2, 1.85 * len(triplets) + 0.2),
        width_ratios=[1] * (2 * frames) + [2.6],
        squeeze=False,
        layout="constrained",
    )
    for line, triplet in zip(axes, triplets):
        # wider than a frame: kept out of the layout, its height given to the names
        edit = textwrap.wrap(f"“{triplet.edit}”", 20 * (frames - 1))
        target, trace = _whole(triplet)
        for half, (video, colour, name) in enumerate(
            ((triplet.reference, REFERENCE, "reference"), (target, HIT, "target"))
        ):
            clip = clip_of(video)
            for place in range(frames):
                shown = clip.frames[round(place * (len(clip.frames) - 1) / (frames - 1))]
                show_image(line[half * frames + place], shown, "", colour, width=2.5)
            line[half * frames].set_title(
                "\n" * (len(edit) - 1) + name, loc="left", fontsize=9.5, color=colour
            )
        line[1].set_title("\n".join(edit), loc="left", fontsize=9.5, color="0.1").set_in_layout(
            False
        )
        _trace(line[-1], trace)
        line[-1].set_box_aspect(1 / 2.6)
    return figure


def _whole(triplet: Triplet) -> tuple[str, ReasoningTrace]:
    """Target and gold trace of a triplet that has both."""
    if triplet.target is None or triplet.gold_trace is None:
        raise ValueError(f"triplet {triplet.id} has no target or no gold trace to draw")
    return triplet.target, triplet.gold_trace


def _words(axis: plt.Axes, text: str, width: int | None, size: float, **style: Any) -> None:
    axis.axis("off")
    shown = textwrap.fill(text, width) if width else text
    axis.text(
        0.5 if width else 0.02,
        0.5,
        shown,
        ha="center" if width else "left",
        va="center",
        fontsize=size,
        transform=axis.transAxes,
        **style,
    )


def _trace(axis: plt.Axes, trace: ReasoningTrace) -> None:
    """Slot by slot: what stays in grey, what changes in colour with its arrow."""
    axis.axis("off")
    rows = [(slot, item) for slot in SLOTS for item in getattr(trace, slot)]
    for place, (slot, item) in enumerate(rows):
        before, after = split_assertion(item)
        at = 0.97 - place * 0.94 / max(len(rows) - 1, 1)
        axis.text(
            0.02,
            at,
            slot if place == 0 or rows[place - 1][0] != slot else "",
            fontsize=9,
            va="center",
            color="0.1",
            transform=axis.transAxes,
        )
        changed = before != after
        text = f"{before} → {after}" if changed else before
        axis.text(
            0.27,
            at,
            text,
            fontsize=9,
            va="center",
            color=CHANGED if changed else KEPT,
            transform=axis.transAxes,
            weight="bold" if changed else "normal",
        )


# left edge and width of the boxes of both paths
COLUMNS = ((2, 17), (24, 17), (45, 21), (70, 18), (94, 17), (115, 14))

GALLERY_PATH = {
    0: "gallery video",
    1: "vision encoder",
    3: "decoder:\n“describe this video”",
    4: "token states,\nweighted pooling",
    5: "gallery vector",
}

QUERY_PATH = {
    0: "reference video\n+ edit",
    1: "stage 1: reason",
    2: "trace: states, actions,\nscene, camera, tempo",
    3: "stage 2: describe\nafter the edit",
    4: "token states,\nweighted pooling",
    5: "query vector",
}

PATHS = {"gallery path": GALLERY_PATH, "query path": QUERY_PATH}


def two_paths() -> plt.Figure:
    """Fig. 3: the gallery path and the query path through one frozen Qwen3-VL, joined by cosine
    similarity.
    """
    figure, axis = plt.subplots(figsize=(13.2, 4.2), layout="constrained")
    axis.set(xlim=(0, 149), ylim=(-1, 44))
    axis.axis("off")
    _box(axis, 21.8, 0.5, 68.4, 41, PALETTE[0], fill=(*PALETTE[0], 0.07), style="--", lw=1)
    axis.text(
        56,
        21.5,
        "one frozen Qwen3-VL, nothing is trained",
        ha="center",
        va="center",
        fontsize=11,
        style="italic",
        color=PALETTE[0],
    )
    for (name, path), height, colour in zip(PATHS.items(), (33, 10.5), ("0.35", PALETTE[3])):
        axis.text(2, height + 6.2, name, fontsize=10.5, color=colour, weight="bold")
        before: int | None = None
        for column, text in path.items():
            left, width = COLUMNS[column]
            _box(axis, left, height - 4, width, 8, colour)
            axis.text(left + width / 2, height, text, ha="center", va="center", fontsize=9.2)
            if before is not None:
                _arrow(axis, (before + 0.6, height), (left - 0.6, height))
            before = left + width
        _arrow(
            axis,
            ((before or 0) + 0.6, height),
            (140, 25.9 if height > 21 else 16.1),
            connectionstyle=f"arc3,rad={-0.3 if height > 21 else 0.3}",
        )
    _box(axis, 134, 17, 12.5, 8, HIT, fill=(*HIT, 0.15))
    axis.text(140.2, 21, "cosine,\nrank", ha="center", va="center", fontsize=10.5)
    _arrow(axis, (10.5, 6), (79, 6), connectionstyle="arc3,rad=0.07", color="0.5", ls=":")
    axis.text(
        55.5,
        2.1,
        "video and edit are seen again in stage 2",
        ha="center",
        va="center",
        fontsize=9,
        color="0.4",
    )
    return figure


def _box(
    axis: plt.Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    colour: ColorType,
    fill: ColorType = "white",
    style: str = "-",
    lw: float = 1.6,
) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0.25,rounding_size=1",
            fc=fill,
            ec=colour,
            lw=lw,
            ls=style,
        )
    )


def _arrow(
    axis: plt.Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str = "0.3",
    ls: str = "-",
    **options: Any,
) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=12, color=color, ls=ls, lw=1.2, **options
        )
    )


def candidates_of(triplet: Triplet) -> list[str]:
    """The target among three of its hard distractors, in an order that depends on the triplet alone
    (by video id).
    """
    distractors = [video for group in triplet.distractors.values() for video in group][:3]
    return sorted([*filter(None, [triplet.target]), *distractors])
