import json

import numpy as np
import pytest

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.registry import UnknownBackbone
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.benchmarks.naming import benchmark_label
from covrr_utils.experiments.config import RunConfig, UnknownParameter
from covrr_utils.experiments.results import load_results
from covrr_utils.experiments.run import Run
from covrr_utils.reasoning import strategies
from covrr_utils.store.records import StoredRecord


def run_on(benchmark, **options):
    return Run(
        RunConfig(
            benchmark=str(benchmark), backbone="mini-3m", batch_size=8, device="cpu", **options
        )
    )


def test_a_second_run_computes_nothing_and_says_the_same(few_triplets, runs, monkeypatch):
    run = run_on(few_triplets)
    first = run.evaluate("two_stage")
    written = sorted(run.folder.iterdir())
    assert [path.suffix for path in written] == [".csv", ".json"]
    before = [path.read_bytes() for path in written]

    def never(*args, **kwargs):
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(Backbone, "describe", never)
    again = run_on(few_triplets).evaluate("two_stage")
    assert again == first and [path.read_bytes() for path in written] == before
    assert run_on(few_triplets).evaluate("two_stage", pooling="mean").ranks, (
        "another pooling is a function of the store"
    )


def test_results_say_everything(small_benchmark, filled_runs):
    result = run_on(small_benchmark).evaluate("single_stage")
    assert (result.kind, result.benchmark, result.gallery, result.strategy) == (
        "measured here, mini",
        benchmark_label(small_benchmark),
        "small gallery",
        "single_stage",
    )
    assert (
        result.triplets == len(result.ranks) == 6
        and result.coverage == 1.0
        and set(result.recall) == {"1", "5", "10", "50"}
    )
    (stored,) = load_results()
    assert stored == json.loads(json.dumps(result.summary()))
    assert all(row["reference"] not in row["top"] for row in result.queries), (
        "the reference takes no part"
    )


def test_every_faulty_video_is_a_recorded_miss(small_benchmark, filled_runs):
    benchmark = load_benchmark(small_benchmark)
    first, second, third = benchmark.triplets[:3]
    benchmark.video_path(first.reference).unlink()
    path = benchmark.video_path(second.target)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    benchmark.video_path(third.reference).write_bytes(b"")
    result = run_on(small_benchmark).evaluate("two_stage")
    assert result.triplets == 6 and result.coverage == 0.5
    assert [rank is None for rank in result.ranks[:3]] == [True] * 3
    assert result.failures == {
        "video: missing": 1,
        "video: not decodable": 1,
        "video: empty file": 1,
    }
    assert result.gallery_coverage < 1 and result.recall["50"] <= 0.5


def test_a_repaired_video_is_tried_again_and_a_replaced_one_is_new(few_triplets, runs):
    benchmark = load_benchmark(few_triplets)
    path = benchmark.video_path(benchmark.triplets[0].target)
    good = path.read_bytes()
    path.write_bytes(b"")
    assert run_on(few_triplets).evaluate("single_stage").coverage < 1
    path.write_bytes(good)
    result = run_on(few_triplets).evaluate("single_stage")
    assert result.coverage == 1 and result.failures == {}
    other = benchmark.video_path(benchmark.triplets[1].target)
    path.write_bytes(other.read_bytes())
    texts = {video: described.text for video, described in run_on(few_triplets).gallery().items()}
    assert texts[benchmark.triplets[0].target] == texts[benchmark.triplets[1].target]


def test_unusable_traces_are_misses_not_gaps(few_triplets, runs, monkeypatch):
    monkeypatch.setattr(
        strategies,
        "parse_trace",
        lambda text: (_ for _ in ()).throw(strategies.TraceError("no trace")),
    )
    result = run_on(few_triplets).evaluate("two_stage")
    assert (
        result.failures == {"trace: unusable trace": 3}
        and result.recall["50"] == 0.0
        and result.coverage == 0.0
    )


def test_a_description_that_says_nothing_is_a_miss(small_benchmark, filled_runs, monkeypatch):
    run = run_on(small_benchmark)
    silent = run.benchmark.triplets[0]
    real = StoredRecord.description.fget

    def silenced(record):
        description = real(record)
        if record.id == silent.id:
            description.special[:] = True
        return description

    monkeypatch.setattr(StoredRecord, "description", property(silenced))
    result = run.evaluate("single_stage")
    assert (
        result.failures == {"pooling: nothing to pool": 1}
        and result.ranks[0] is None
        and result.coverage == pytest.approx(5 / 6)
    )


def test_descriptions_are_read_alone_where_the_run_says_so(
    small_benchmark, filled_runs, monkeypatch
):
    run = run_on(small_benchmark, embedding="alone")
    result = run.evaluate("two_stage")
    assert result.options == {"embedding": "alone"} and result.coverage == 1.0
    (path,) = run.folder.glob("*.json")
    assert path.stem.startswith("two_stage__weighted_mean__word__predicts__seed0__embedding-alone")
    in_context = run.variant(embedding="context")
    first = run.benchmark.triplets[0].id
    how = ("two_stage", "weighted_mean", "word")
    alone, written = (each.scores(*how).by_query[first] for each in (run, in_context))
    texts = {"query": run.queries("two_stage")[first].text}
    texts |= {video: described.text for video, described in run.gallery().items()}
    vectors = run.pooled(run.descriptions.read(texts, "reading"), "weighted_mean", "word")
    by_hand = [float(vectors["query"] @ vectors[video]) for video in run.gallery()]
    np.testing.assert_allclose(alone, by_hand, atol=1e-6)
    assert not np.allclose(alone, written)

    def never(*args, **kwargs):
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(Backbone, "describe", never)
    monkeypatch.setattr(Backbone, "read", never)
    assert run_on(small_benchmark, embedding="alone").evaluate("two_stage").ranks == result.ranks
    assert run_on(small_benchmark).evaluate("two_stage").options == {}


def test_what_a_text_has_not_is_not_pooled():
    with pytest.raises(ValueError, match="read alone has no states of source 'vision'"):
        RunConfig(embedding="alone", source="vision")
    with pytest.raises(ValueError, match="unknown embedding 'aloe'; did you mean 'alone'"):
        RunConfig(embedding="aloe")


def test_parameters_are_checked():
    assert RunConfig.from_notebook(
        {"BENCHMARK": "mini-val", "SEED": 3, "LIMIT": None, "run": 1, "_X": 2}
    ) == RunConfig(benchmark="mini-val", seed=3)
    with pytest.raises(UnknownParameter, match="unknown parameter BACKBON; did you mean BACKBONE?"):
        RunConfig.from_notebook({"BACKBON": "mini-3m"})
    with pytest.raises(ValueError, match="unknown strategy 'x'"):
        RunConfig(strategies=["x"])
    with pytest.raises(ValueError, match="must be a list of names"):
        RunConfig(strategies="two_stage")
    with pytest.raises(ValueError, match="unknown pooling 'avg'"):
        RunConfig(pooling="avg")
    with pytest.raises(ValueError, match="unknown scheme 'x'"):
        RunConfig(scheme="x")
    with pytest.raises(ValueError, match="limit must be a whole number of at least 1, got 0"):
        RunConfig(limit=0)


def test_unknown_backbone_is_named(small_benchmark, runs):
    with pytest.raises(UnknownBackbone, match="unknown backbone 'mini-4m'"):
        Run(RunConfig(benchmark=str(small_benchmark), backbone="mini-4m")).gallery()
