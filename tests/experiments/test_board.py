"""A run as mteb sees it: the same recalls, failures as misses, and the same fusions."""

import sys
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.retrieval import fusion, metrics

BOARD = "covrr_utils.experiments.board"

pytestmark = pytest.mark.skipif(find_spec("mteb") is None, reason="needs the extra mteb")


@pytest.fixture
def board():
    """The module, imported by the tests that need it: mteb is a library of 1,700 modules."""
    return import_module(BOARD)


@pytest.fixture
def run(small_benchmark, tiny, runs):
    config = RunConfig(
        benchmark=str(small_benchmark),
        backbone=str(tiny.weights),
        device="cpu",
        max_new_tokens=6,
        scorers=["states", "bm25"],
    )
    return Run(config, tiny)


def recalls(board, run):
    task, pipeline = board.BenchmarkTask(run.benchmark), board.Pipeline(run, "single_stage")
    scores = task.evaluate(pipeline, board.SPLIT, encode_kwargs={})["default"]
    return {k: scores[f"recall_at_{k}"] for k in metrics.KS}


def test_recalls_are_those_of_the_workbook(board, run):
    """The fused scores of random weights hold no ties, so the two tie rules agree."""
    result = run.evaluate("single_stage", save=False)
    assert len(set(result.ranks)) > 1
    assert recalls(board, run) == pytest.approx(
        {int(k): v for k, v in result.recall.items()}, abs=1e-5
    )


def test_it_is_a_search_protocol_and_says_who_ranks(board, run):
    from mteb.models import SearchProtocol

    pipeline = board.Pipeline(run, "single_stage")
    assert isinstance(pipeline, SearchProtocol) and not hasattr(pipeline, "predict")
    meta = pipeline.mteb_model_meta
    assert meta.name.endswith("-single_stage") and meta.revision
    assert meta.experiment_kwargs["scorers"] == ["states", "bm25"]


def test_what_failed_is_a_miss_there_too(board, run, small_benchmark):
    lost = run.benchmark.triplets[0].reference
    run.benchmark.video_path(lost).unlink()
    result = run.evaluate("single_stage", save=False)
    assert result.failures and recalls(board, run)[50] == pytest.approx(
        result.recall["50"], abs=1e-5
    )


def test_another_corpus_is_refused(board, run):
    task = board.BenchmarkTask(run.benchmark)
    task.load_data()
    split = task.dataset["default"][board.SPLIT]
    with pytest.raises(ValueError, match="they differ in .*BenchmarkTask"):
        board.Pipeline(run, "single_stage").index(split["corpus"].select(range(3)))
    strange = split["queries"].map(lambda row: {"id": f"x{row['id']}"})
    with pytest.raises(ValueError, match="none of the run's triplets"):
        board.Pipeline(run, "single_stage").search(strange, top_k=5)


@pytest.mark.parametrize(
    "scale, name",
    [
        (fusion.MIN_MAX, "fuse_relative_score_fusion"),
        (fusion.DISTRIBUTION, "fuse_dbsf"),
        (fusion.RECIPROCAL_RANK, "fuse_rrf"),
    ],
)
def test_fusions_are_those_of_mteb(scale, name):
    from mteb.models import hybrid_wrappers

    rng = np.random.default_rng(3)
    lists = [rng.normal(size=40), rng.uniform(5, 9, size=40), np.full(40, 2.0)]
    lists = lists[:2] if scale == fusion.RECIPROCAL_RANK else lists  # its rule for ties is its own
    weights = np.array([0.5, 0.3, 0.2][: len(lists)])
    named = [dict(zip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN", row.tolist())) for row in lists]
    theirs = getattr(hybrid_wrappers, name)(named, (weights / weights.sum()).tolist())
    ours = fusion.fuse(lists, scale, weights.tolist())
    np.testing.assert_allclose(ours, [theirs[each] for each in named[0]], atol=1e-12)


def test_without_mteb_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb.abstasks.retrieval", None)
    monkeypatch.delitem(sys.modules, BOARD, raising=False)
    with pytest.raises(ImportError, match=r"covrr-workbook\[mteb\]"):
        import_module(BOARD)
