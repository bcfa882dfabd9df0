"""Figures as they are printed: as wide as a column or a page of a paper, with letters that can be
read there, and scaled by nobody afterwards.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import SubFigure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.plotting.lettering import POINTS, columns, plain, plain_text, wrapped

COLUMN, PAGE = 3.25, 6.875  # inches: one column of a paper, and both

TALLEST = 9.0  # inches: what a page has room for, above a caption of one line

SMALLEST = 7.0  # points: the smallest letters

TOUCH = 0.5  # points by which the boxes of two texts may reach into each other

FINE = 300  # dots an inch at which texts are measured


class Unprintable(ValueError):
    """A figure that is no use on paper, and why."""


def save_printed(figure: plt.Figure, name: str) -> dict[str, float]:
    """Write ``figures/paper/<name>.pdf``, exactly as large as the figure, and close the figure.

    Frames of clips keep their own pixels and colours; the same figure gives the same bytes.

    Returns
    -------
    dict
        ``width`` and ``height`` in inches, and the ``smallest`` letters in points.

    Raises
    ------
    Unprintable
        If a printer or a reader would have trouble with it, see `troubles`.
    """
    plain_text(figure)
    if found := troubles(figure):
        raise Unprintable(f"figure {name} is not fit to be printed: {'; '.join(found)}")
    for axes in figure.axes:
        for image in axes.images:
            image.set_interpolation("none")
    blob = io.BytesIO()
    with mpl.rc_context({"savefig.bbox": None}):  # "tight" would cut the page
        figure.savefig(blob, format="pdf", metadata={"CreationDate": None, "ModDate": None})
    path = paths.figures_dir() / "paper" / f"{name}.pdf"
    write_atomically(path, blob.getvalue())
    paths.announce(path)
    plt.close(figure)
    width, height = map(float, figure.get_size_inches())
    return {"width": width, "height": height, "smallest": smallest_text(figure)}


def troubles(figure: plt.Figure) -> list[str]:
    """What is wrong with a figure on paper, in sentences: a width that is neither `COLUMN` nor
    `PAGE`, more height than `TALLEST`, letters below `SMALLEST`, a text that leaves the figure, two
    texts that overlap.
    """
    width, height = map(float, figure.get_size_inches())
    found = []
    if min(abs(width - COLUMN), abs(width - PAGE)) > 1e-6:
        found.append(f"it is {width:g} in wide; expected {COLUMN} (a column) or {PAGE} (a page)")
    if height > TALLEST:
        found.append(f"it is {height:.2f} in tall; a page has room for {TALLEST:g}")
    found += [
        f"{_shown(text)} has {text.get_fontsize():g} points; expected {SMALLEST:g} or more"
        for text in drawn_texts(figure)
        if float(text.get_fontsize()) < SMALLEST
    ]
    boxes = text_boxes(figure)
    found += [
        f"{_shown(text)} leaves the figure"
        for text, box in boxes
        if min(box.x0, box.y0, width * POINTS - box.x1, height * POINTS - box.y1) < -TOUCH
    ]
    return found + [
        f"{_shown(one)} overlaps {_shown(other)}"
        for (one, here), (other, there) in combinations(boxes, 2)
        if _overlap(here, there)
    ]


def drawn_texts(figure: plt.Figure) -> list[Text]:
    """The texts that are seen: visible, not empty, no labels of an axis that is switched off."""
    off = {
        text
        for axes in figure.axes
        if not axes.axison
        for axis in (axes.xaxis, axes.yaxis)
        for text in axis.findobj(Text)
    }
    texts = [text for text in figure.findobj(Text) if text not in off]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def smallest_text(figure: plt.Figure) -> float:
    """The size of the smallest letters that are seen, in points; infinite where there are none."""
    return min((float(text.get_fontsize()) for text in drawn_texts(figure)), default=float("inf"))


def text_boxes(figure: plt.Figure) -> list[tuple[Text, Bbox]]:
    """Every text that is seen, with the box around it in points from the lower left corner."""
    with _finely(figure):
        figure.draw_without_rendering()
        scale = POINTS / FINE
        return [
            (text, Bbox(text.get_window_extent().get_points() * scale))
            for text in drawn_texts(figure)
        ]


def fitted(
    axis: plt.Axes,
    at: tuple[float, float],
    words: str,
    inches: float,
    lines: int = 1,
    size: float = SMALLEST,
    **style: Any,
) -> Text:
    """A text at a place of the axis in at most so many lines, none of them wider than ``inches`` as
    it is drawn; what is too long is cut with ``…``.
    """
    text = axis.text(*at, "", fontsize=size, **style)
    with _finely(axis.figure):
        for width in range(columns(inches, 0.85 * size), 1, -1):
            text.set_text(wrapped(words, width, lines))
            plain(text)
            if not text.get_text() or text.get_window_extent().width <= inches * FINE:
                break
    return text


@contextmanager
def _finely(figure: plt.Figure | SubFigure) -> Iterator[None]:
    """Let the figure be measured in `FINE` dots an inch, with letters as wide as in a PDF: on a
    screen they are moved to whole dots.
    """
    before = figure.dpi
    figure.dpi = FINE
    try:
        with mpl.rc_context({"text.hinting": "no_hinting"}):
            yield
    finally:
        figure.dpi = before


def _overlap(one: Bbox, other: Bbox) -> bool:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    return across > TOUCH and min(one.y1, other.y1) - max(one.y0, other.y0) > TOUCH


def _shown(text: Text) -> str:
    words = " ".join(text.get_text().split())
    return f"“{words if len(words) <= 40 else words[:39] + '…'}”"
