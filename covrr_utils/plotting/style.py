"""One style for all figures: colours, sizes, and how a figure is written."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.colors import to_rgb
from PIL import Image, ImageOps

from covrr_utils import paths
from covrr_utils.files import delete, holds, write_atomically
from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import plain_text
from covrr_utils.spreadsheet import csv_bytes

# One colour has one meaning in the whole book. Eyes that see no red or no green tell these apart;
# and what a colour tells is also said by a marker, a place or a word.
COLOURS = {
    "reference": "#0173b2",  # and what the model makes of it: trace, description, query
    "target": "#029e73",
    "wrong": "#d55e00",  # what stands in the target's place
    "changed": "#882255",  # what an edit changes, in texts
    "quiet": "#8c8c8c",  # what is there to be compared with: the gallery's side, what was published
    "single stage": "#56b4e9",
    "two stage": "#de8f05",
    "self consistency": "#cc78bc",
    "gold trace": "#8a6a00",
}

# of series without a meaning of their own, in the order of a chart: none of the colours above
SERIES = ("#332288", "#44aa99", "#aa4499", "#999933", "#555555", "#cc6677", "#ddcc77", "#7f4a1e")

RGB = tuple[float, float, float]

SHARPNESS = 2  # pixels of a figure for each one that it is shown at, along either side

# of frames of clips in the outputs of notebooks: levels of each colour channel, and the dots an
# inch at which a figure with frames is shown at most
LEVELS, PICTURE_DPI = 32, 70

# of nine: a PNG is a hundredth larger than at the last, and compressed in two fifths of the time
COMPRESSION = 8

REFERENCE, HIT, MISS, QUIET, CHANGED = (
    to_rgb(COLOURS[name]) for name in ("reference", "target", "wrong", "quiet", "changed")
)

STRATEGY_COLOURS = ("single stage", "two stage", "self consistency", "gold trace")


def colour_of(number: int, name: object = "") -> RGB:
    """The colour of a series of a chart: of a strategy its own, whatever else the name tells
    (``"self_consistency, 5"``), else that of the number of the series; after the last one it begins
    again.
    """
    words = str(name).replace("_", " ")
    for strategy in STRATEGY_COLOURS:
        if words == strategy or words.startswith(f"{strategy},"):
            return to_rgb(COLOURS[strategy])
    return to_rgb(SERIES[number % len(SERIES)])


def use() -> None:
    """The workbook's one style sheet; call it once per notebook.

    Figures in a notebook are drawn for screens with two pixels in place of one (`small_png`).
    """
    sns.set_theme(context="notebook", style="whitegrid", palette=SERIES)
    mpl.rcParams.update(
        {
            "figure.dpi": 80,
            "savefig.dpi": 120,
            "savefig.bbox": "tight",
            "pdf.fonttype": 42,
            "svg.hashsalt": "covrr",
            "font.family": "DejaVu Sans",
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "figure.titlesize": 13,
            "text.parse_math": False,  # "$20 to $30" in an edit is no formula
        }
    )
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        # the backend registers its own way to show a figure, to be replaced
        plt.switch_backend(mpl.get_backend())
        plt.uninstall_repl_displayhook()  # it would draw every figure once more before it is shown
        shell.display_formatter.formatters["image/png"].for_type(plt.Figure, small_png)


def has_pictures(figure: plt.Figure) -> bool:
    """Whether the figure shows frames of clips, whose colours are part of what is to be seen."""
    return any(axes.images for axes in figure.axes)


def exact_png(figure: plt.Figure, dpi: float) -> bytes:
    """The figure as PNG; the same figure gives the same bytes.

    A chart is written in 256 colours, a quarter of the size. A figure with frames of clips keeps
    every colour.
    """
    image = _drawn(figure, dpi)
    return _png(image if has_pictures(figure) else _in_256_colours(image))


def small_png(figure: plt.Figure) -> tuple[bytes, dict[str, int]]:
    """The figure for the output of a notebook: as PNG, with the ``width`` at which it is shown.

    There are `SHARPNESS` pixels for each one shown, so that letters are sharp on every screen. The
    outputs are to stay small: a figure with frames of clips is shown at `PICTURE_DPI` dots an inch
    at most, and has `LEVELS` levels a channel, no colour differs by more than half a level; a frame
    drawn larger than it is has its own pixels several times, and none between them. No height is
    given, so that a figure keeps its shape in a window that is narrower than it.
    """
    with_frames = has_pictures(figure)
    dpi = SHARPNESS * (min(figure.dpi, PICTURE_DPI) if with_frames else figure.dpi)
    with _pixels_repeated(figure, dpi):
        image = _drawn(figure, dpi)
    width = math.ceil(image.width / SHARPNESS)
    missing = width * SHARPNESS - image.width  # to a whole number of pixels shown
    image = ImageOps.expand(image, (0, 0, missing, 0), "white")
    step = 255 / (LEVELS - 1)
    levels = [round(round(value / step) * step) for value in range(256)]
    image = image.point(levels * 3) if with_frames else _in_256_colours(image)
    return _png(image), {"width": width}


@contextmanager
def _pixels_repeated(figure: plt.Figure, dpi: float) -> Iterator[None]:
    """While it is drawn with these dots an inch, the figure's frames that are enlarged have their
    own pixels repeated, where otherwise new colours would be mixed between them.
    """
    before = []
    for axes in figure.axes:
        axes.apply_aspect()  # else it has its place, and not yet the shape of its frame
        for image in axes.images:
            if image.get_window_extent().width / figure.dpi * dpi > image.get_size()[1]:
                before.append((image, image.get_interpolation()))
                image.set_interpolation("nearest")
    try:
        yield
    finally:
        for image, interpolation in before:
            image.set_interpolation(interpolation)


def _in_256_colours(image: Image.Image) -> Image.Image:
    return image.quantize(256, dither=Image.Dither.NONE)


def _drawn(figure: plt.Figure, dpi: float) -> Image.Image:
    blob = io.BytesIO()
    # not compressed, as it is read again at once
    plain_text(figure).savefig(blob, format="png", dpi=dpi, pil_kwargs={"compress_level": 0})
    return Image.open(blob).convert("RGB")


def _png(image: Image.Image) -> bytes:
    blob = io.BytesIO()
    image.save(blob, "png", compress_level=COMPRESSION)
    return blob.getvalue()


def save_figure(figure: plt.Figure, name: str, table: pd.DataFrame) -> None:
    """Write ``figures/<name>.pdf`` and ``.png``, and the numbers behind it as ``.csv``; the same
    figure gives the same bytes.

    The PNG is written last, and one of another figure is taken away first. So where the same PNG is
    there, the PDF beside it is of this figure, and is not drawn again.

    Raises
    ------
    FileError
        If one of them cannot be written, or a folder lies in its place.
    """
    folder = paths.figures_dir()
    files = {ending: folder / f"{name}.{ending}" for ending in ("csv", "pdf", "png")}
    png = exact_png(figure, mpl.rcParams["savefig.dpi"])
    same = holds(files["png"], png) and files["pdf"].is_file()
    write_atomically(files["csv"], csv_bytes(table))  # first: it says what is wrong with the folder
    if not same:
        delete(files["png"])
        write_atomically(files["pdf"], _pdf(figure))
        write_atomically(files["png"], png)
    for file in files.values():
        paths.announce(file)


def _pdf(figure: plt.Figure) -> bytes:
    blob = io.BytesIO()
    plain_text(figure).savefig(blob, format="pdf", metadata={"CreationDate": None, "ModDate": None})
    return blob.getvalue()
