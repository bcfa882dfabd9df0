"""Numbers of the paper and of its peers: data with a source (``data/paper/``), always labelled *paper-reported*."""

from __future__ import annotations

import pandas as pd

from covrr_utils import paths

KIND = "paper-reported"
TABLES = ("covr_r", "dense_webvid_covr", "webvid_covr", "pooling", "later_systems", "inconsistencies")


class UnknownTable(ValueError):
    """A table that was not published, or is not kept here."""


def published(table: str) -> pd.DataFrame:
    """One of the `TABLES`; recalls in percent, scores as published, an empty cell where nothing was published.

    Raises
    ------
    UnknownTable
        If there is none of that name.
    """
    if table not in TABLES:
        raise UnknownTable(f"unknown table {table!r}; known: {', '.join(TABLES)}")
    return pd.read_csv(paths.data_dir() / "paper" / f"{table}.csv")
