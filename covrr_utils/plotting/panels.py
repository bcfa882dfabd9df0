"""Frames of clips side by side: panels of a fixed size, whatever is written around them, and a
labelled empty one for a video that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.typing import ColorType

from covrr_utils.plotting.lettering import columns, wrapped
from covrr_utils.plotting.style import QUIET
from covrr_utils.video.clips import Clip, ClipError

Image = UInt8[np.ndarray, "height width 3"]

Seen = Clip | ClipError  # a clip, or why it cannot be had

GAP = 0.07  # inches between panels

HEAD, TITLE, NOTE = 11.0, 9.5, 8.0  # points


def seen(clip_of: Callable[[str], Clip], video: str | None) -> Seen:
    """The clip of a video, or the error that says why it cannot be had."""
    if video is None:
        return ClipError("missing", "this triplet names no video here")
    try:
        return clip_of(video)
    except ClipError as error:
        return error


def middle(clip: Seen) -> Image | ClipError:
    """The clip's middle frame (H, W, 3)."""
    return clip if isinstance(clip, ClipError) else clip.frames[len(clip.frames) // 2]


def pair(clip: Seen) -> Image | ClipError:
    """An early and a late frame side by side (H, 2 W, 3); a single frame stands on both sides."""
    if isinstance(clip, ClipError):
        return clip
    last = len(clip.frames) - 1
    return np.concatenate([clip.frames[min(1, last)], clip.frames[max(last - 1, 0)]], axis=1)


def tallness(clips: Sequence[Seen]) -> float:
    """Height of a panel by its width: that of the tallest clip, between 0.5 and 1.5."""
    shapes = [clip.frames.shape for clip in clips if isinstance(clip, Clip)]
    return min(max([height / width for _, height, width, _ in shapes], default=1.0), 1.5)


def grid(
    rows: int,
    widths: Sequence[float],
    height: float,
    above: float,
    below: float,
    head: float = 0.0,
    foot: float = 0.0,
    title: str = "",
) -> tuple[plt.Figure, np.ndarray]:
    """A figure of ``rows`` rows of panels with these ``widths`` and this ``height``, all in inches,
    with room ``above`` and ``below`` every row, and at the ``head`` and ``foot`` of the figure. A
    ``title``, what the figure shows, stands on top, in as many lines as it needs.

    No layout is computed from what is written, so that words never move a panel.
    """
    across = sum(widths) + GAP * (len(widths) + 1)
    shown, needed = titled([title], across, HEAD)
    head += needed if title else 0
    down = rows * (above + height + below) + head + foot
    figure, axes = plt.subplots(
        rows,
        len(widths),
        figsize=(across, down),
        squeeze=False,
        gridspec_kw={
            "width_ratios": widths,
            "left": GAP / across,
            "right": 1 - GAP / across,
            "top": 1 - (head + above) / down,
            "bottom": (foot + below) / down,
            "wspace": GAP / np.mean(widths),
            "hspace": (above + below) / height,
        },
    )
    for axis in axes.flat:
        axis.axis("off")
    if title:
        figure.text(GAP / across, 1 - GAP / down, shown[0], va="top", fontsize=HEAD, color="0.1")
    return figure, axes


def room(lines: int, size: float = TITLE) -> float:
    """The height in inches that so many lines of text take."""
    return (0.35 + 1.3 * lines) * size / 72 if lines else 0.05


def titled(texts: Sequence[str], inches: float, size: float = TITLE) -> tuple[list[str], float]:
    """Titles in at most two lines of this width, and the room above a row that they need."""
    shown = [wrapped(text, columns(inches, size)) for text in texts]
    return shown, room(max((text.count("\n") + 1 for text in shown if text), default=0), size)


def show_image(
    axis: plt.Axes,
    image: Image | ClipError,
    title: str = "",
    colour: ColorType | None = None,
    width: float = 4,
) -> None:
    """One picture without ticks, with an optional coloured frame; for a video that cannot be read
    an empty panel with its cause.
    """
    axis.axis("on")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    if isinstance(image, ClipError):
        axis.set_facecolor("0.93")
        axis.text(
            0.5,
            0.5,
            wrapped(f"cannot be read: {image.cause}", 14, lines=4),
            ha="center",
            va="center",
            fontsize=NOTE,
            color="0.3",
            transform=axis.transAxes,
        )
    else:
        axis.imshow(image)
    for spine in axis.spines.values():
        spine.set(visible=colour is not None, color=colour or QUIET, linewidth=width)
    if title:
        axis.set_title(title, fontsize=9, color=colour or "0.15")
