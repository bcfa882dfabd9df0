"""Figures: contact sheets, traces, coloured sentences, hits and misses.

One style, colour-blind-safe, no date inside a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import (
    cells,
    columns,
    empty_figure,
    plain_text,
    readable,
    wrapped,
)
from covrr_utils.plotting.panels import (
    NOTE,
    TITLE,
    Seen,
    grid,
    middle,
    pair,
    room,
    seen,
    show_image,
    tallness,
    titled,
)
from covrr_utils.plotting.style import HIT, MISS, REFERENCE
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import Clip, ClipError


def contact_sheet(
    clips: Sequence[Seen],
    titles: Sequence[str],
    frames: int = 8,
    colours: Sequence | None = None,
    title: str = "",
) -> plt.Figure:
    """One row per clip: at most ``frames`` evenly spread frames, timestamps below the last row,
    one of the ``titles`` above each row, and above them all what the sheet shows.
    """
    if not clips:
        return empty_figure("", "There is no clip to show.")
    frames = min(frames, max(len(c.frames) if isinstance(c, Clip) else 1 for c in clips))
    side = 1.2
    shown, above = titled(titles, max(frames * side, 4.0))
    height, below = side * tallness(clips), room(1, NOTE)
    figure, axes = grid(len(clips), [side] * frames, height, above, below, title=title)
    for row, (clip, name) in enumerate(zip(clips, shown, strict=True)):
        colour = colours[row] if colours else None
        axes[row, 0].set_title(name, loc="left", fontsize=TITLE, color=colour or "0.1")
        if isinstance(clip, ClipError):
            show_image(axes[row, 0], clip, colour=colour, width=2.5)
            continue
        count = min(frames, len(clip.frames))
        picks = np.linspace(0, len(clip.frames) - 1, count).round().astype(int)
        for axis, pick in zip(axes[row], picks):
            show_image(axis, clip.frames[pick], colour=colour, width=2.5)
            if row == len(clips) - 1:
                axis.set_xlabel(f"{clip.times[pick]:.1f} s", fontsize=NOTE)
    return plain_text(figure)


def triplet_figure(
    reference: Seen,
    edit: str,
    target: Seen,
    distractors: Mapping[str, Seen],
    trace: ReasoningTrace | None = None,
) -> plt.Figure:
    """A triplet at a glance: reference, edit, target, and the hard distractors that a keyword match
    would take. Each panel holds an early and a late frame.
    """
    shown = [("reference", reference, REFERENCE), ("target", target, HIT)]
    shown += [(kind.replace("_", " "), clip, MISS) for kind, clip in distractors.items()]
    side = 2.0
    across = side * len(shown)
    changes = trace.rows() if trace else []
    changed = "   ".join(f"{before} → {after}" for _, before, after in changes if before != after)
    words, notes = wrapped(f"“{edit}”", columns(across, 12)), wrapped(changed, columns(across, 10))
    head = room(words.count("\n") + 1, 12)
    foot = room(notes.count("\n") + 1, 10) if notes else 0.0
    height = side / 2 * tallness([clip for _, clip, _ in shown])
    figure, axes = grid(1, [side] * len(shown), height, room(1), 0.05, head, foot)
    for axis, (title, clip, colour) in zip(axes[0], shown):
        show_image(axis, pair(clip), wrapped(title, columns(side, 9), lines=1), colour)
    figure.suptitle(words, fontsize=12, y=0.995, va="top")
    figure.text(0.5, 0.005, notes, fontsize=10, ha="center", va="bottom")
    return plain_text(figure)


def trace_table(trace: ReasoningTrace) -> pd.DataFrame:
    """The trace as a table: slot, before, after, and whether it changes."""
    rows = [
        (slot, before, after, "changes" if before != after else "")
        for slot, before, after in trace.rows()
    ]
    return pd.DataFrame(rows, columns=["slot", "before", "after", ""])


def token_sentence(
    tokens: Sequence[str], weights: Sequence[float], title: str = "", width: int = 72
) -> plt.Figure:
    """The text with every token on a background as dark as its weight (weights are scaled to their
    maximum).
    """
    if not len(tokens):
        return empty_figure(title, "There is no token to show.")
    shade = np.asarray(weights, float)
    shade = shade / shade.max() if shade.max() > 0 else shade
    shown = [readable(token.replace("\n", "⏎"), ["monospace"]) for token in tokens]
    shown = [token if cells(token) <= width else f"{token[: width // 2]}…" for token in shown]
    lines: list[list[int]] = [[]]
    length = 0
    for index, token in enumerate(shown):
        if lines[-1] and length + cells(token) > width:
            lines.append([])
            length = 0
        lines[-1].append(index)
        length += max(cells(token), 1)
    figure, axis = plt.subplots(
        figsize=(0.125 * width, 0.36 * len(lines) + (0.55 if title else 0.2))
    )
    axis.set(xlim=(0, width), ylim=(-len(lines), 0.1))
    axis.axis("off")
    colours = mpl.colormaps["YlGnBu"]
    for row, line in enumerate(lines):
        at = 0
        for index in line:
            token, colour = shown[index], colours(0.75 * shade[index])
            axis.add_patch(
                Rectangle((at, -row - 0.9), cells(token), 0.8, color=colour, linewidth=0)
            )
            dark = shade[index] > 0.7
            axis.text(
                at,
                -row - 0.5,
                token,
                family="monospace",
                fontsize=9.3,
                va="center",
                color="white" if dark else "0.1",
            )
            at += cells(token)
    if title:
        axis.set_title(wrapped(title, columns(0.125 * width, 11), lines=1), loc="left")
    return plain_text(figure)


def retrieval_rows(
    rows: Sequence[Mapping[str, Any]],
    clip_of: Callable[[str], Clip],
    shown: int = 5,
    title: str = "",
) -> plt.Figure:
    """Queries and what they found: reference, edit, the first ``shown`` videos with their scores,
    on the right the target with its rank. The target is framed wherever it stands, and so is a
    video that came first in its place. A place stays empty where fewer videos were ranked.

    ``rows``: dictionaries with ``edit``, ``reference``, ``target``, ``rank``, ``top``, ``scores``
    and optionally ``note``; ``clip_of``: video id -> Clip; ``title``: what the rows show.
    """
    if not rows:
        return empty_figure("", "There is no query to show.")
    side = 1.48
    videos = {
        video: seen(clip_of, video)
        for row in rows
        for video in (row["reference"], row["target"], *row["top"][:shown])
    }
    edits, above = titled([f"“{row['edit']}”" for row in rows], side * (shown + 1))
    notes = [wrapped(row.get("note") or "", columns(side, NOTE)) for row in rows]
    below = room(2 if any("\n" in note for note in notes) else 1, NOTE)
    height = side * tallness(list(videos.values()))
    figure, axes = grid(len(rows), [side] * (shown + 2), height, above, below, title=title)
    for line, row, edit, note in zip(axes, rows, edits, notes):
        show_image(line[0], middle(videos[row["reference"]]), "", REFERENCE)
        line[0].set_title(edit, loc="left", color="0.1", fontsize=TITLE)
        line[0].set_xlabel("reference", fontsize=NOTE, color=REFERENCE)
        for place, (video, score) in enumerate(zip(row["top"][:shown], row["scores"])):
            colour = HIT if video == row["target"] else None if place else MISS
            show_image(line[place + 1], middle(videos[video]), "", colour)
            line[place + 1].set_xlabel(f"{place + 1}.  {score:.4f}", fontsize=NOTE)
        fate = f"rank {row['rank']}" if row["rank"] else "not ranked"
        show_image(line[-1], middle(videos[row["target"]]), f"target: {fate}", HIT)
        line[-1].set_xlabel(note, fontsize=NOTE, color="0.3")
    return plain_text(figure)
