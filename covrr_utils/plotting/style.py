"""One style for all figures: colours, sizes, and how a figure is written."""

from __future__ import annotations

import io
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter
from PIL import Image

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.spreadsheet import csv_bytes

PALETTE = sns.color_palette("colorblind")

HIT, MISS, REFERENCE, QUIET = PALETTE[2], PALETTE[3], PALETTE[0], (0.55, 0.55, 0.55)


def use() -> None:
    """The workbook's one style sheet; call it once per notebook.

    Figures in a notebook are kept as small as those on disk.
    """
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
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
        shell.display_formatter.formatters["image/png"].for_type(
            plt.Figure, lambda figure: palette_png(figure, figure.dpi)
        )


def plain_text(figure: plt.Figure) -> plt.Figure:
    """Draw every text of the figure as it stands, whatever dollar signs are in it: texts of labels
    and models are no formulas. Only the powers of ten of a log axis are.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                for text in (*axis.get_majorticklabels(), *axis.get_minorticklabels()):
                    text.set_parse_math(True)
    return figure


def palette_png(figure: plt.Figure, dpi: float) -> bytes:
    """The figure as PNG of 256 colours, a quarter of the size; the same figure gives the same
    bytes.
    """
    full, small = io.BytesIO(), io.BytesIO()
    plain_text(figure).savefig(full, format="png", dpi=dpi, metadata={"Software": None})
    Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, "png", optimize=True
    )
    return small.getvalue()


def save_figure(figure: plt.Figure, name: str, table: pd.DataFrame) -> None:
    """Write ``figures/<name>.pdf`` and ``.png``, and the numbers behind it as ``.csv``; the same
    figure gives the same bytes.
    """
    folder = paths.figures_dir()
    folder.mkdir(parents=True, exist_ok=True)
    pdf = io.BytesIO()
    plain_text(figure).savefig(pdf, format="pdf", metadata={"CreationDate": None, "ModDate": None})
    png, csv = palette_png(figure, mpl.rcParams["savefig.dpi"]), csv_bytes(table)
    for ending, blob in (("pdf", pdf.getvalue()), ("png", png), ("csv", csv)):
        write_atomically(folder / f"{name}.{ending}", blob)
        paths.announce(folder / f"{name}.{ending}")
