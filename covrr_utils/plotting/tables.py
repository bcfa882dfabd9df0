"""Tables as products: CSV for machines, LaTeX for papers, with the kind of every number in a column
or in the caption.
"""

from __future__ import annotations

import pandas as pd

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.spreadsheet import csv_bytes


def with_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """``"39.2 [34.6, 44.1]"``, all three rounded alike."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def recall_columns(results: dict) -> pd.DataFrame:
    """One row per named `Result`: recalls in percent with their 95% intervals, denominators and
    kind of number.

    Where videos are missing, the recalls over the triplets whose videos could be read stand beside
    those over all.
    """
    rows, partial = (
        [],
        any(result.present not in (None, result.triplets) for result in results.values()),
    )
    for name, result in results.items():
        cells = {
            f"R@{k}": with_interval(100 * value, *(100 * bound for bound in result.interval[k]))
            for k, value in result.recall.items()
        }
        if partial:
            cells |= {
                f"R@{k}, present": f"{100 * value:.1f}"
                for k, value in result.recall_present.items()
            } | {"n, present": result.present}
        rows.append(
            {
                "system": name,
                **cells,
                "n": result.triplets,
                "coverage": f"{result.coverage:.3f}",
                "kind": result.kind,
            }
        )
    return pd.DataFrame(rows)


LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\n": " ",
        "\r": " ",
    }
)


def save_table(table: pd.DataFrame, name: str, caption: str) -> None:
    """Write ``figures/<name>.csv`` and ``figures/<name>.tex`` (booktabs, escaped); the same table
    gives the same bytes.
    """
    folder = paths.figures_dir()
    folder.mkdir(parents=True, exist_ok=True)
    styler = (
        table.style.hide(axis="index")
        .format(escape="latex", na_rep="--", precision=2)
        .format_index(escape="latex", axis="columns")
    )
    latex = styler.to_latex(
        hrules=True,
        caption=caption.translate(LATEX),
        label=f"tab:{name}",
        position_float="centering",
    )
    for ending, content in (("csv", csv_bytes(table)), ("tex", latex.encode())):
        write_atomically(folder / f"{name}.{ending}", content)
        paths.announce(folder / f"{name}.{ending}")


KIND = "paper-reported"

TABLES = (
    "covr_r",
    "dense_webvid_covr",
    "webvid_covr",
    "pooling",
    "later_systems",
    "inconsistencies",
)


class UnknownTable(ValueError):
    """A table that was not published, or is not kept here."""


def paper_table(table: str) -> pd.DataFrame:
    """One of the `TABLES`; recalls in percent, scores as published, an empty cell where nothing was
    published.

    Raises
    ------
    UnknownTable
        If there is none of that name.
    """
    if table not in TABLES:
        raise UnknownTable(f"unknown table {table!r}; known: {', '.join(TABLES)}")
    return pd.read_csv(paths.data_dir() / "paper" / f"{table}.csv")
