"""The paper's three figures, drawn by code: what a query looks like, what a triplet holds, how the
two paths meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.typing import ColorType

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.plotting.lettering import empty_figure, plain_text, wrapped
from covrr_utils.plotting.panels import grid, middle, room, seen, show_image, tallness, titled
from covrr_utils.plotting.style import CHANGED, HIT, QUIET, REFERENCE
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, split_assertion
from covrr_utils.video.clips import Clip, ClipError

KEPT = "0.35"

PATH_COLOURS: tuple[ColorType, ColorType] = (KEPT, REFERENCE)  # of the gallery's and the query's


def query_figure(
    triplets: Sequence[Triplet],
    candidates: Sequence[Sequence[str]],
    reasoning: Sequence[ReasoningTrace],
    clip_of: Callable[[str], Clip],
) -> plt.Figure:
    """Fig. 1: per row the reference, the edit, four candidates with the right one boxed, and the
    reasoning: what changes.

    ``candidates``: at most four gallery videos per triplet, its target among them, in the order in
    which they are drawn; a place stays empty where there are fewer.
    """
    if not triplets:
        return empty_figure("", "There is no triplet to show.")
    rows = list(zip(triplets, candidates, reasoning, strict=True))
    clips = {
        video: seen(clip_of, video)
        for triplet, videos, _ in rows
        for video in (triplet.reference, *videos)
    }
    side = 1.6
    height = side * tallness(list(clips.values()))
    widths = [*[side] * 6, 1.75 * side]
    figure, axes = grid(len(rows), widths, height, 0.05, 0.05, head=room(1, 10))
    for line, (triplet, videos, trace) in zip(axes, rows):
        show_image(line[0], middle(clips[triplet.reference]), "", REFERENCE)
        _words(line[1], wrapped(f"“{triplet.edit}”", 16, lines=6), 0.5, size=11, weight="bold")
        for axis, video in zip(line[2:6], videos):
            right = HIT if video == triplet.target else None
            show_image(axis, middle(clips[video]), "", right, width=5)
        changes = [
            wrapped(f"{slot}: {before} → {after}", 34)
            for slot, before, after in trace.rows()
            if before != after
        ]
        _words(line[-1], "\n".join(changes[:5]), 0.02, size=9)
    heads = ["input video", "edit", *(f"candidate {n}" for n in range(1, 5))]
    for axis, title in zip(axes[0], [*heads, "reasoning: what changes"]):
        axis.set_title(title, fontsize=10, color="0.1")
    return plain_text(figure)


def trace_figure(
    triplets: Sequence[Triplet], clip_of: Callable[[str], Clip], frames: int = 3
) -> plt.Figure:
    """Fig. 2: sample triplets, frames before and after the edit, with the structured trace; what
    changes is coloured.
    """
    if not triplets:
        return empty_figure("", "There is no triplet with a gold trace to show.")
    whole = [triplet_with_trace(triplet) for triplet in triplets]
    clips = {
        video: seen(clip_of, video)
        for triplet, (target, _) in zip(triplets, whole)
        for video in (triplet.reference, target)
    }
    side = 1.45
    names = [f"“{triplet.edit}”" for triplet in triplets]
    edits, above = titled(names, side * 2 * frames, 10)
    widths = [*[side] * (2 * frames), 2.6 * side]
    height = side * tallness(list(clips.values()))
    figure, axes = grid(len(triplets), widths, height, above, room(1, 9))
    for line, triplet, edit, (target, trace) in zip(axes, triplets, edits, whole):
        line[0].set_title(edit, loc="left", fontsize=10, color="0.1")
        for half, (video, colour, name) in enumerate(
            ((triplet.reference, REFERENCE, "reference"), (target, HIT, "target"))
        ):
            clip, first = clips[video], half * frames
            if isinstance(clip, ClipError):
                show_image(line[first], clip, "", colour, width=2.5)
            else:
                picks = np.linspace(0, len(clip.frames) - 1, frames).round().astype(int)
                for place, pick in enumerate(picks):
                    show_image(line[first + place], clip.frames[pick], "", colour, width=2.5)
            line[first].set_xlabel(name, loc="left", fontsize=9, color=colour)
        _trace(line[-1], trace)
    return plain_text(figure)


def triplet_with_trace(triplet: Triplet) -> tuple[str, ReasoningTrace]:
    """Target and gold trace of a triplet that has both."""
    if triplet.target is None or triplet.gold_trace is None:
        raise ValueError(f"triplet {triplet.id} has no target or no gold trace to draw")
    return triplet.target, triplet.gold_trace


def _words(axis: plt.Axes, text: str, at: float, size: float, **style: Any) -> None:
    axis.text(
        at,
        0.5,
        text,
        ha="center" if at == 0.5 else "left",
        va="center",
        fontsize=size,
        transform=axis.transAxes,
        **style,
    )


def _trace(axis: plt.Axes, trace: ReasoningTrace) -> None:
    """Slot by slot: what stays in grey, what changes in colour with its arrow."""
    rows = [(slot, item) for slot in SLOTS for item in getattr(trace, slot)]
    for place, (slot, item) in enumerate(rows):
        before, after = split_assertion(item)
        changed = before != after
        at = 0.97 - place * 0.94 / max(len(rows) - 1, 1)
        name = slot if place == 0 or rows[place - 1][0] != slot else ""
        text = wrapped(f"{before} → {after}" if changed else before, 36, lines=1)
        colour, weight = (CHANGED, "bold") if changed else (KEPT, "normal")
        for left, shown, look in (
            (0.02, name, {"color": "0.1"}),
            (0.27, text, {"color": colour, "weight": weight}),
        ):
            axis.text(left, at, shown, fontsize=9, va="center", transform=axis.transAxes, **look)


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

FROZEN = "one frozen Qwen3-VL, nothing is trained"

AGAIN = "video and edit are seen again in stage 2"

MEETING = "cosine, rank"


def two_paths() -> plt.Figure:
    """Fig. 3: the gallery path and the query path through one frozen Qwen3-VL, joined by cosine
    similarity.
    """
    figure, axis = plt.subplots(figsize=(13.2, 4.2), layout="constrained")
    axis.set(xlim=(0, 149), ylim=(-1, 44))
    axis.axis("off")
    _box(axis, 21.8, 0.5, 68.4, 41, QUIET, fill="0.97", style="--", lw=1)
    axis.text(56, 21.5, FROZEN, ha="center", va="center", fontsize=11, style="italic", color="0.35")
    for (name, path), height, colour in zip(PATHS.items(), (33, 10.5), PATH_COLOURS):
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
    _box(axis, 134, 17, 12.5, 8, "0.35", fill="0.92")
    axis.text(140.2, 21, MEETING.replace(" ", "\n"), ha="center", va="center", fontsize=10.5)
    _arrow(axis, (10.5, 6), (79, 6), connectionstyle="arc3,rad=0.07", color="0.5", ls=":")
    axis.text(55.5, 2.1, AGAIN, ha="center", va="center", fontsize=9, color="0.4")
    return plain_text(figure)


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


def candidates_of(triplet: Triplet, ranked: Sequence[str] = ()) -> list[str]:
    """The target among three of its hard distractors, in an order that depends on the triplet alone
    (by video id); without distractors, among the ``ranked`` videos that come first.
    """
    named = [video for group in triplet.distractors.values() for video in group]
    others = [video for video in named or ranked if video != triplet.target][:3]
    return sorted([*filter(None, [triplet.target]), *others])
