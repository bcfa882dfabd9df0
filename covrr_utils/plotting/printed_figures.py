"""The paper's three figures drawn for paper: nothing shrunk, the letters as large as the caption's,
and several frames of every video, so that motion is seen without a player.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import ascii_lowercase
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.typing import ColorType

from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.plotting.boxes import INK, arrow, box, canvas, place
from covrr_utils.plotting.lettering import POINTS, columns, plain_text, words, wrapped
from covrr_utils.plotting.panels import Seen, seen, show_image, tallness
from covrr_utils.plotting.paper_figures import (
    AGAIN,
    FROZEN,
    KEPT,
    MEETING,
    PATH_COLOURS,
    PATHS,
    triplet_with_trace,
)
from covrr_utils.plotting.printed import COLUMN, PAGE, SMALLEST, TALLEST, fitted
from covrr_utils.plotting.style import CHANGED, HIT, QUIET, REFERENCE
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, split_assertion
from covrr_utils.video.clips import Clip, ClipError

FRAMES = 3  # of every video

EDIT = 8.0  # points: the letters of an edit

LINE = 1.32 * SMALLEST / POINTS  # inches from one line of small letters to the next

EDGE, BETWEEN, GUTTER = 0.04, 0.03, 0.16  # inches: at the rim, between frames, between blocks

CHANGES = 5  # lines of reasoning

THIN = 1.0  # points: arrows

CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def query_columns(
    triplets: Sequence[Triplet],
    candidates: Sequence[Sequence[str]],
    reasoning: Sequence[ReasoningTrace],
    clip_of: Callable[[str], Clip],
) -> plt.Figure:
    """Fig. 1 for paper, a query a column (three beside each other at most): the edit, the input
    video, the candidates with their names, the right one framed, and what changes according to the
    ``reasoning``. Arguments as those of `paper_figures.query_figure`.
    """
    if not triplets:
        return _nothing("There is no triplet to show.")
    clips = {
        video: seen(clip_of, video)
        for triplet, videos in zip(triplets, candidates, strict=True)
        for video in (triplet.reference, *videos)
    }
    across, beside = (COLUMN if len(triplets) == 1 else PAGE), min(len(triplets), 3)
    width = (across - 2 * EDGE - GUTTER * (beside - 1)) / beside
    side = (width - BETWEEN * (FRAMES - 1)) / FRAMES
    height = side * tallness(list(clips.values()))
    edits = [_cut(f"“{triplet.edit}”", width, 2, EDIT) for triplet in triplets]
    head = 0.05 + max(1 + edit.count("\n") for edit in edits) * LINE * EDIT / SMALLEST
    strips = 1 + max(map(len, candidates))
    changes = [[row for row in trace.rows() if row[1] != row[2]][:CHANGES] for trace in reasoning]
    block = head + strips * (LINE + height + 0.03) + (1 + max(map(len, changes))) * LINE + 0.08
    rows = -(-len(triplets) // beside)
    figure, axis = canvas(across, rows * block)
    queries = zip(triplets, candidates, edits, changes, strict=True)
    for number, (triplet, videos, edit, told) in enumerate(queries):
        left = EDGE + number % beside * (width + GUTTER)
        top = (rows - number // beside) * block
        lines = 1 + edit.count("\n")
        fitted(axis, (left, top - 0.03), edit, width, lines, EDIT, va="top", weight="bold")
        top -= head
        for name, video, colour in _strips(triplet, videos):
            ink = colour or INK
            fitted(axis, (left, top - 0.02), name, width, va="top", color=ink)
            top -= LINE + height
            _frames(figure, clips[video], (left, top), (side, height), colour)
            top -= 0.03
        top -= 0.03
        fitted(axis, (left, top), "reasoning: what changes", width, va="top", weight="bold")
        for slot, before, after in told:
            top -= LINE
            fitted(axis, (left, top), f"{slot}: {before} → {after}", width, va="top", color=INK)
    return plain_text(figure)


def _strips(triplet: Triplet, videos: Sequence[str]) -> list[tuple[str, str, ColorType | None]]:
    """Name, video and colour of everything that is shown of a query. A candidate is named by what
    it is to the triplet, one that the triplet does not name by its id.
    """
    known = {video: words(kind) for kind, video in triplet.named_distractors().items()}
    known |= {triplet.target: "target"} if triplet.target else {}
    strips: list[tuple[str, str, ColorType | None]] = [
        ("input video", triplet.reference, REFERENCE)
    ]
    for letter, video in zip(ascii_lowercase, videos):
        colour = HIT if video == triplet.target else None
        strips.append((f"({letter}) {known.get(video, video)}", video, colour))
    return strips


def trace_rows(triplets: Sequence[Triplet], clip_of: Callable[[str], Clip]) -> plt.Figure:
    """Fig. 2 for paper, a triplet a row: frames before and after the edit, and the gold trace slot
    by slot, in which what changes is coloured.
    """
    if not triplets:
        return _nothing("There is no triplet with a gold trace to show.")
    pairs = [triplet_with_trace(triplet) for triplet in triplets]
    clips = {
        video: seen(clip_of, video)
        for triplet, (target, _) in zip(triplets, pairs)
        for video in (triplet.reference, target)
    }
    side, name, told = 0.72, 0.5, 1.66  # inches: a frame, the name of a slot, what it says
    half = FRAMES * side + (FRAMES - 1) * BETWEEN
    height = side * tallness(list(clips.values()))
    head = 0.07 + LINE * EDIT / SMALLEST
    most = int((TALLEST / len(triplets) - head - 0.04) / LINE)
    traces = [_told(trace, told, most) for _, trace in pairs]
    blocks = [head + max(LINE + height, LINE * len(trace)) + 0.04 for trace in traces]
    figure, axis = canvas(PAGE, sum(blocks))
    top = sum(blocks)
    for triplet, (target, _), trace, block in zip(triplets, pairs, traces, blocks):
        edit = f"“{triplet.edit}”"
        fitted(axis, (EDGE, top - 0.04), edit, PAGE - 2 * EDGE, 1, EDIT, va="top", weight="bold")
        below = top - head
        for left, video, title, colour in (
            (EDGE, triplet.reference, "reference", REFERENCE),
            (EDGE + half + 0.09, target, "target", HIT),
        ):
            fitted(axis, (left, below), title, half, va="top", color=colour)
            at = (left, below - LINE - height)
            _frames(figure, clips[video], at, (side, height), colour)
        left = PAGE - EDGE - told - name
        for slot, line, changed in trace:
            fitted(axis, (left, below), slot, name, va="top", color=INK)
            ink, weight = (CHANGED, "bold") if changed else (KEPT, "normal")
            fitted(axis, (left + name, below), line, told, va="top", color=ink, weight=weight)
            below -= LINE
        top -= block
    return plain_text(figure)


def _told(trace: ReasoningTrace, inches: float, most: int) -> list[tuple[str, str, bool]]:
    """A trace in at most so many lines of this width: the slot where it begins, what the line says,
    and whether it tells of a change. What is longer has two lines; of a change, one for before and
    one for after.
    """
    told: list[tuple[str, str, bool]] = []
    for slot in SLOTS:
        head = slot
        for item in getattr(trace, slot):
            before, after = split_assertion(item)
            text = f"{before} → {after}" if before != after else before
            lines = _cut(text, inches, 2).split("\n")
            if before != after and len(lines) > 1:
                lines = [_cut(before, inches, 1), f"→ {_cut(after, inches, 1)}"]
            told += [
                (head if number == 0 else "", line, before != after)
                for number, line in enumerate(lines)
            ]
            head = ""
    if len(told) > most:
        told[most - 1 :] = [("", f"… and {len(told) - most + 1} lines more", False)]
    return told


def two_paths_column() -> plt.Figure:
    """Fig. 3 for paper, in one column: the gallery path and the query path from top to bottom
    through one frozen model, to the cosine.
    """
    width, tall, step = 1.33, 0.34, 0.53  # inches: a box, and from one to the next
    lefts = dict(zip(PATHS, (0.1, 1.62)))
    first = 3.28  # inches: the middle of the first boxes
    figure, axis = canvas(COLUMN, 3.78)
    frame = first - 3 * step - tall / 2 - 0.09
    box(axis, (0.04, frame), (2.97, 2 * step + tall + 0.18), "0.97", QUIET)
    for (name, path), colour in zip(PATHS.items(), PATH_COLOURS):
        left = lefts[name]
        middle = left + width / 2
        before: int | None = None
        at = (middle, first + tall / 2 + 0.14)
        fitted(axis, at, name, width, 1, EDIT, weight="bold", color=colour, **CENTRED)
        for row, text in path.items():
            height = first - step * row
            box(axis, (left, height - tall / 2), (width, tall), "white", colour)
            fitted(axis, (middle, height), text, width - 0.06, 2, color=INK, **CENTRED)
            if before is not None:
                # where a path leaves a stage out, there is room for words beside its arrow
                x = middle if row == before + 1 else left + 0.2
                above = first - step * before - tall / 2
                arrow(axis, (x, above), (x, height + tall / 2), INK, THIN)
            before = row
        end = first - step * (before or 0) - tall / 2
        arrow(axis, (middle, end), (COLUMN / 2 + (middle - COLUMN / 2) * 0.25, 0.33), INK, THIN)
    at = (lefts["gallery path"] + 0.82, first - 2 * step)
    fitted(axis, at, FROZEN, 0.9, 4, style="italic", color="0.35", **CENTRED)
    box(axis, (COLUMN / 2 - 0.5, 0.05), (1.0, 0.28), "0.92", KEPT)
    fitted(axis, (COLUMN / 2, 0.19), MEETING, 0.9, 1, EDIT, color=INK, **CENTRED)
    edge = lefts["query path"] + width
    way = [(edge, first), (edge + 0.1, first), (edge + 0.1, first - 3 * step)]
    axis.plot(*zip(*way), color=QUIET, lw=THIN, ls=":")
    arrow(axis, way[-1], (edge, first - 3 * step), QUIET, THIN)
    at = (edge + 0.21, first - 1.5 * step)
    axis.text(*at, AGAIN, fontsize=SMALLEST, rotation=270, color="0.35", **CENTRED)
    return plain_text(figure)


def _frames(
    figure: plt.Figure,
    clip: Seen,
    at: tuple[float, float],
    size: tuple[float, float],
    colour: ColorType | None,
) -> None:
    """A strip of `FRAMES` evenly spread frames of a video, from its lower left corner on; one panel
    with the cause for a video that cannot be read.
    """
    if isinstance(clip, ClipError):
        across = FRAMES * size[0] + (FRAMES - 1) * BETWEEN
        show_image(place(figure, at, (across, size[1])), clip, "", colour, width=1.6)
        return
    picks = np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int)
    for number, pick in enumerate(picks):
        left = at[0] + number * (size[0] + BETWEEN)
        panel = place(figure, (left, at[1]), size)
        show_image(panel, clip.frames[pick], "", colour, width=1.6)


def _cut(text: str, inches: float, lines: int, size: float = SMALLEST) -> str:
    """The text in at most so many lines of this width."""
    return wrapped(text, columns(inches, size), lines)


def _nothing(why: str) -> plt.Figure:
    figure, axis = canvas(COLUMN, 0.4)
    fitted(axis, (EDGE, 0.2), why, COLUMN - 2 * EDGE, va="center", color="0.35")
    return plain_text(figure)
