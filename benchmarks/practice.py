"""How much of what reasoning gains is practice: ``python benchmarks/practice.py``.

Takes the backbones of `PRACTICE_RECIPES` (``python -m covrr_utils.mini.train direct-never`` and so
on makes them), which have the same eyes and differ only in what their text stage practised, and
writes the rank of every target of ``mini`` by each of them, in one stage and in two, by vectors and
by words: ``data/measured/what_practice_explains.csv``. What was described before is taken from the
store.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.files import write_atomically
from covrr_utils.mini.recipes import PRACTICE_RECIPES
from covrr_utils.mini.train import practice_dir
from covrr_utils.retrieval import metrics
from covrr_utils.spreadsheet import csv_bytes

STRATEGIES = ("single_stage", "two_stage")

SCORERS = {"context": {}, "bm25": {"scorers": ["bm25"]}}


def ranks_of(folder: Path) -> dict[str, list[int]]:
    """The ranks of all targets by one backbone, by strategy and scorer."""
    run = Run(RunConfig(backbone=str(folder), device="cpu"))
    columns = {}
    for strategy in STRATEGIES:
        for scorer, options in SCORERS.items():
            result = run.variant(**options).evaluate(strategy, save=False)
            name = f"{folder.name} | {strategy} | {scorer}"
            columns[name] = result.ranks
            print(f"{name}: R@1 {100 * metrics.recall_at(result.ranks, 1):.2f}", flush=True)
    return columns


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table, a row for each triplet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=practice_dir(), help="where they lie")
    options = parser.parse_args(arguments)
    triplets = Run(RunConfig(device="cpu")).benchmark.triplets
    table = pd.DataFrame(
        {
            "triplet": [triplet.id for triplet in triplets],
            "edit": [
                "implicit" if "implicit" in triplet.tags else "explicit" for triplet in triplets
            ],
        }
    )
    for name in PRACTICE_RECIPES:
        table = table.assign(**ranks_of(options.models / name))
    write_atomically(paths.data_dir() / "measured" / "what_practice_explains.csv", csv_bytes(table))


if __name__ == "__main__":
    main()
