"""Texts of labels and models in figures: drawn as they stand, in fonts that have their characters,
and wrapped, so that no figure is laid out by the length of its words.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, LogFormatter

PLACEHOLDERS = "Last Resort"  # a font that draws a box for everything

EM = 0.58  # mean width of a character of DejaVu Sans, by its size

POINTS = 72  # in an inch


def plain_text(figure: plt.Figure) -> plt.Figure:
    """Draw every text of the figure as it stands: no dollar sign begins a formula (only the powers
    of ten of a log axis are set as such), and what the text's font lacks is drawn in another
    installed font that has it, else as an escape such as ``\\u4f60``.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _escape_ticks(axis)
    for text in figure.findobj(Text):
        plain(text)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                for text in (*axis.get_majorticklabels(), *axis.get_minorticklabels()):
                    text.set_parse_math(True)
    return figure


def plain(text: Text) -> None:
    """Draw one text as `plain_text` draws all of a figure."""
    text.set_parse_math(False)
    families = tuple(text.get_fontfamily())
    text.set_text(readable(text.get_text(), families))
    if further := _further(_missing(text.get_text(), families)):
        text.set_fontfamily([*families, *further])


def _escape_ticks(axis: Axis) -> None:
    """Tick labels are set anew at every drawing: escape them where they come from."""
    if isinstance(axis.get_major_locator(), FixedLocator):
        labels = axis.get_majorticklabels()
        given = [label.get_text() for label in labels]
        shown = [readable(text, label.get_fontfamily()) for text, label in zip(given, labels)]
        if shown != given:
            axis.set_ticklabels(shown)


def readable(text: str, families: Sequence[str] | None = None) -> str:
    """``text`` with escapes in place of the characters that no installed font draws; ``families``
    are those of its font (default: the style sheet's).
    """
    missing = _missing(text, tuple(families or plt.rcParams["font.family"]))
    without = {c for c in missing if not any(_draws(name, c) for name in _further(missing))}
    return "".join(_escape(character) if character in without else character for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _missing(text: str, families: tuple[str, ...]) -> frozenset[str]:
    """The characters that the fonts of these families lack."""
    return frozenset(c for c in set(text) if c != "\n" and not _known(c, families))


@lru_cache(maxsize=4096)
def _known(character: str, families: tuple[str, ...]) -> bool:
    return any(
        font_manager.get_font(
            font_manager.findfont(FontProperties(family=[family]))
        ).get_char_index(ord(character))
        != 0
        for family in families
    )


@lru_cache(maxsize=512)
def _further(missing: frozenset[str]) -> tuple[str, ...]:
    """Installed families that have the missing characters, as few as it takes, upright ones without
    serifs first.
    """
    families: list[str] = []
    left = set(missing)
    names = {font.name for font in font_manager.fontManager.ttflist}
    for name in sorted(names, key=lambda name: ("Sans" not in name, name)) if left else ():
        if drawn := {character for character in left if _draws(name, character)}:
            families.append(name)
            left -= drawn
        if not left:
            break
    return tuple(families)


@lru_cache(maxsize=4096)
def _draws(family: str, character: str) -> bool:
    """Whether a family has a drawing of the character: an outline, no bitmap, no placeholder."""
    fonts = [font for font in font_manager.fontManager.ttflist if font.name == family]
    if family.startswith(PLACEHOLDERS) or not fonts:
        return False
    style = {name: getattr(fonts[0], name) for name in ("style", "weight", "stretch")}
    try:
        face = font_manager.get_font(font_manager.findfont(FontProperties(family=family, **style)))
        if face.get_char_index(ord(character)) == 0:
            return False
        face.set_size(12, POINTS)
        left, bottom, right, top = face.load_char(ord(character)).bbox
    except (OSError, RuntimeError):  # gone, or a font of coloured bitmaps, as many emoji fonts are
        return False
    return right > left and top > bottom


def cells(text: str) -> int:
    """How many columns a text fills: Chinese, Japanese and Korean characters two each."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def columns(inches: float, size: float) -> int:
    """How many characters of ``size`` points have room in ``inches``."""
    return max(1, int(inches * POINTS / (EM * size)))


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """``text`` as at most ``lines`` lines of ``width`` columns, what is too long cut with ``…``;
    its own line breaks stay.
    """
    shown: list[str] = []
    for line in readable(text).split("\n"):
        shown += textwrap.wrap(
            line,
            max(2, width * len(line) // max(cells(line), 1)),
            max_lines=lines,
            placeholder="…",
            break_on_hyphens=False,
        )
    if len(shown) > lines:
        shown = [*shown[: lines - 1], f"{shown[lines - 1].removesuffix('…')}…"]
    return "\n".join(shown)


def names(texts: Iterable[object], width: int = 32, lines: int = 1) -> list[str]:
    """Names beside an axis or in a legend, as words; what is too long for its lines is cut with
    ``…``.
    """
    return [wrapped(words(str(text)), width, lines) for text in texts]


def words(text: str) -> str:
    """Names of code as words: ``single_stage`` is "single stage"."""
    return re.sub(r"(?<=[a-z0-9])_(?=[a-z0-9])", " ", text)


def empty_figure(title: str, why: str) -> plt.Figure:
    """A figure that says in a sentence why there is nothing to draw."""
    figure, axis = plt.subplots(figsize=(6.6, 1.2))
    axis.axis("off")
    axis.set_title(wrapped(title, columns(6.0, 11)), loc="left").set_in_layout(False)
    axis.text(0, 0.5, wrapped(why, columns(6.0, 10)), fontsize=10, color="0.35", va="center")
    return plain_text(figure)
