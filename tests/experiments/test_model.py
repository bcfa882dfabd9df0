"""A run whose descriptions are stored needs no model: what it is, is remembered."""

import json
import shutil

import pytest

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.registry import UnknownBackbone
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.model import Model
from covrr_utils.experiments.run import Run


@pytest.fixture
def no_loading(monkeypatch):
    """From when it is called, no model can be loaded."""

    def never(*arguments, **options):
        raise AssertionError("the model was loaded")

    return lambda: monkeypatch.setattr(Backbone, "load", never)


def test_a_filled_store_loads_no_model(small_benchmark, runs, no_loading):
    config = RunConfig(benchmark=str(small_benchmark), batch_size=8, device="cpu")
    before = Run(config)
    results = [before.evaluate(name) for name in ("two_stage", "gold_trace")]
    written = before.descriptions.model.generated_tokens
    assert written > 0
    no_loading()
    after = Run(config)
    assert [after.evaluate(name) for name in ("two_stage", "gold_trace")] == results
    assert after.evaluate("two_stage", pooling="mean").ranks, "another pooling needs no model"
    assert after.descriptions.model.generated_tokens == 0
    variant = after.variant(grammar="lines")
    assert variant.descriptions.model is after.descriptions.model, "loaded once for both"
    with pytest.raises(AssertionError, match="the model was loaded"):
        variant.evaluate("two_stage")


def test_what_is_remembered_is_what_the_model_says(tiny_folder, runs):
    config = RunConfig(backbone=str(tiny_folder), device="cpu", num_frames=6, video_pixels=50_000)
    told = Model(config, "mini").identity
    (path,) = (runs / "store" / "backbones").glob("*.json")
    remembered = Model(config, "mini")
    assert remembered.identity == told == remembered.backbone.identity
    assert json.loads(path.read_text())["sampling"]["num_frames"] == 6


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"fps": 2.0}, {"video_pixels": 50_000}])
def test_other_options_are_another_identity(tiny_folder, runs, no_loading, options):
    config = RunConfig(backbone=str(tiny_folder), device="cpu")
    usual = Model(config, "mini").identity
    assert Model(config.replace(**options), "mini").identity != usual
    no_loading()
    assert Model(config, "mini").identity == usual


def test_a_checkpoint_with_other_files_is_loaded_again(tiny_folder, tmp_path, runs, no_loading):
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_folder, folder)
    config = RunConfig(backbone=str(folder), device="cpu")
    Model(config, "mini").identity  # noqa: B018
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["video_processor"]["fps"] = 2.0
    (folder / "processor_config.json").write_text(json.dumps(settings))
    no_loading()
    with pytest.raises(AssertionError, match="the model was loaded"):
        Model(config, "mini").identity  # noqa: B018


@pytest.mark.parametrize("content", ["", "{}", '{"name": 3}', "[1]"])
def test_a_damaged_memory_is_set_aside(tiny_folder, runs, capsys, content):
    config = RunConfig(backbone=str(tiny_folder), device="cpu")
    told = Model(config, "mini").identity
    (path,) = (runs / "store" / "backbones").glob("*.json")
    path.write_text(content)
    assert Model(config, "mini").identity == told
    assert (
        "is damaged" in capsys.readouterr().err and path.with_name(f"{path.name}.damaged").exists()
    )


def test_what_a_small_model_does_not_know_is_said_without_loading_it(runs, capsys, no_loading):
    config = RunConfig(device="cpu")
    Model(config, "mini").identity  # noqa: B018
    assert capsys.readouterr().err == ""
    no_loading()
    model = Model(config, "real")
    model.identity, model.identity  # noqa: B018
    assert capsys.readouterr().err.count("mini-3m knows") == 1


def test_an_unknown_backbone_is_named(runs):
    with pytest.raises(UnknownBackbone, match="unknown backbone 'mini-4m'"):
        Model(RunConfig(backbone="mini-4m"), "mini").identity  # noqa: B018
