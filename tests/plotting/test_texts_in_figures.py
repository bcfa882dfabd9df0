"""Texts of labels and models in figures: as they stand, in fonts that have them, moving nothing."""

import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawers import CHARTS, FIGURES, PICTURES
from matplotlib import font_manager

from covrr_utils.plotting import lettering

MARKED = "_$20 to $30 $$ _ ^ \\ \\alpha"


@pytest.fixture(autouse=True)
def as_matplotlib_comes():
    """No style sheet: figures are drawn by somebody who imports one function."""
    with mpl.rc_context():
        mpl.rcdefaults()
        yield
    plt.close("all")


@pytest.fixture
def forget():
    """The fonts that were looked up are forgotten before and after."""
    caches = (lettering._known, lettering._further, lettering._draws)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def drawn(figure):
    """All texts of a figure, after a drawing that must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    return [text for text in figure.findobj(plt.Text) if text.get_text()]


@pytest.mark.parametrize("name", FIGURES)
def test_signs_of_formulas_are_drawn_as_they_stand(name):
    figure = FIGURES[name](MARKED)
    texts = drawn(figure)
    marked = [text for text in texts if "$$" in text.get_text()]
    assert marked and not any(text.get_parse_math() for text in marked)
    shown = "".join("".join(text.get_text().split()) for text in texts)
    assert "_$20to$30$$_^\\" in shown, "also a leading underscore"


@pytest.mark.parametrize("name", FIGURES)
def test_what_no_font_draws_is_an_escape_and_no_box(name, forget):
    texts = [text.get_text() for text in drawn(FIGURES[name]("\u4f60 \x1b"))]
    assert any("\\u4f60 \\x1b" in text for text in texts)
    assert not any("\u4f60" in text for text in texts)


def outline(names, path):
    """A font of squares for the given characters."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(point)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    order = [".notdef", *(f"g{number}" for number in range(len(names)))]
    font.setupGlyphOrder(order)
    font.setupCharacterMap(dict(zip(map(ord, names), order[1:])))
    font.setupGlyf(dict.fromkeys(order, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(order, (900, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Squares of a test", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(path)


def test_an_installed_font_that_has_the_characters_draws_them(tmp_path, monkeypatch, forget):
    outline("\u4f60\U0001f98a", tmp_path / "squares.ttf")
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [*manager.ttflist])
    manager.addfont(tmp_path / "squares.ttf")
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.set_title("\u4f60 \U0001f98a \u597d")
    lettering.plain_text(figure)
    assert axis.get_title() == "\u4f60 \U0001f98a \\u597d", "what it lacks is still an escape"
    assert axis.title.get_fontfamily()[-1] == "Squares of a test"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ending in ("png", "pdf"):
            figure.savefig(tmp_path / f"figure.{ending}")


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"sentence"}))
def test_long_words_move_no_picture(name):
    few, many = (
        np.array([axis.get_position(True).size * figure.get_size_inches() for axis in figure.axes])
        for figure in (PICTURES[name]("short"), PICTURES[name]("Someone kicks the mug away. " * 30))
    )
    assert np.abs(few - many).max() < 1e-6, "in inches"


@pytest.mark.parametrize("name", CHARTS)
def test_long_words_leave_a_chart_its_room(name):
    figure = CHARTS[name]("long " * 80)
    figure.draw_without_rendering()
    assert max(axis.get_position().width for axis in figure.axes) > 0.2
    shown = figure.get_tightbbox(figure.canvas.get_renderer())
    assert shown.width < 1.5 * figure.get_size_inches()[0]
    assert shown.height < 1.3 * figure.get_size_inches()[1]


def test_a_wrapped_text_has_at_most_its_lines():
    text = lettering.wrapped("one two three four five six\nseven", 9, lines=2)
    assert text == "one two\nthree…"
    assert lettering.wrapped("first\nsecond", 20) == "first\nsecond"
