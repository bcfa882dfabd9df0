"""What the guide "past the paper" says is what was measured."""

import importlib

import pandas as pd
import pytest

from covrr_utils import paths
from covrr_utils.plotting import tables


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
