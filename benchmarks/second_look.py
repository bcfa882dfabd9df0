"""Seconds of a query, step by step: ``python benchmarks/second_look.py [--queries 40]``.

Writes ``data/measured/second_look.csv``. On the first triplets of ``mini-val``, with its whole
gallery and an empty store: what it takes to write trace and description, to compare them with the
gallery in every way, and to look again at the first candidates. One thread; processor time, which
other work on the machine stretches less than time on the wall. What the gallery takes is not
counted, for it is described once for all queries; what a candidate's video takes is, and the more
queries share it, the less that is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import past_the_paper
import torch

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.files import write_atomically
from covrr_utils.spreadsheet import csv_bytes

FIRST = ("context", "alone", "bm25", "embedder: description", "embedder: description, + bm25")

SECOND = ("likelihood, 5", "likelihood, 20", "likelihood, 50", "mini-reranker: description, 20")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table: steps, and their seconds a query."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default=past_the_paper.MAIN)
    parser.add_argument("--benchmark", default="mini-val")
    parser.add_argument("--queries", type=int, default=40)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVRR_RUNS"] = folder
        run = Run(
            RunConfig(
                benchmark=options.benchmark,
                backbone=options.backbone,
                limit=options.queries,
                device="cpu",
            )
        )
        steps: dict[str, Callable[[], object]] = {
            "trace and description, written": lambda: run.queries(past_the_paper.STRATEGY)
        }
        for first in FIRST:
            ways = past_the_paper.FIRST[first]
            run.variant(**ways).evaluate("gold_trace", save=False)  # the gallery's side of it
            steps[first] = evaluated(run, ways)
        for second in SECOND:
            ways = past_the_paper.FIRST["bm25"] | past_the_paper.SECOND[second]
            steps[f"bm25, {second}"] = evaluated(run, ways)
        rows, before = [], 0.0
        for name, step in steps.items():
            begun = time.process_time()
            step()
            seconds = (time.process_time() - begun) / len(run.benchmark.triplets)
            if "likelihood" in name:  # a deeper look finds the pairs of the one before in the store
                seconds = before = before + seconds
            rows.append({"step": name, "seconds": round(seconds, 4)})
            print(f"{seconds:.3f} s: {name}", flush=True)
    write_atomically(
        past_the_paper.table_path().with_name("second_look.csv"), csv_bytes(pd.DataFrame(rows))
    )


def evaluated(run: Run, ways: Mapping[str, object]) -> Callable[[], object]:
    """Rank every query of the run in these ways."""
    return lambda: run.variant(**ways).evaluate(past_the_paper.STRATEGY, save=False)


if __name__ == "__main__":
    main()
