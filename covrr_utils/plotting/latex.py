"""Tables for papers: what a chapter shows, set in LaTeX that needs `booktabs` alone.

A value and its interval stand in two columns under one head, so that values are aligned at their
points; a table that is wider than a column spans the page; notes are marked and told below.
"""

from __future__ import annotations

import re
from string import ascii_lowercase

from covrr_utils.frames import pd
from covrr_utils.plotting.typesetting import NOTHING, Readable

SIGNS = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "→": r"$\to$",
        "−": "$-$",
        "\n": " ",
        "\r": " ",
    }
)

INTERVAL = re.compile(r"(\S+) (\[.*\])")

COLUMN_LETTERS, GAP_LETTERS = 54, 3  # what a column of a paper has room for; room between cells


def latex_text(text: str) -> str:
    """``text`` as LaTeX prints it: no sign of it is a command, quotation marks are paired."""
    return re.sub(r'"([^"]*)"', r"``\1''", text.translate(SIGNS))


def latex_table(shown: Readable, label: str, note: str = "") -> str:
    r"""A table as a float with caption and ``\label{tab:<label>}``, the best of a column in bold.

    The column ``note`` is taken out: its rows get a letter, and the caption says what it stands
    for.
    """
    cells, caption, marks = _noted(shown, note)
    parts: dict[tuple[str, str], list[str]] = {}
    alignment = ""
    for head in cells:
        values, intervals = _split(cells[head])
        values = [
            rf"\textbf{{{value}}}" if bold else value
            for value, bold in zip(values, shown.bold[head])
        ]
        parts[latex_text(head), ""] = [value + mark for value, mark in zip(values, marks)]
        marks = [""] * len(cells)  # the first column has them
        if any(intervals):
            parts[latex_text(head), "interval"] = intervals
        side = "r" if head in shown.numbers else "l"
        alignment += "r@{ }l" if any(intervals) else side
    table = pd.DataFrame(parts)
    table.columns = pd.MultiIndex.from_tuples(list(parts), names=["head", "part"])
    styler = table.style.hide(axis="index").hide(axis="columns", level=1)
    return styler.to_latex(
        hrules=True,
        column_format=alignment,
        caption=latex_text(caption),
        label=f"tab:{label}",
        position_float="centering",
        multicol_align="c",
        environment="table*" if _letters(cells) > COLUMN_LETTERS else None,
    )


def _noted(shown: Readable, note: str) -> tuple[pd.DataFrame, str, list[str]]:
    """The cells without the column ``note``, the caption with what it says, and a mark a row."""
    if note not in shown.cells:
        return shown.cells, shown.caption, [""] * len(shown.cells)
    texts = [text for text in shown.cells[note].drop_duplicates() if text != NOTHING]
    letters = dict(zip(texts, ascii_lowercase))
    told = "; ".join(f"{letter}: {text}" for text, letter in letters.items())
    marks = [
        rf"\textsuperscript{{{letters[text]}}}" if text in letters else ""
        for text in shown.cells[note]
    ]
    caption = ". ".join(filter(None, (shown.caption, told)))
    return shown.cells.drop(columns=note), caption, marks


def _split(column: pd.Series) -> tuple[list[str], list[str]]:
    """The values of a column and their intervals, in LaTeX; an empty text where there is none."""
    found = [INTERVAL.fullmatch(cell) for cell in column]
    values = [match[1] if match else cell for match, cell in zip(found, column)]
    intervals = [rf"\footnotesize {_cell(match[2])}" if match else "" for match in found]
    return [_cell(value) for value in values], intervals


def _cell(text: str) -> str:
    """A cell; the sign of a negative number is a minus, no hyphen."""
    shown = "--" if text == NOTHING else latex_text(text)
    return re.sub(r"^-(?=\d)", "$-$", shown)


def _letters(cells: pd.DataFrame) -> int:
    """How many letters the widest row has, with what lies between its cells."""
    widths = [max(map(len, [head, *cells[head]])) for head in cells]
    return sum(widths) + GAP_LETTERS * len(widths)
