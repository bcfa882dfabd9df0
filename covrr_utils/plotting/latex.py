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
    cells, caption = shown.cells, shown.caption
    marks = [""] * len(cells)
    if note in cells:
        texts = [text for text in cells[note].drop_duplicates() if text != NOTHING]
        letters = dict(zip(texts, ascii_lowercase))
        marks = [letters.get(text, "") for text in cells[note]]
        told = "; ".join(f"{letter}: {text}" for text, letter in letters.items())
        caption = f"{caption}. {told}" if told else caption
        cells = cells.drop(columns=note)
    parts: dict[tuple[str, str], list[str]] = {}
    alignment = []
    for place, head in enumerate(cells):
        column = cells[head].tolist()
        split = [INTERVAL.fullmatch(cell) for cell in column]
        values = [match[1] if match else cell for match, cell in zip(split, column)]
        bold = shown.bold[head] if head in shown.bold else [False] * len(column)
        set_values = [
            rf"\textbf{{{_cell(value)}}}" if best else _cell(value)
            for value, best in zip(values, bold)
        ]
        if place == 0:
            set_values = [
                rf"{value}\textsuperscript{{{mark}}}" if mark else value
                for value, mark in zip(set_values, marks)
            ]
        parts[latex_text(head), ""] = set_values
        alignment.append("r" if head in shown.numbers else "l")
        if any(split):
            parts[latex_text(head), "interval"] = [
                rf"\footnotesize {_cell(match[2])}" if match else "" for match in split
            ]
            alignment[-1] = "r@{ }l"
    table = pd.DataFrame(parts)
    table.columns = pd.MultiIndex.from_tuples(list(parts), names=["head", "part"])
    styler = table.style.hide(axis="index").hide(axis="columns", level=1)
    return styler.to_latex(
        hrules=True,
        column_format="".join(alignment),
        caption=latex_text(caption),
        label=f"tab:{label}",
        position_float="centering",
        multicol_align="c",
        environment="table*" if _letters(cells) > COLUMN_LETTERS else None,
    )


def _cell(text: str) -> str:
    """A cell; the sign of a negative number is a minus, no hyphen."""
    shown = "--" if text == NOTHING else latex_text(text)
    return re.sub(r"^-(?=\d)", "$-$", shown)


def _letters(cells: pd.DataFrame) -> int:
    """How many letters the widest row has, with what lies between its cells."""
    widths = [max(map(len, [head, *cells[head]])) for head in cells]
    return sum(widths) + GAP_LETTERS * len(widths)
