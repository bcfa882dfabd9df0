"""What a run is asked for: typed, lazily read, and computed once."""

from pathlib import Path

import numpy as np
import pytest

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.experiments import baselines
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import EMPTY
from covrr_utils.reasoning.strategies import STRATEGIES
from covrr_utils.store.shards import Shard
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.decoder import Decoder


def run_on(benchmark, **options):
    return Run(RunConfig(benchmark=str(benchmark), batch_size=8, device="cpu", **options))


@pytest.fixture
def model_gone(monkeypatch):
    """From when it is called, the model cannot be asked for anything."""

    def never(*arguments, **options):
        raise AssertionError("the model was asked")

    def gone():
        for name in ("describe", "sample", "write", "read"):
            monkeypatch.setattr(Backbone, name, never)

    return gone


def test_queries_and_gallery_are_typed_and_failures_stand_beside_them(small_benchmark, filled_runs):
    run = run_on(small_benchmark, samples=2)
    first, *others = run.benchmark.triplets
    run.benchmark.video_path(first.reference).unlink()
    gallery = run.gallery()
    assert set(gallery) | set(gallery.failures) == set(run.benchmark.gallery)
    assert gallery[others[0].target].text and gallery[others[0].target].ended
    described = gallery[others[0].target].description
    assert described.text == gallery[others[0].target].text and described.states.ndim == 2
    queries = run.queries("two_stage")
    assert set(queries) == {triplet.id for triplet in others}
    assert queries.failures[first.id].cause == "missing" and first.id not in queries
    assert repr(queries) == "<5 succeeded, 1 failed>"
    for query in queries.values():
        assert isinstance(query.trace, ReasoningTrace) and query.trace.text()
        assert query.written and query.samples == [] and not query.retried
        assert query.tokens > 10 and query.seconds > 0
    assert all(query.trace is None for query in run.queries("single_stage").values())
    sampled = run.queries("self_consistency")[others[0].id]
    assert len(sampled.samples) == 2 and sampled.written is None and sampled.trace
    gold = run.queries("gold_trace")
    assert [gold[t.id].trace for t in others] == [t.gold_trace for t in others]
    given = run.given("nothing to say", {others[0].id: EMPTY})
    assert given[others[0].id].trace == EMPTY and len(given.failures) == 5


def test_numbers_of_a_result_read_no_token_states(small_benchmark, filled_runs, monkeypatch):
    run = run_on(small_benchmark)
    gallery, queries = run.gallery(), run.queries("two_stage")

    def never(*arguments):
        raise AssertionError("token states were read")

    monkeypatch.setattr(Shard, "record", never)
    assert all(video.text and video.ended for video in gallery.values())
    assert np.mean([query.tokens for query in queries.values()]) > 0
    assert run.validity("two_stage")["texts"] == 6
    assert baselines.evaluate_words(run, "two_stage").triplets == 6
    with pytest.raises(AssertionError, match="token states were read"):
        run.evaluate("two_stage")


def test_what_is_stored_is_not_computed_again(few_triplets, runs, model_gone):
    """Every kind of description: of gallery and references, of every strategy, given traces, texts
    read alone; and every number that is made of them.
    """

    def results(run):
        gold = {triplet.id: triplet.gold_trace for triplet in run.benchmark.triplets}
        run.given("all gold", gold)
        found = [run.evaluate(name) for name in (*STRATEGIES, "all gold")]
        found += [baselines.evaluate_baseline(run, name) for name in baselines.BASELINES]
        return [*found, baselines.evaluate_reread(run, "two_stage")]

    options = {"backbone": "mini-1m", "samples": 2}
    before = results(run_on(few_triplets, **options))
    model_gone()
    assert results(run_on(few_triplets, **options)) == before
    with pytest.raises(AssertionError, match="the model was asked"):
        run_on(few_triplets, seed=1, **options).queries("self_consistency")


def test_a_loaded_backbone_can_be_shared(small_benchmark, runs, monkeypatch):
    first = run_on(small_benchmark)
    backbone = first.backbone
    monkeypatch.setattr(Backbone, "load", None)
    second = Run(first.config, backbone)
    assert second.backbone is backbone and second.variant(seed=1).backbone is backbone
    with pytest.raises(ValueError, match="'fps' cannot differ; make another Run"):
        second.variant(fps=2.0)


def test_states_of_layers_are_added_to_what_is_written(
    small_benchmark, runs, monkeypatch, described
):
    """Nothing is written again for them, and they are those of a model that writes."""
    asked = ("two_stage", "single_stage", "gold_trace")

    def texts(**options):
        run = run_on(small_benchmark, backbone="mini-1m", **options)
        every = [run.gallery(), *(run.queries(strategy) for strategy in asked)]
        return {(n, id_): item for n, each in enumerate(every) for id_, item in each.items()}

    texts(limit=4)
    described.clear()
    deep = texts(layers=(1.0, 0.5))
    unlike = [deep[1, id_].trace != deep[3, id_].trace for n, id_ in deep if n == 3][4:]
    assert len(unlike) == 2 and sum(described) == 2 * (2 + 1) + sum(unlike), (
        "asked for two triplets that no one had asked for"
    )
    monkeypatch.setenv("COVRR_RUNS", str(runs / "empty"))
    written = texts(layers=(1.0, 0.5))
    assert deep.keys() == written.keys()
    for key, item in deep.items():
        one, other = item.description, written[key].description
        assert one.tokens == other.tokens
        assert item.record.extra.get("trace") == written[key].record.extra.get("trace")
        for field in ("states", "logprobs", "layers", "vision"):  # float16 in the store
            np.testing.assert_allclose(getattr(one, field), getattr(other, field), 2e-3, 2e-3)


def test_what_is_written_with_states_of_layers_serves_without(few_triplets, runs, model_gone):
    deep = run_on(few_triplets, layers=(1.0, 0.5))
    items = [*deep.gallery().values(), *deep.queries("two_stage").values()]
    model_gone()
    run = run_on(few_triplets)
    for item, same in zip(items, [*run.gallery().values(), *run.queries("two_stage").values()]):
        one, other = item.description, same.description
        assert (item.id, item.record.extra) == (same.id, same.record.extra)
        assert one.layers is not None and other.layers is None and one.tokens == other.tokens
        for field in ("states", "logprobs", "vision"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_a_reference_is_decoded_once_for_all_strategies(few_triplets, runs, monkeypatch):
    """Also where it is a gallery video; released with the model, it is decoded again."""
    asked, ask = [], Decoder._ask

    def counting(decoder, path, sampling):
        asked.append(path.stem)
        return ask(decoder, path, sampling)

    monkeypatch.setattr(Decoder, "_ask", counting)
    run = run_on(few_triplets, backbone="mini-1m")
    run.gallery()
    assert sorted(asked) == sorted(Path(video).stem for video in run.benchmark.gallery)
    before = list(asked)
    run.queries("single_stage")
    run.queries("two_stage")
    assert asked == before
    run.release()
    run.queries("self_consistency")
    assert len(asked) == len(before) + len({t.reference for t in run.benchmark.triplets})
