"""Tables for readers: what a chapter shows under a cell.

No index column, words in place of names of code, numbers on the right and words on the left, a dash
where there is nothing, and what every row shares said once, above.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pandas.api.types import is_float_dtype

from covrr_utils.files import digest
from covrr_utils.frames import pd
from covrr_utils.plotting.lettering import words

SHARED = ("n", "coverage", "kind", "K")  # said once where all rows have the same

PROBABILITIES = ("p", "p adjusted")

NOTHING = "–"

NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?")

WORD = re.compile(r"[^\W\d_]{3,}")  # longer than a unit or "of"

LOOK = [
    {"selector": "caption", "props": "text-align: left; color: inherit; padding: 0 0 .4em"},
    {"selector": "th", "props": "text-align: left; vertical-align: bottom; white-space: normal"},
    {"selector": "td", "props": "text-align: left; vertical-align: top; white-space: normal"},
    {"selector": ".number", "props": "text-align: right; white-space: nowrap"},
]


@dataclass(frozen=True)
class Readable:
    """A table as a chapter shows it: ``cells`` hold text alone, ``numbers`` names the columns that
    stand on the right, ``bold`` (rows by columns) the cells that are the best of their column.
    """

    cells: pd.DataFrame
    caption: str
    numbers: tuple[str, ...]
    bold: pd.DataFrame

    def _repr_html_(self) -> str:
        heads = [
            {"selector": f"th.col{place}", "props": "text-align: right"}
            for place, name in enumerate(self.cells)
            if name in self.numbers
        ]
        styler = self.cells.style.hide(axis="index").set_table_styles(LOOK + heads)
        styler = styler.format(escape="html").format_index(escape="html", axis="columns")
        right = {name: "number" for name in self.numbers}
        classes = pd.DataFrame([right] * len(self.cells), index=self.cells.index)
        styler = styler.set_td_classes(classes.reindex(columns=self.cells.columns))
        styler = styler.apply(lambda _: self.bold.map(_weight), axis=None)
        if self.caption:
            styler = styler.set_caption(html.escape(self.caption))
        return styler.to_html(table_uuid=digest({"table": self.to_string()}))

    def to_string(self) -> str:
        """The table in plain letters, its caption above."""
        return "\n".join(filter(None, (self.caption, self.cells.to_string(index=False))))

    __repr__ = to_string


def readable(
    table: pd.DataFrame, caption: str = "", digits: int = 2, best: Sequence[str] = ()
) -> Readable:
    """The table for readers; numbers with ``digits`` after the point, in the columns ``best`` the
    largest one bold.

    An index that has a name becomes the first column. Columns of `SHARED` that have one value in
    all rows are named in the caption instead.

    Raises
    ------
    ValueError
        If a column of ``best`` is not in the table.
    """
    if unknown := [name for name in best if name not in table]:
        raise ValueError(f"no column {unknown[0]!r}; the table has {', '.join(map(str, table))}")
    table = table.reset_index(drop=table.index.name is None)
    shared = [name for name in table if name in SHARED and len(table) > 1 and _same(table[name])]
    said = [_said(str(name), _text(table[name].iloc[0], digits)) for name in shared]
    table = table.drop(columns=shared)
    heads = {name: words(str(name)) for name in table}
    numbers = [name for name in table if is_numeric(table[name])]
    cells = pd.DataFrame({heads[name]: _column(table[name], digits) for name in table})
    return Readable(
        cells,
        ", ".join(filter(None, (caption, *said))),
        tuple(heads[name] for name in numbers),
        best_cells(table, best).rename(columns=heads),
    )


def best_cells(table: pd.DataFrame, best: Sequence[str]) -> pd.DataFrame:
    """Which cells are the largest of their column, in the columns ``best``; a cell of text counts
    as the number that it begins with.
    """
    marks = pd.DataFrame(False, index=table.index, columns=table.columns)
    for name in best:
        values = table[name].map(_leading)
        marks[name] = values.eq(values.max())
    return marks


def _weight(bold: bool) -> str:
    return "font-weight: bold" if bold else ""


def _leading(value: object) -> float:
    match = NUMBER.match(str(value))
    return float(match[0].replace("−", "-").replace(",", "")) if match else float("nan")


def _same(column: pd.Series) -> bool:
    return column.notna().all() and column.nunique() == 1


def _said(name: str, value: str) -> str:
    return value if name == "kind" else f"{name} {value}"


def is_numeric(column: pd.Series) -> bool:
    """Whether every cell that holds something is a number, or some with signs and units."""
    shown = [str(value) for value in column if not _nothing(value)]
    return bool(shown) and all(NUMBER.match(v) and not WORD.search(v) for v in shown)


def _nothing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _column(column: pd.Series, digits: int) -> list[str]:
    if str(column.name) in PROBABILITIES:
        return [_probability(value) for value in column]
    present = column.dropna()
    if is_float_dtype(column) and column.hasnans and present.eq(present.round()).all():
        digits = 0  # counts, which a gap among them has made floats
    return [_text(value, digits) for value in column]


def _probability(value: float) -> str:
    return NOTHING if _nothing(value) else "< 0.001" if value < 0.0005 else f"{value:.3f}"


def _text(value: object, digits: int) -> str:
    if _nothing(value):
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:,.{digits}f}"
    return words(str(value))
