"""Small models answer several batches at once, each on one core, and nothing of it shows."""

import threading

import numpy as np
import pytest
import torch

from covrr_utils.backbones import lanes as module
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.lanes import lanes
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.video.decoder import read_clip


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def answers(few_triplets, runs, folder, monkeypatch, **options):
    """What a run with these options writes, by collection and id."""
    monkeypatch.setenv("COVRR_RUNS", str(runs / folder))
    config = RunConfig(
        benchmark=str(few_triplets), backbone="mini-3m", device="cpu", batch_size=2, **options
    )
    run = Run(config)
    gallery = run.gallery()
    queries = {name: run.queries(name) for name in ("two_stage", "self_consistency")}
    return run, {"gallery": gallery} | queries


def test_two_lanes_write_what_one_writes(few_triplets, runs, monkeypatch, two_threads):
    """Bit for bit, though one lane goes on from clips that it has described together with others.
    In mini-1m it would show: its widths are no multiple of 32, and PyTorch computes the last
    elements of a batch by other instructions.
    """
    layers = (0.5, 1.0)
    _, two = answers(few_triplets, runs, "two", monkeypatch, layers=layers, samples=2)
    monkeypatch.setattr(module, "MOST", 1)
    torch.set_num_threads(1)
    _, one = answers(few_triplets, runs, "one", monkeypatch, layers=layers, samples=2)
    for kind, outcomes in one.items():
        assert list(outcomes) == list(two[kind]) and not two[kind].failures
        for id_, described in outcomes.items():
            other, this = two[kind][id_].description, described.description
            assert other.text == this.text, (kind, id_)
            for field in ("states", "logprobs", "layers", "vision"):
                assert np.array_equal(getattr(other, field), getattr(this, field)), (kind, field)


def test_every_token_counts_once(few_triplets, runs, monkeypatch, two_threads):
    run, outcomes = answers(few_triplets, runs, "counted", monkeypatch, samples=2)
    written = sum(len(described.description.tokens) for described in outcomes["gallery"].values())
    asked = sum(
        query.record.extra["tokens"]
        for name in ("two_stage", "self_consistency")
        for query in outcomes[name].values()
    )
    two_stage, voted = outcomes["two_stage"], outcomes["self_consistency"]
    known = sum(  # after the same trace: counted for both strategies, written for one
        len(query.description.tokens)
        for id_, query in voted.items()
        if query.trace == two_stage[id_].trace
    )
    assert run.backbone.generated_tokens == pytest.approx(written + asked - known)


def test_a_lane_has_one_core_and_leaves_others_theirs(tiny, two_threads):
    one, other = lanes(tiny)
    assert one.threads == other.threads == 1 and one.backbone.model is other.backbone.model
    found = []
    thread = threading.Thread(target=one.inside(lambda: found.append(torch.get_num_threads())))
    thread.start()
    thread.join()
    assert found == [1] and torch.get_num_threads() == 2


def test_large_models_and_other_devices_have_one_lane(tiny, monkeypatch, two_threads):
    monkeypatch.setattr(module, "SMALL", tiny.parameters() - 1)
    (lane,) = lanes(tiny)
    assert lane.backbone is tiny and lane.threads == 2
    monkeypatch.undo()
    monkeypatch.setattr(type(tiny), "device", lambda self: "cuda:0")
    assert len(lanes(tiny)) == 1


def test_what_one_lane_draws_depends_on_no_other(tiny):
    """Sampled texts are those of the batch's own seed, whatever is drawn meanwhile."""
    benchmark = load_benchmark("mini-val")
    prompts = [
        Prompt(read_clip(benchmark.video_path(t.reference), tiny.sampling, t.reference), "Look.")
        for t in benchmark.triplets[:3]
    ]
    drawn = Generation(max_new_tokens=12, do_sample=True, temperature=1.0, seed=4)
    expected = tiny.write(prompts, drawn)
    torch.manual_seed(99)
    assert tiny.write(prompts, drawn) == expected
