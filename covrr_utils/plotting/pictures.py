"""Figures: contact sheets, traces, coloured sentences, hits and misses.

One style, colour-blind-safe, no date inside a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from matplotlib.typing import ColorType

from covrr_utils.plotting.style import HIT, MISS, PALETTE, QUIET, REFERENCE
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import Clip


def show_image(
    axis: plt.Axes,
    image: np.ndarray,
    title: str = "",
    colour: ColorType | None = None,
    width: float = 4,
) -> None:
    """One picture without ticks, with an optional coloured frame."""
    axis.imshow(image)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set(visible=colour is not None, color=colour or QUIET, linewidth=width)
    if title:
        axis.set_title(title, fontsize=9, color=colour or "0.15")


def middle(clip: Clip) -> np.ndarray:
    """The clip's middle frame (H, W, 3)."""
    return clip.frames[len(clip.frames) // 2]


def contact_sheet(
    clips: Sequence[Clip], titles: Sequence[str], frames: int = 8, colours: Sequence | None = None
) -> plt.Figure:
    """One row per clip: ``frames`` evenly spread frames, timestamps on the first row, the title
    above each row.
    """
    figure, axes = plt.subplots(
        len(clips),
        frames,
        figsize=(1.25 * frames, 1.52 * len(clips)),
        squeeze=False,
        layout="constrained",
    )
    for row, (clip, title) in enumerate(zip(clips, titles, strict=True)):
        picks = np.linspace(0, len(clip.frames) - 1, frames).round().astype(int)
        for column, pick in enumerate(picks):
            axis = axes[row, column]
            show_image(axis, clip.frames[pick], colour=colours[row] if colours else None, width=2.5)
            if row == len(clips) - 1:
                axis.set_xlabel(f"{clip.times[pick]:.1f} s", fontsize=8)
        axes[row, 0].set_title(
            title, loc="left", fontsize=9.5, color=colours[row] if colours else "0.1"
        )
    return figure


def triplet_figure(
    reference: Clip,
    edit: str,
    target: Clip,
    distractors: Mapping[str, Clip],
    trace: ReasoningTrace | None = None,
) -> plt.Figure:
    """A triplet at a glance: reference, edit, target, and the hard distractors that a keyword match
    would take.
    """
    shown = [("reference", reference, REFERENCE), ("target", target, HIT)]
    shown += [(kind.replace("_", " "), clip, MISS) for kind, clip in distractors.items()]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(2.5 * len(shown), 2.2), layout="constrained"
    )
    for axis, (title, clip, colour) in zip(axes, shown):
        pair = np.concatenate([clip.frames[1], clip.frames[-2]], axis=1)
        show_image(axis, pair, title, colour)
    figure.suptitle(f"“{edit}”", fontsize=12)
    if trace is not None:
        changed = "   ".join(
            f"{before} → {after}" for _, before, after in trace.rows() if before != after
        )
        figure.supxlabel(changed, fontsize=10)
    return figure


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
    shade = np.asarray(weights, float)
    shade = shade / shade.max() if shade.max() > 0 else shade
    lines: list[list[int]] = [[]]
    length = 0
    for index, token in enumerate(tokens):
        if lines[-1] and length + len(token) > width:
            lines.append([])
            length = 0
        lines[-1].append(index)
        length += max(len(token), 1)
    figure, axis = plt.subplots(
        figsize=(0.125 * width, 0.36 * len(lines) + (0.55 if title else 0.2))
    )
    axis.set(xlim=(0, width), ylim=(-len(lines), 0.1))
    axis.axis("off")
    colours = mpl.colormaps["YlGnBu"]
    for row, line in enumerate(lines):
        at = 0.0
        for index in line:
            token = tokens[index].replace("\n", "⏎")
            colour = colours(0.75 * shade[index])
            axis.add_patch(Rectangle((at, -row - 0.9), len(token), 0.8, color=colour, linewidth=0))
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
            at += len(token)
    if title:
        axis.set_title(title, loc="left")
    return figure


def retrieval_rows(
    rows: Sequence[Mapping[str, Any]], clip_of: Callable[[str], Clip], shown: int = 5
) -> plt.Figure:
    """Queries and what they found: reference, edit, the first ``shown`` videos with their scores;
    the target framed, the rank beside it.

    ``rows``: dictionaries with ``edit``, ``reference``, ``target``, ``rank``, ``top``, ``scores``
    and optionally ``note``; ``clip_of``: video id -> Clip.
    """
    figure, axes = plt.subplots(
        len(rows),
        shown + 2,
        figsize=(1.55 * (shown + 2), 2.0 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for line, row in zip(axes, rows):
        show_image(line[0], middle(clip_of(row["reference"])), f"“{row['edit']}”", REFERENCE)
        line[0].title.set(ha="left", x=0.0, color="0.1", fontsize=9.5)
        for place in range(shown):
            video, score = row["top"][place], row["scores"][place]
            show_image(
                line[place + 1], middle(clip_of(video)), "", HIT if video == row["target"] else None
            )
            line[place + 1].set_xlabel(f"{place + 1}.  {score:.4f}", fontsize=8)
        show_image(
            line[-1],
            middle(clip_of(row["target"])),
            f"target: rank {row['rank']}",
            HIT if row["rank"] == 1 else MISS,
        )
        line[0].set_xlabel("reference", fontsize=8, color=REFERENCE)
        if row.get("note"):
            line[-1].set_xlabel(row["note"], fontsize=8, color=MISS)
    return figure


def recall_bars(
    results: Sequence[dict], label: str, title: str, ks: Sequence[str] = ("1", "5", "10")
) -> tuple[plt.Figure, pd.DataFrame]:
    """Grouped bars of recall in percent with 95% intervals; one group per K, one colour per value
    of ``label``. Also the table behind it.
    """
    table = pd.DataFrame(
        [
            {
                label: r[label],
                "K": k,
                "recall": 100 * r["recall"][k],
                "low": 100 * r["interval"][k][0],
                "high": 100 * r["interval"][k][1],
                "n": r["triplets"],
                "kind": r["kind"],
            }
            for r in results
            for k in ks
        ]
    )
    figure, axis = plt.subplots(
        figsize=(1.6 + 1.1 * len(ks) * max(2, len(results)) / 2, 3.4), layout="constrained"
    )
    step = 0.8 / len(results)
    for number, result in enumerate(results):
        part = table[table[label] == result[label]]
        at = np.arange(len(ks)) + step * (number - (len(results) - 1) / 2)
        errors = [part["recall"] - part["low"], part["high"] - part["recall"]]
        axis.bar(
            at,
            part["recall"],
            0.92 * step,
            yerr=errors,
            capsize=3,
            color=PALETTE[number],
            label=result[label],
            error_kw={"lw": 1},
        )
        for x, value, high in zip(at, part["recall"], part["high"]):
            axis.text(x, high + 1.5, f"{value:.1f}", ha="center", fontsize=8)
    axis.set(
        xticks=range(len(ks)),
        xticklabels=[f"R@{k}" for k in ks],
        ylabel="recall, %",
        ylim=(0, 112),
        title=title,
    )
    axis.grid(axis="x", visible=False)
    axis.legend(loc="upper left", frameon=False, ncols=len(results))
    return figure, table


def training_curve(
    table: pd.DataFrame, stages: Sequence[tuple[str, int]], title: str
) -> plt.Figure:
    """Loss over steps (columns ``step``, ``loss``), the stages (name, steps) shaded behind it."""
    figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
    axis.plot(table["step"], table["loss"], color=PALETTE[0])
    start = 0
    for name, steps in stages:
        axis.axvspan(
            start, start + steps, color=PALETTE[1 if name == "vision" else 2], alpha=0.12, lw=0
        )
        # narrower bands have no room for a name; their colour tells
        if steps > 0.08 * sum(count for _, count in stages):
            axis.text(
                start + steps / 2,
                0.93,
                name,
                ha="center",
                va="top",
                transform=axis.get_xaxis_transform(),
                fontsize=9,
            )
        start += steps
    axis.set(xlim=(0, start), xlabel="step", ylabel="loss, nats", yscale="log", title=title)
    return figure
