"""What the guide "past the paper" says is what was measured."""

import importlib

import pandas as pd
import pytest

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.mini.build import shots_of
from covrr_utils.plotting import tables
from covrr_utils.retrieval import metrics

BEST = "bm25 | likelihood, 50"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(paths.ROOT / "benchmarks")
    return importlib.import_module("past_the_paper")


@pytest.fixture(scope="module")
def table():
    return tables.measured_table("past_the_paper")


@pytest.fixture(scope="module")
def guide():
    return (paths.ROOT / "docs" / "past-the-paper.md").read_text()


def test_the_guides_table_is_the_measured_one(script, table, guide):
    for backbone in table["backbone"].unique():
        assert script.document_table(table, backbone, "mini") in guide


@pytest.fixture(scope="module")
def ranks():
    return tables.measured_table("past_the_paper_ranks")


def test_the_ranks_are_those_that_the_table_counts(script, table, ranks):
    for _, row in table[table["benchmark"] == "mini"].iterrows():
        name = f"{script.named(row['backbone'], row['first stage'])} | {row['reranker']}"
        if row["backbone"] == script.MAIN or name in ranks:
            system = ranks[name].tolist()
            for k in metrics.KS:
                assert row[f"R@{k}"] == pytest.approx(100 * metrics.recall_at(system, k), abs=1e-3)


@pytest.mark.parametrize(
    "line, other, best",
    [
        ("the paper's way", "context | -", BEST),
        ("BM25 alone", "bm25 | -", BEST),
        ("context, likelihood, 20", "context | likelihood, 20", BEST),
        ("BM25, likelihood, 20", "bm25 | likelihood, 20", BEST),
        ("the paper's way, `mini-1m`", "mini-1m: context | -", f"mini-1m: {BEST}"),
        ("the paper's way, `mini-10m`", "mini-10m: context | -", f"mini-10m: {BEST}"),
    ],
)
def test_the_paired_differences_are_those_of_the_ranks(guide, ranks, line, other, best):
    implicit = ["implicit" in triplet.tags for triplet in load_benchmark("mini").triplets]
    cells = [
        difference(ranks[other][chosen].tolist(), ranks[best][chosen].tolist())
        for chosen in ([True] * len(implicit), implicit)
    ]
    assert f"| {line} | {cells[0]} | {cells[1]} |" in guide


def difference(first, second):
    """As the guide shows it: points gained, their interval, and p."""
    found = metrics.compare(first, second)
    low, high = (100 * bound for bound in found.interval)
    return f"{100 * found.gain:.2f} [{low:.2f}, {high:.2f}], p = {found.p:.2g}"


def test_the_causes_of_the_misses_are_those_of_the_texts(script, guide, ranks):
    misses = tables.measured_table("past_the_paper_misses")
    shots = shots_of("test")
    targets = {triplet.id: triplet.target for triplet in load_benchmark("mini").triplets}
    best = ranks[BEST]
    assert misses["triplet"].tolist() == ranks["triplet"][best > 1].tolist()
    assert misses["rank"].tolist() == best[best > 1].tolist()
    for _, row in misses.iterrows():
        shot = shots[targets[str(row["triplet"])]]
        assert script.wrong(row["query"], shot) == row["wrong in the query"]
        assert script.wrong(row["target"], shot) == row["wrong in the target"]
    right, outside = misses["wrong in the query"] == "", misses["first stage"] > 50
    for why, count in (
        ("not among the first 50: the query's description is wrong", (outside & ~right).sum()),
        ("among them, and the query's description is wrong", (~outside & ~right).sum()),
        ("among them, and the query's description is right", (~outside & right).sum()),
    ):
        assert f"{why} | {count} |" in guide
    assert not (outside & right).any() and misses["triplet"][right].tolist() == [25]
    assert misses["wrong in the query"].str.contains("kind").sum() == 7


def test_with_gold_traces_nearly_all_targets_come_first(ranks):
    gold = ranks["gold trace: bm25 | likelihood, 50"].tolist()
    assert metrics.recall_at(gold, 1) == 0.9925 and sorted(gold)[-3:-1] == [2, 2]
    with_embedder = ranks["embedder: source + edit + trace, + bm25 | likelihood, 20"] > 1
    assert (with_embedder == (ranks[BEST] > 1)).all()


def test_the_guides_seconds_are_the_measured_ones(guide):
    for _, row in tables.measured_table("second_look").iterrows():
        assert f"| {row['step']} | {row['seconds']:.3f} |" in guide


def test_every_triplet_counts_and_every_recall_lies_in_its_interval(table):
    sizes = {"mini": 400, "mini-val": 100}
    assert (table["N"] == table["benchmark"].map(sizes)).all()
    for name, low, high in (
        ("R@1", "low", "high"),
        ("implicit", "implicit low", "implicit high"),
        ("explicit", "explicit low", "explicit high"),
    ):
        assert ((table[low] <= table[name]) & (table[name] <= table[high])).all()
    recalls = table[["R@1", "R@5", "R@10", "R@50"]]
    assert (recalls.diff(axis=1).iloc[:, 1:] >= 0).all().all()
    assert not table.duplicated(["backbone", "benchmark", "first stage", "reranker"]).any()


def test_a_reranker_never_changes_what_is_among_the_first_fifty(table):
    """It orders the candidates of its first stage, and no others."""
    keys = ["backbone", "benchmark", "first stage"]
    assert (table.groupby(keys)["R@50"].nunique() == 1).all()


def test_new_rows_take_the_place_of_old_ones(script, tmp_path, monkeypatch):
    path = tmp_path / "past_the_paper.csv"
    monkeypatch.setattr(script, "table_path", lambda: path)
    system = {"backbone": "b", "benchmark": "mini", "reranker": "-"}
    script.kept([system | {"first stage": "bm25", "R@1": 1.0}])
    script.kept([system | {"first stage": "context", "R@1": 2.0}])
    script.kept([system | {"first stage": "bm25", "R@1": 3.0}])
    read = pd.read_csv(path, keep_default_na=False)
    assert read[["first stage", "R@1"]].values.tolist() == [["context", 2.0], ["bm25", 3.0]]


def test_the_script_measures_a_system(script, tmp_path, monkeypatch, small_benchmark, runs):
    monkeypatch.setattr(script, "table_path", lambda: tmp_path / "past_the_paper.csv")
    arguments = ["--backbones", "mini-1m", "--benchmarks", str(small_benchmark), "--first", "bm25"]
    script.main([*arguments, "--rerankers", "-"])
    (row,) = pd.read_csv(tmp_path / "past_the_paper.csv").to_dict("records")
    assert (row["N"], row["pairs"], row["calls"]) == (6, 0, 2) and 0 <= row["R@1"] <= 100
