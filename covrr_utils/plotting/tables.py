"""Tables as products: CSV for machines, LaTeX for papers, with the kind of every number in a column
or in the caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from covrr_utils import paths
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.results import Result
from covrr_utils.files import write_atomically
from covrr_utils.frames import pd
from covrr_utils.plotting.latex import latex_table
from covrr_utils.plotting.lettering import words
from covrr_utils.plotting.typesetting import readable
from covrr_utils.retrieval import metrics
from covrr_utils.spreadsheet import csv_bytes


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """``"39.25 [34.6, 44.1]"``: the bounds have one digit less than the value."""
    return f"{value:.{digits}f} [{low:.{digits - 1}f}, {high:.{digits - 1}f}]"


def recall_columns(results: Mapping[str, Result]) -> pd.DataFrame:
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
        cells: dict[str, str | int | None] = {
            f"R@{k}": with_interval(
                100 * value, 100 * result.interval[k][0], 100 * result.interval[k][1]
            )
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


def recall_table(results: Mapping[str, Result], k: int = 1) -> pd.DataFrame:
    """One row per named `Result`: recall at k in percent with its interval, the number of triplets,
    the kind of number.
    """
    return pd.DataFrame(
        [
            {
                "name": name,
                "K": k,
                "recall": 100 * r.recall[str(k)],
                "low": 100 * r.interval[str(k)][0],
                "high": 100 * r.interval[str(k)][1],
                "n": r.triplets,
                "kind": r.kind,
            }
            for name, r in results.items()
        ]
    )


def tag_table(
    results: Mapping[str, Result], triplets: Sequence[Triplet], tags: Sequence[str], k: int = 1
) -> pd.DataFrame:
    """Recall at k in percent with interval for each result on the triplets of each tag; ``all`` and
    ``explicit`` (not implicit) are tags too.
    """
    rows = []
    for tag in tags:
        chosen = [
            i
            for i, t in enumerate(triplets)
            if tag == "all" or tag in t.tags or (tag == "explicit" and "implicit" not in t.tags)
        ]
        for name, result in results.items():
            if chosen:
                ranks = [result.ranks[i] for i in chosen]
                low, high = metrics.recall_interval(ranks, k)
                rows.append(
                    {
                        "name": name,
                        "tag": tag,
                        "n": len(chosen),
                        "recall": 100 * metrics.recall_at(ranks, k),
                        "low": 100 * low,
                        "high": 100 * high,
                        "kind": result.kind,
                    }
                )
    return pd.DataFrame(rows, columns=["name", "tag", "n", "recall", "low", "high", "kind"])


def save_table(
    table: pd.DataFrame, name: str, caption: str, best: Sequence[str] = (), note: str = ""
) -> None:
    """Write ``figures/<name>.csv``, the table as it is, and ``figures/<name>.tex``, as a paper
    prints it; the same table gives the same bytes.

    In LaTeX names of code are words, what all rows share is said in the ``caption``, the largest of
    each column of ``best`` is bold, and the texts of the column ``note`` are told below the table.
    """
    folder = paths.figures_dir()
    latex = latex_table(readable(table, words(caption), best=best), name, note)
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


def measured_table(table: str) -> pd.DataFrame:
    """A table of what was measured on the mini benchmarks, as its command wrote it into
    ``data/measured``; recalls in percent.
    """
    return pd.read_csv(paths.data_dir() / "measured" / f"{table}.csv", keep_default_na=False)
