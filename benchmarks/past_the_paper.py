"""What each way past the paper brings, and what it costs: ``python benchmarks/past_the_paper.py``.

Writes ``data/measured/past_the_paper.csv``, a row for each backbone, benchmark and system; what was
measured before is taken from the store. ``mini-val`` is where choices are made, ``mini`` where they
are reported. Calls of the model are counted, not timed: a machine that does other things tells
nothing about seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.files import write_atomically
from covrr_utils.plotting import tables
from covrr_utils.retrieval import metrics
from covrr_utils.spreadsheet import csv_bytes

STRATEGY = "two_stage"

WRITTEN = 2  # calls of the model for a query of two_stage: the trace, then the description

FIRST: dict[str, dict[str, object]] = {
    "context": {},
    "alone": {"embedding": "alone"},
    "tfidf": {"scorers": ["tfidf"]},
    "bm25": {"scorers": ["bm25"]},
    "context + tfidf": {"scorers": ["states", "tfidf"]},
    "context + bm25": {"scorers": ["states", "bm25"]},
}

SECOND: dict[str, dict[str, object]] = {
    "-": {},
    "likelihood, 5": {"rerank": "likelihood", "rerank_depth": 5},
    "likelihood, 10": {"rerank": "likelihood", "rerank_depth": 10},
    "likelihood, 20": {"rerank": "likelihood", "rerank_depth": 20},
    "likelihood, 50": {"rerank": "likelihood", "rerank_depth": 50},
    "likelihood, adaptive": {"rerank": "likelihood", "rerank_depth": "adaptive"},
    "yes-no, 20": {"rerank": "yes-no", "rerank_depth": 20},
}

SYSTEMS = [(first, "-") for first in FIRST]
SYSTEMS += [(first, "likelihood, 20") for first in FIRST]
SYSTEMS += [("bm25", second) for second in SECOND if (second not in ("-", "likelihood, 20"))]
SYSTEMS += [("context", second) for second in ("likelihood, 5", "likelihood, 10")]
SYSTEMS.sort(key=lambda each: (list(FIRST).index(each[0]), list(SECOND).index(each[1])))


def row(first: str, second: str, result: Result, tags: Mapping[str, Sequence[int]]) -> dict:
    """One system: recalls in percent, R@1 with its interval, overall and by kind of edit."""
    about = result.reranking or {}
    pairs = about.get("pairs_per_query", 0.0)
    reads = "alone" in first
    values: dict[str, object] = {
        "backbone": result.backbone,
        "benchmark": result.benchmark,
        "first stage": first,
        "reranker": second,
        "N": result.triplets,
        **{f"R@{k}": 100 * value for k, value in result.recall.items()},
    }
    values["low"], values["high"] = (100 * bound for bound in result.interval["1"])
    for tag, places in tags.items():
        ranks = [result.ranks[place] for place in places]
        low, high = metrics.recall_interval(ranks, 1)
        values[tag] = 100 * metrics.recall_at(ranks, 1)
        values[f"{tag} low"], values[f"{tag} high"] = 100 * low, 100 * high
    values["pairs"] = pairs
    values["calls"] = WRITTEN + reads + pairs
    values["tokens written"] = result.tokens_per_query
    values["tokens of the reranker"] = about.get("tokens_per_query", 0.0)
    return values


def measured(backbone: str, benchmark: str, systems: Sequence[tuple[str, str]]) -> list[dict]:
    """A row for each of these systems."""
    run = Run(RunConfig(benchmark=benchmark, backbone=backbone, device="cpu"))
    kinds: dict[str, list[int]] = {"implicit": [], "explicit": []}
    for place, triplet in enumerate(run.benchmark.triplets):
        kinds["implicit" if "implicit" in triplet.tags else "explicit"].append(place)
    kinds = {kind: places for kind, places in kinds.items() if places}
    rows = []
    for first, second in systems:
        result = run.variant(**FIRST[first], **SECOND[second]).evaluate(STRATEGY, save=False)
        rows.append(row(first, second, result, kinds))
        print(f"{backbone} {benchmark}: {first}, {second}: R@1 {rows[-1]['R@1']:.2f}", flush=True)
    return rows


def table_path() -> Path:
    """Where the table lies."""
    return paths.data_dir() / "measured" / "past_the_paper.csv"


def kept(rows: Sequence[Mapping[str, object]]) -> None:
    """Put these rows into the table, in the place of older ones of the same systems."""
    keys = ["backbone", "benchmark", "first stage", "reranker"]
    table = pd.DataFrame(rows).round(4)
    if table_path().exists():
        table = pd.concat([pd.read_csv(table_path(), keep_default_na=False), table])
    table = table.drop_duplicates(keys, keep="last")
    order = {system: number for number, system in enumerate(SYSTEMS)}
    systems = zip(table["first stage"], table["reranker"])
    table["order"] = [order.get(system, len(order)) for system in systems]
    table = table.sort_values(["backbone", "benchmark", "order"], ascending=[False, False, True])
    write_atomically(table_path(), csv_bytes(table.drop(columns="order")))


def document_table(table: pd.DataFrame, backbone: str, benchmark: str) -> str:
    """The rows of one backbone and benchmark as `docs/past-the-paper.md` shows them."""
    rows = table[(table["backbone"] == backbone) & (table["benchmark"] == benchmark)]
    lines = [
        "| first stage | reranker | R@1 | R@5 | R@10 | R@50 | implicit | explicit | calls |"
        " tokens |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for _, one in rows.iterrows():
        cells = [one["first stage"], one["reranker"]]
        cells.append(tables.with_interval(one["R@1"], one["low"], one["high"]))
        cells += [f"{one[name]:.2f}" for name in ("R@5", "R@10", "R@50", "implicit", "explicit")]
        cells += [f"{one['calls']:.1f}", f"{one['tokens of the reranker']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["mini-3m"])
    parser.add_argument("--benchmarks", nargs="+", default=["mini-val", "mini"])
    parser.add_argument("--first", nargs="+", choices=list(FIRST), default=list(FIRST))
    parser.add_argument("--rerankers", nargs="+", choices=list(SECOND), default=list(SECOND))
    options = parser.parse_args(arguments)
    for backbone in options.backbones:
        for benchmark in options.benchmarks:
            for first, second in SYSTEMS:
                if first in options.first and second in options.rerankers:
                    kept(measured(backbone, benchmark, [(first, second)]))


if __name__ == "__main__":
    main()
