"""Figures for paper: letters of 7 points or more, nothing overlaps, nothing leaves the page."""

import re
import zlib
from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawers import PRINTED, clip, clip_of, triplet

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.plotting import printed, printed_figures
from covrr_utils.plotting.boxes import canvas
from covrr_utils.plotting.printed import COLUMN, PAGE, Unprintable, fitted, save_printed, troubles
from covrr_utils.traces.trace import SLOTS, ReasoningTrace

BOOK = sorted(path.stem for path in paths.ROOT.glob("figures/11_figure_*.csv"))

WORDS = {
    "short": "Night falls.",
    "long": "Someone kicks the mug away. " * 30,
    "wide": "WWWW MMMM " * 30,
    "unbroken": "W" * 300,
    "narrow": "illicit " * 60,
    "many lines": "one\ntwo\nthree\nfour\nfive",
    "no font": "\u4f60 \x1b" * 60,
    "dollars": "$20 to $30 $$ _ ^",
    "none": "",
}


@pytest.fixture(scope="module")
def book():
    """Draws what chapter 11 writes for paper, of the same triplets, with stand-ins for clips."""
    triplets = {triplet.id: triplet for triplet in load_benchmark("mini").triplets}

    def rows(name):
        return pd.read_csv(paths.ROOT / "figures" / f"{name}.csv", dtype=str)

    def task():
        table = rows("11_figure_1_task")
        shown = [triplets[id] for id in table["triplet"]]
        candidates = [videos.split() for videos in table["candidates"]]
        reasoning = [triplet.gold_trace for triplet in shown]
        return printed_figures.query_columns(shown, candidates, reasoning, lambda _: clip())

    def traces():
        shown = [triplets[id] for id in rows("11_figure_2_traces")["triplet"]]
        return printed_figures.trace_rows(shown, lambda _: clip())

    return {
        "11_figure_1_task": task,
        "11_figure_2_traces": traces,
        "11_figure_3_two_paths": printed_figures.two_paths_column,
    }


def measured(figure):
    """The texts that are seen, and their boxes in inches, letters as wide as in a PDF."""
    figure.set_dpi(288)
    off = [axis for axes in figure.axes if not axes.axison for axis in (axes.xaxis, axes.yaxis)]
    labels = {text for axis in off for text in axis.findobj(plt.Text)}
    texts = [
        text
        for text in figure.findobj(plt.Text)
        if text.get_visible() and text.get_text().strip() and text not in labels
    ]
    with mpl.rc_context({"text.hinting": "no_hinting"}):
        figure.draw_without_rendering()
        return {text: text.get_window_extent().get_points() / 288 for text in texts}


def assert_printable(figure):
    width, height = figure.get_size_inches()
    assert width in (COLUMN, PAGE) and height < 9.1
    boxes = measured(figure)
    assert boxes and min(text.get_fontsize() for text in boxes) >= 7
    near = 0.01  # inches
    for text, ((left, low), (right, high)) in boxes.items():
        assert -near < left < right < width + near, text
        assert -near < low < high < height + near, text
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        across, up = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
        assert min(across, up) < near, (one.get_text(), other.get_text())


@pytest.mark.parametrize("name", BOOK)
def test_every_figure_of_the_chapter_can_be_read_on_paper(book, name):
    figure = book[name]()
    assert_printable(figure)
    assert troubles(figure) == []


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("name", PRINTED)
def test_whatever_is_written_the_figure_can_be_read(name, words):
    assert_printable(PRINTED[name](WORDS[words], 2 if words == "wide" else 1))


@pytest.mark.parametrize(
    "path", sorted(paths.ROOT.glob("figures/paper/*.pdf")), ids=lambda p: p.stem
)
def test_the_committed_pages_are_as_wide_as_a_column_and_their_letters_large(path):
    content = path.read_bytes()
    _, _, width, _ = map(float, re.search(rb"/MediaBox \[([^]]*)\]", content)[1].split())
    assert width / 72 in (COLUMN, PAGE)
    sizes = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, re.S):
        try:
            page = zlib.decompressobj().decompress(stream)
        except zlib.error:
            continue
        sizes += [float(size) for size in re.findall(rb"/\S+ ([\d.]+) Tf", page)]
    assert sizes and min(sizes) >= 7


def test_every_figure_of_the_chapter_has_a_variant_for_paper():
    committed = {path.stem for path in paths.ROOT.glob("figures/paper/*.pdf")}
    assert committed == set(BOOK) and len(BOOK) == 3


def test_candidates_have_names_and_videos_several_frames():
    figure = PRINTED["query columns"]("Night falls.")
    shown = {text.get_text() for text in figure.findobj(plt.Text)}
    assert {"(a) target", "(b) near 1", "(c) Night falls.", "(d) gone"} <= shown
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 3 * 4, "the reference and three candidates; one cannot be read"
    assert any(text.startswith("cannot be") for text in shown)
    few = printed_figures.two_paths_column()
    assert not few.axes[0].images


def test_a_trace_of_many_lines_says_how_many_are_left_out():
    full = ReasoningTrace(**dict.fromkeys(SLOTS, tuple(f"{'as before ' * 9}{n}" for n in range(4))))
    figure = printed_figures.trace_rows([replace(triplet("x"), gold_trace=full)] * 3, clip_of)
    assert_printable(figure)
    texts = [text.get_text() for text in figure.findobj(plt.Text)]
    kept = sum("as before" in text for text in texts) // 3
    assert kept > 10 and texts.count(f"… and {40 - kept} lines more") == 3


def test_a_change_too_long_for_a_line_says_before_and_after():
    long = "an old and very rusty bicycle"
    changed = replace(triplet("x"), gold_trace=ReasoningTrace(states=(f"{long} -> new and shiny",)))
    figure = printed_figures.trace_rows([changed], clip_of)
    shown = {text.get_text() for text in figure.findobj(plt.Text)}
    assert "→ new and shiny" in shown and any(text.startswith("an old and very") for text in shown)


def test_nothing_to_show_is_said():
    for figure in (
        printed_figures.query_columns([], [], [], clip_of),
        printed_figures.trace_rows([], clip_of),
    ):
        assert_printable(figure)


def test_a_figure_that_cannot_be_read_is_not_written(figures):
    figure, axis = canvas(5, 12)
    axis.text(0.2, 0.5, "small", fontsize=6)
    axis.text(4.9, 0.8, "outside", fontsize=8)
    axis.text(2, 0.5, "one", fontsize=8)
    axis.text(2.05, 0.52, "two", fontsize=8)
    axis.text(2, 0.5, "hidden", fontsize=3, visible=False)
    assert troubles(figure) == [
        "it is 5 in wide; expected 3.25 (a column) or 6.875 (a page)",
        "it is 12.00 in tall; a page has room for 9",
        "“small” has 6 points; expected 7 or more",
        "“outside” leaves the figure",
        "“one” overlaps “two”",
    ], "and nothing of the text that is hidden"
    with pytest.raises(Unprintable, match="figure bad is not fit to be printed: it is 5 in wide"):
        save_printed(figure, "bad")
    assert not (figures / "paper").exists()


def test_what_is_written_is_as_large_as_it_was_drawn_and_the_same_each_time(figures):
    blobs = []
    for _ in range(2):
        size = save_printed(PRINTED["trace rows"]("Night falls."), "one")
        blobs.append((figures / "paper" / "one.pdf").read_bytes())
    assert blobs[0] == blobs[1]
    assert not plt.get_fignums(), "what is written is closed"
    box = re.search(rb"/MediaBox \[([^]]*)\]", blobs[0])[1].split()
    assert [float(side) / 72 for side in box[2:]] == pytest.approx([size["width"], size["height"]])
    assert size["width"] == PAGE and size["smallest"] == printed.SMALLEST


def test_a_fitted_text_is_never_wider_than_its_room():
    figure, axis = canvas(PAGE, 1)
    text = fitted(axis, (0, 0.5), "WW " * 40, 1.0, 2, 9)
    ((left, _), (right, _)) = measured(figure)[text]
    assert 0.7 < right - left <= 1.001 and text.get_text().endswith("…")
    assert text.get_text().count("\n") == 1
    assert mpl.rcParams["savefig.bbox"] == "tight", "what is printed changes no style"
