"""What each way past the paper brings, and what it costs: ``python benchmarks/past_the_paper.py``.

Writes ``data/measured/past_the_paper.csv``, a row for each backbone, benchmark and system. Of
``mini`` two more tables are kept: the rank of every target by every system, and once more by the
best one of ``mini-3m`` without training, given gold traces (``past_the_paper_ranks.csv``); and what
is known of the targets that this best one does not put first (``past_the_paper_misses.csv``). What
was measured before is taken from the store. ``mini-val`` is where choices are made, ``mini`` where
they are reported. Calls of the model are counted, not timed: a machine that does other things tells
nothing about seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.files import write_atomically
from covrr_utils.mini.build import shots_of
from covrr_utils.mini.captions import read_description
from covrr_utils.mini.world import Shot
from covrr_utils.plotting import tables
from covrr_utils.retrieval import metrics
from covrr_utils.spreadsheet import csv_bytes

STRATEGY = "two_stage"

WRITTEN = 2  # calls of the model for a query of two_stage: the trace, then the description


def by_embedder(query: str, *others: str) -> dict[str, object]:
    """The first stage of the embedder of the mini world, fused with other scorers."""
    return {"scorers": ["embedder", *others], "embedder": EMBEDDER, "embedder_query": query}


EMBEDDER = "mini-embedder"

EDIT_ALONE = "embedder: source + edit"  # the one first stage for which nothing is written

FIRST: dict[str, dict[str, object]] = {
    "context": {},
    "alone": {"embedding": "alone"},
    "tfidf": {"scorers": ["tfidf"]},
    "bm25": {"scorers": ["bm25"]},
    "context + tfidf": {"scorers": ["states", "tfidf"]},
    "context + bm25": {"scorers": ["states", "bm25"]},
    EDIT_ALONE: by_embedder("source+edit"),
    "embedder: description": by_embedder("description"),
    "embedder: source + edit + trace": by_embedder("source+edit+trace"),
    "embedder: description, + bm25": by_embedder("description", "bm25"),
    "embedder: source + edit + trace, + bm25": by_embedder("source+edit+trace", "bm25"),
}

RERANKER = "mini-reranker"

INPUTS = ("description", "edit", "source+edit", "source+edit+trace")  # of a query, that it is given


def by_reranker(given: str, weight: float = 1.0) -> dict[str, object]:
    """A second look of the reranker of the mini world at the first 20; with a ``weight`` below 1
    the first stage keeps its share in the new order.
    """
    return {
        "rerank": "yes-no",
        "rerank_model": RERANKER,
        "rerank_depth": 20,
        "rerank_input": given,
        "rerank_weight": weight,
    }


SECOND: dict[str, dict[str, object]] = {
    "-": {},
    "likelihood, 5": {"rerank": "likelihood", "rerank_depth": 5},
    "likelihood, 10": {"rerank": "likelihood", "rerank_depth": 10},
    "likelihood, 20": {"rerank": "likelihood", "rerank_depth": 20},
    "likelihood, 50": {"rerank": "likelihood", "rerank_depth": 50},
    "likelihood, adaptive": {"rerank": "likelihood", "rerank_depth": "adaptive"},
    "yes-no, 20": {"rerank": "yes-no", "rerank_depth": 20},
    **{f"{RERANKER}: {given}, 20": by_reranker(given) for given in INPUTS},
    **{f"{RERANKER}: {given}, 20, half": by_reranker(given, 0.5) for given in INPUTS},
}

RANKED, MAIN = "mini", "mini-3m"  # where every target's rank is kept, and the backbone of the text

BEST = ("bm25", "likelihood, 50")

SYSTEMS = [(first, "-") for first in FIRST]
SYSTEMS += [(first, "likelihood, 20") for first in FIRST]
SYSTEMS += [("bm25", second) for second in SECOND if (second not in ("-", "likelihood, 20"))]
SYSTEMS += [
    (first, f"{RERANKER}: description, 20{share}")
    for first in ("context", "alone", "embedder: description", "embedder: description, + bm25")
    for share in ("", ", half")
]
SYSTEMS += [("context", second) for second in ("likelihood, 5", "likelihood, 10")]
SYSTEMS += [("embedder: source + edit + trace, + bm25", "likelihood, 50")]
SYSTEMS.sort(key=lambda each: (list(FIRST).index(each[0]), list(SECOND).index(each[1])))


def row(first: str, second: str, result: Result, tags: Mapping[str, Sequence[int]]) -> dict:
    """One system: recalls in percent, R@1 with its interval, overall and by kind of edit."""
    about = result.reranking or {}
    pairs = about.get("pairs_per_query", 0.0)
    reads = ("alone" in first) + first.startswith("embedder")
    written = 0 if (first, second) == (EDIT_ALONE, "-") else WRITTEN
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
    values["calls"] = written + reads + pairs
    values["tokens written"] = result.tokens_per_query if written else 0.0
    values["tokens of the reranker"] = about.get("tokens_per_query", 0.0)
    return values


def measured(backbone: str, benchmark: str, systems: Sequence[tuple[str, str]]) -> list[dict]:
    """A row for each of these systems. The ranks of the targets are kept where `RANKED` says so."""
    run = Run(RunConfig(benchmark=benchmark, backbone=backbone, device="cpu"))
    kinds: dict[str, list[int]] = {"implicit": [], "explicit": []}
    for place, triplet in enumerate(run.benchmark.triplets):
        kinds["implicit" if "implicit" in triplet.tags else "explicit"].append(place)
    kinds = {kind: places for kind, places in kinds.items() if places}
    rows = []
    for first, second in systems:
        result = run.variant(**FIRST[first], **SECOND[second]).evaluate(STRATEGY, save=False)
        rows.append(row(first, second, result, kinds))
        if benchmark == RANKED:
            keep_ranks(named(backbone, first), second, result)
        if (benchmark, backbone, first, second) == (RANKED, MAIN, *BEST):
            misses = missed(run, result, run.variant(**FIRST[first]).evaluate(STRATEGY, save=False))
            write_atomically(table_path("misses"), csv_bytes(misses))
            gold = run.variant(**FIRST[first], **SECOND[second]).evaluate("gold_trace", save=False)
            keep_ranks(f"gold trace: {first}", second, gold)
        print(f"{backbone} {benchmark}: {first}, {second}: R@1 {rows[-1]['R@1']:.2f}", flush=True)
    return rows


def missed(run: Run, result: Result, first: Result) -> pd.DataFrame:
    """The targets that do not come first: their ranks by the first stage and in the end, what was
    written of query and target, and which of it is wrong.
    """
    shots, queries, gallery = shots_of("test"), run.queries(STRATEGY), run.gallery()
    rows = []
    for place, triplet in enumerate(run.benchmark.triplets):
        if result.ranks[place] == 1:
            continue
        assert triplet.target is not None
        shot = shots[triplet.target]
        rows.append(
            {
                "triplet": triplet.id,
                "first stage": first.ranks[place],
                "rank": result.ranks[place],
                "wrong in the query": wrong(queries[triplet.id].text, shot),
                "wrong in the target": wrong(gallery[triplet.target].text, shot),
                "query": queries[triplet.id].text,
                "target": gallery[triplet.target].text,
            }
        )
    return pd.DataFrame(rows)


def wrong(description: str, shot: Shot) -> str:
    """The attributes of a shot that its description does not tell rightly."""
    stated = read_description(description)
    return " ".join(name for name, value in asdict(shot).items() if stated.get(name) != value)


def named(backbone: str, first: str) -> str:
    """A first stage as the table of ranks names it: with its backbone, but for `MAIN`."""
    return first if backbone == MAIN else f"{backbone}: {first}"


def keep_ranks(first: str, second: str, result: Result) -> None:
    """Put the ranks of a system into the table of ranks, a column for each system."""
    path = table_path("ranks")
    table = (
        pd.read_csv(path)
        if path.exists()
        else pd.DataFrame({"triplet": [row["triplet"] for row in result.queries]})
    )
    table[f"{first} | {second}"] = pd.array(result.ranks, "Int64")
    order = [f"{one} | {two}" for one, two in SYSTEMS]
    order = [name for name in order if name in table]
    order += [name for name in table.columns[1:] if name not in order]
    write_atomically(path, csv_bytes(table[["triplet", *order]]))


def table_path(what: str = "") -> Path:
    """Where a table lies."""
    name = f"past_the_paper_{what}.csv" if what else "past_the_paper.csv"
    return paths.data_dir() / "measured" / name


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
