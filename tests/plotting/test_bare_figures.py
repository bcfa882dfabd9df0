"""Figures of next to nothing, of what cannot be read, and of colours that mean something."""

import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawers import CHARTS, YELLOW, clip, clip_of, measured, row, trace, triplet
from matplotlib.text import Text
from PIL import Image

from covrr_utils.plotting import (
    charts,
    judging_charts,
    panels,
    paper_figures,
    pictures,
    style,
    training,
)
from covrr_utils.video.clips import ClipError

GONE = ClipError("missing", "no file")


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text)).replace("\n", " ")


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_an_empty_table_says_so(name):
    assert "There is n" in words(CHARTS[name]("x", 0))


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_has_room_for_more_series_than_there_are_colours(name):
    CHARTS[name]("series ", 12).draw_without_rendering()


def test_pictures_of_nothing_say_so():
    for figure in (
        pictures.contact_sheet([], []),
        pictures.retrieval_rows([], clip_of),
        pictures.token_sentence([], [], "no tokens"),
        paper_figures.query_figure([], [], [], clip_of),
        paper_figures.trace_figure([], clip_of),
        training.training_curve(pd.DataFrame(columns=["step", "loss"]), [], "t"),
    ):
        assert "There is no" in words(figure)


def test_fewer_videos_than_places_leave_places_empty():
    figure = pictures.retrieval_rows(
        [row("x", top=("t", "b")), row("x", top=(), rank=None)], clip_of
    )
    assert sum(bool(axis.images) for axis in figure.axes) == 4 + 2
    assert "target: not ranked" in words(figure)
    few = paper_figures.query_figure([triplet("x")], [["t"]], [trace("x")], clip_of)
    assert sum(bool(axis.images) for axis in few.axes) == 2


def test_a_video_of_one_frame_is_drawn():
    figure = pictures.triplet_figure(clip(1), "x", clip(2), {"near": clip(1)})
    assert [axis.images[0].get_array().shape[1] for axis in figure.axes] == [32, 32, 32]
    assert len(pictures.contact_sheet([clip(1)], ["x"]).axes) == 1
    paper_figures.trace_figure([triplet("x", "still", "still")], clip_of, frames=1)


def test_a_video_that_cannot_be_read_is_a_labelled_empty_panel():
    for figure in (
        pictures.contact_sheet([GONE, clip()], ["gone", "there"]),
        pictures.triplet_figure(GONE, "x", clip(), {"near": GONE}),
        pictures.retrieval_rows([row("x", reference="gone")], clip_of),
        paper_figures.query_figure([triplet("x", "gone")], [["t", "a"]], [trace("x")], clip_of),
        paper_figures.trace_figure([triplet("x", target="gone")], clip_of),
    ):
        assert "cannot be read: missing" in words(figure)
        assert any(axis.images for axis in figure.axes), "the others are drawn"


def test_bounds_that_were_rounded_past_their_value_are_no_error():
    table = measured("x").assign(low=5.01, high=4.99, **{"R@1 low": 5.01, "score high": 4.99})
    judging_charts.score_and_recall(table, "t", "slots")
    charts.gain_and_cost(table, "t")
    rounded = {"recall": {"1": 0.5}, "interval": {"1": (0.51, 0.49)}, "triplets": 1, "kind": "k"}
    charts.recall_bars([{"s": "a", **rounded}], "s", "t", "1")


def test_rows_of_one_index_keep_their_own_lines():
    table = pd.concat([measured("a", 1), measured("b", 1)])
    (axis,) = charts.forest(table, "t").axes
    assert sorted(float(y) for line in axis.lines for y in np.atleast_1d(line.get_ydata())) == (
        pytest.approx([-1, -1, -1, 0, 0, 0], abs=1)
    )
    drawn = {float(y) for line in axis.lines for y in np.atleast_1d(line.get_ydata())}
    assert len(drawn) == 2


def test_every_point_of_gain_and_cost_stands_where_it_was_measured():
    table = measured("x", 3).assign(recall=[56.5, 55.25, 55.0], tokens=[59.54, 59.5, 59.52])
    (axis,) = charts.gain_and_cost(table, "t").axes
    points = [line.get_xydata()[0].tolist() for line in axis.lines if line.get_marker() in "osD"]
    assert points == table[["tokens", "recall"]].to_numpy().tolist()


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_no_name_covers_a_point_or_another_name(scale):
    """Points as near as those of chapters 05 and 12, the last one at the edge."""
    cost, recall = [2, 2, 2, 3, 3, 7, 22, 22, 23, 52], [80, 81, 56, 81, 85, 89, 92, 95, 96, 97]
    table = measured("a long name", 10).assign(recall=recall, tokens=cost)
    table = table.assign(low=table["recall"] - 4, high=table["recall"] + 2)
    figure = charts.gain_and_cost(table, "t", scale=scale)
    (axis,) = figure.axes
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axis.texts]  # without the lines to points
    assert len(boxes) == 10
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    points = axis.transData.transform(np.column_stack([cost, recall]))
    assert not any(box.contains(*point) for box in boxes for point in points)
    assert all(axis.get_window_extent().contains(*box.p0) for box in boxes)


def test_frames_of_clips_keep_their_colours(figures):
    """In `figures` to the last bit, in the outputs of notebooks to half of 32 levels."""
    figure = pictures.retrieval_rows([row("x")], clip_of)
    style.save_figure(figure, "rows", pd.DataFrame({"x": [1]}))
    pixels = np.asarray(Image.open(figures / "rows.png").convert("RGB"))
    assert (pixels == YELLOW).all(axis=-1).mean() > 0.5
    shown = np.asarray(Image.open(io.BytesIO(style.small_png(figure)[0])))
    full = style.exact_png(figure, style.PICTURE_DPI * style.SHARPNESS)
    drawn = np.asarray(Image.open(io.BytesIO(full)).convert("RGB"))
    assert np.abs(shown[:, : drawn.shape[1]].astype(int) - drawn).max() <= 4
    assert (shown[:, drawn.shape[1] :] == 255).all(), "what is missing to a whole pixel"
    assert (
        Image.open(io.BytesIO(style.exact_png(charts.forest(measured("x"), "t"), 80))).mode == "P"
    )


def test_a_notebook_shows_a_figure_at_its_size_with_twice_the_pixels():
    chart, rows = charts.forest(measured("x"), "t"), pictures.retrieval_rows([row("x")], clip_of)
    for figure, dpi in ((chart, 80), (rows, style.PICTURE_DPI)):
        png, metadata = style.small_png(figure)
        inches = figure.get_tightbbox().width + 2 * plt.rcParams["savefig.pad_inches"]
        assert abs(metadata["width"] - inches * dpi) < 2
        assert Image.open(io.BytesIO(png)).width == style.SHARPNESS * metadata["width"]
        assert list(metadata) == ["width"], "with a height a narrow window would change the shape"


@pytest.mark.parametrize("side, mixed", [(60, False), (400, True)])
def test_a_frame_drawn_larger_than_it_is_mixes_no_colours(side, mixed):
    """Its pixels are repeated, in a notebook and nowhere else; one drawn smaller is averaged."""
    board = np.indices((side, side)).sum(axis=0) % 2 * 255
    figure, axis = plt.subplots(figsize=(1, 1), layout="none")
    axis.set_position((0, 0, 1, 1))
    panels.show_image(axis, np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    before = style.exact_png(figure, 140)
    greys = np.asarray(Image.open(io.BytesIO(style.small_png(figure)[0])).convert("L"))
    middle = greys[40:100, 40:100]
    assert bool(((middle > 0) & (middle < 255)).any()) == mixed
    assert style.exact_png(figure, 140) == before, "the figure is as it was"
