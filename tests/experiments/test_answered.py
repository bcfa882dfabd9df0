"""What strategies have in common is asked once, and nobody can tell by what comes out."""

import numpy as np
import pytest

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

STATES = ("states", "logprobs", "vision")


def run_on(benchmark, **options):
    config = RunConfig(benchmark=str(benchmark), batch_size=3, device="cpu", seed=5, **options)
    return Run(config, loaded())


def loaded(kept=[]):  # noqa: B006  (one model for all tests here)
    kept.extend([] if kept else [Backbone.load("mini-1m", device="cpu")])
    return kept[0]


def traces_of(queries):
    return {id_: query.trace for id_, query in queries.items()}


@pytest.fixture
def sampled(monkeypatch):
    """The seeds with which samples were drawn, prompt by prompt."""
    seeds, sample = [], Backbone.sample

    def noting(self, prompts, generations, desc=None):
        seeds.extend(generation.seed for generation in generations for _ in prompts)
        return sample(self, prompts, generations, desc)

    monkeypatch.setattr(Backbone, "sample", noting)
    return seeds


def alone(benchmark, runs, monkeypatch, strategy, **options):
    """The queries of a strategy by a store that holds nothing else."""
    with monkeypatch.context() as other:
        other.setenv("COVRR_RUNS", str(runs / "alone"))
        return run_on(benchmark, **options).queries(strategy)


def test_a_sample_is_drawn_once(small_benchmark, runs, monkeypatch, sampled, described):
    whole = alone(small_benchmark, runs, monkeypatch, "self_consistency", samples=3)
    sampled.clear()
    once = run_on(small_benchmark, samples=1).queries("self_consistency")
    assert sampled == [5000] * 6
    sampled.clear(), described.clear()
    thrice = run_on(small_benchmark, samples=3).queries("self_consistency")
    assert sorted(sampled) == [5001] * 6 + [5002] * 6
    new = [id_ for id_ in thrice if thrice[id_].trace != once[id_].trace]
    assert sum(described) == len(new), "descriptions of traces that are new"
    fewer = run_on(small_benchmark, samples=2).queries("self_consistency")
    assert len(sampled) == 12, "two are the first two of three"
    for id_, query in thrice.items():
        before = whole[id_]
        assert query.samples == before.samples and query.trace == before.trace
        assert query.text == before.text and query.samples[:2] == fewer[id_].samples
        assert query.samples[:1] == once[id_].samples
    for cost in ("tokens", "seconds"):
        sums = [sum(getattr(q, cost) for q in some.values()) for some in (once, fewer, thrice)]
        assert sums == sorted(sums), "what was drawn before counts as well"
    tokens = [sum(q.tokens for q in some.values()) for some in (thrice, whole)]
    assert tokens[0] == pytest.approx(tokens[1], abs=2)  # whole tokens a batch


def test_a_description_after_a_trace_is_asked_for_once(
    small_benchmark, runs, monkeypatch, described
):
    whole = alone(small_benchmark, runs, monkeypatch, "gold_trace")
    run = run_on(small_benchmark)
    gold = {t.id: t.gold_trace for t in run.benchmark.triplets}
    two_stage = run.queries("two_stage")
    new = [id_ for id_, trace in traces_of(two_stage).items() if trace != gold[id_]]
    described.clear()
    queries = run.queries("gold_trace")
    assert 0 < len(new) < 6 and sum(described) == len(new)
    described.clear()
    given = run.given("the same", gold)
    assert not described
    for id_, query in queries.items():
        before = whole[id_]
        assert query.trace == before.trace == given[id_].trace
        assert query.text == before.text == given[id_].text
        for field in STATES:
            one, other = (getattr(item.description, field) for item in (query, before))
            np.testing.assert_allclose(one, other, 2e-3, 2e-3)
    described.clear()
    run_on(small_benchmark, max_new_tokens=9).queries("gold_trace")
    assert sum(described) == 6, "another limit of tokens is another question"


def test_a_damaged_answer_is_asked_for_again(small_benchmark, runs, described):
    run_on(small_benchmark).queries("two_stage")
    (folder,) = (runs / "store" / "queries").iterdir()
    for shard in folder.glob("*.safetensors"):
        shard.write_bytes(b"damaged")
    described.clear()
    assert len(run_on(small_benchmark).queries("gold_trace")) == sum(described) == 6
