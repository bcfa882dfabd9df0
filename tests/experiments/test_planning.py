"""A plan says what a run takes before it is computed: from dimensions that are those of the
published models, and corrected by what was measured here.
"""

import json

import pytest

from covrr_utils.backbones.dimensions import dimensions, video_processor
from covrr_utils.backbones.registry import UnknownBackbone
from covrr_utils.backbones.sizes import published_sizes
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.cli.main import main
from covrr_utils.experiments import planning
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.planning import Measured, Shape
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import read_clip
from covrr_utils.video.scaling import PixelBudget

FILM = Shape(10.0, 30.0, 1280, 720)


@pytest.mark.parametrize("name", [n for n in published_sizes() if n.endswith("Instruct")])
def test_the_weights_of_published_sizes_are_counted_from_their_dimensions(name):
    assert dimensions(name).all_weights == pytest.approx(published_sizes()[name].parameters, 0.005)


def test_tokens_are_those_of_the_processor(tiny):
    benchmark = load_benchmark("mini-val")
    path = benchmark.video_path(benchmark.gallery[0])
    about = read_clip(path, Sampling(num_frames=2)).metadata
    length = about.total_num_frames / about.fps
    shape = Shape(length, about.fps, about.width, about.height)
    layout, processor = tiny.layout, tiny.processor
    clip = read_clip(path, tiny.sampling)
    ids = layout.video_inputs([layout.chat("").before], [clip])["input_ids"][0]
    seen = int((ids == processor.tokenizer.convert_tokens_to_ids(processor.video_token)).sum())
    budget = PixelBudget.of(processor.video_processor)
    counted = planning.tokens_of(shape, tiny.sampling, budget)
    stamps = counted - seen
    assert stamps % planning.STAMP == 0 and counted == pytest.approx(len(ids), abs=stamps)


def planned(known=None, gpu="h100", **options):
    config = RunConfig(backbone="qwen3-vl-8b", benchmark="mini", **options)
    return planning.plan(config, load_benchmark("mini"), [FILM], known or {}, gpu)


def test_a_published_size_is_planned_without_its_weights():
    plan = planned()
    steps = {step["step"]: step for step in plan["steps"]}
    assert steps["gallery: describe"]["prompts"] == 2100
    low, high = plan["gpu_hours"]
    assert 0 < low < high and plan["fits"] and plan["weights_bytes"] == pytest.approx(17.5e9, 0.01)
    assert plan["assumed"] == [
        "shares of the GPU's rates",
        "lengths of the texts of gallery, single_stage, two_stage",
    ]
    assert not planned(gpu="l4", batch_size=256)["fits"]
    assert planned(quantization="4bit")["weights_bytes"] < plan["weights_bytes"] / 3


def test_what_was_measured_corrects_the_plan():
    here = Measured(50, (2.0, 2.5), (80.0, 90.0), (0.0, 0.0))
    before, after = planned(), planned({"gallery": here})
    (step, *_) = after["steps"]
    assert step["decode_tokens"] == (2100 * 80.0, 2100 * 90.0)
    low, high = after["disk_bytes"]
    assert high / low < before["disk_bytes"][1] / before["disk_bytes"][0], "less is uncertain"
    assert after["measured_here"]["gallery"]["hours"] == pytest.approx((7 / 6, 2100 * 2.5 / 3600))
    assert after["assumed"][1] == "lengths of the texts of single_stage, two_stage"


def test_a_server_is_quicker_and_states_are_read_once_more():
    local = planned(strategies=("self_consistency",), samples=4, batch_size=64)
    served = planned(strategies=("self_consistency",), samples=4, engine="http://gpu.example/v1")
    names = [step["step"] for step in served["steps"]]
    assert names == [
        "gallery: describe",
        "self_consistency: trace",
        "self_consistency: more traces",
        "self_consistency: describe",
        "gallery: states",
        "self_consistency: states",
    ]
    assert {s["step"]: s["prompts"] for s in local["steps"]}[
        "self_consistency: more traces"
    ] == 1200
    assert served["gpu_hours"][1] < local["gpu_hours"][1]
    assert served["disk_bytes"] == local["disk_bytes"]


def test_the_command_measures_first_where_it_is_asked_to(
    runs, tiny_folder, small_benchmark, capsys
):
    given = ["plan", str(small_benchmark), "--backbone", str(tiny_folder), "--device", "cpu"]
    given += ["--max-new-tokens", "6", "--strategies", "single_stage"]
    assert main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured_here"] == {}
    assert main([*given, "--measure", "2", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {name: part["count"] for name, part in plan["measured_here"].items()} == {
        "gallery": 2,
        "single_stage": 2,
    }
    assert plan["steps"][0]["prompts"] > 2, "the whole run is planned"
    assert main(given) == 0
    told = capsys.readouterr().out
    for part in ("gallery: describe", "disk:", "memory:", "assumed:", "measured on this machine"):
        assert part in told


def test_mistakes_are_told(capsys):
    assert main(["plan", "mini", "--length", "10"]) == 2
    assert "give --length SECONDS and --picture WIDTHxHEIGHT together" in capsys.readouterr().err
    with pytest.raises(UnknownBackbone, match="the dimensions of 'nobody' are not known here"):
        video_processor("nobody")
    with pytest.raises(ValueError, match="no video of mini could be read"):
        planning.plan(RunConfig(), load_benchmark("mini"), [], {})
