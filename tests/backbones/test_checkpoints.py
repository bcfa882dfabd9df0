"""A checkpoint that is not whole is refused in a sentence that names what is missing and the next
step, before anything heavy is read; nothing in it is ever run.
"""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from covrr_utils.backbones import checkpoints
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.backbones.identity import EMBEDDED, VERSIONS, differences, files_hash
from covrr_utils.backbones.placement import check_device, place
from covrr_utils.backbones.registry import UnknownBackbone, judge_models, list_backbones, notice

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 6000000\n"


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A checkpoint of the test's own, to be damaged."""
    return shutil.copytree(tiny_folder, tmp_path / "checkpoint")


def edited(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def reweighed(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda w: {name: t for name, t in w.items() if "language_model.layers" not in name},
            r"lacks model\.language_model\.layers\.0\..* and \d+ more",
        ),
        (
            lambda w: {f"wrapped.{n}": t for n, t in w.items()},
            r"lacks .*; it has besides wrapped\.",
        ),
        (lambda w: w | {"extra.head": torch.zeros(2)}, r"has besides extra\.head\."),
        (
            lambda w: w | {"model.language_model.norm.weight": torch.zeros(7)},
            r"has in another shape model\.language_model\.norm\.weight",
        ),
        (
            lambda w: {n: t for n, t in w.items() if n != "model.visual.patch_embed.proj.bias"},
            r"lacks model\.visual\.patch_embed\.proj\.bias\.",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_class_are_named(folder, change, message):
    reweighed(folder, change)
    with pytest.raises(UnknownBackbone, match=message) as error:
        Backbone.load(folder, device="cpu")
    assert "random" in str(error.value) and "\n" not in str(error.value)


def test_a_tied_head_needs_no_weights_of_its_own(folder):
    names = set(load_file(folder / "model.safetensors"))
    assert "lm_head.weight" not in names
    Backbone.load(folder, device="cpu")
    reweighed(
        folder,
        lambda w: w | {"lm_head.weight": w["model.language_model.embed_tokens.weight"].clone()},
    )
    Backbone.load(folder, device="cpu")


@pytest.mark.parametrize("lost", ["gate_up_proj", "mlp.gate.weight", "lm_head"])
def test_mixtures_of_experts_too(tmp_path, tiny_folder, lost):
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    dense = AutoConfig.from_pretrained(tiny_folder)
    text = dense.text_config.to_dict()
    text |= {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "tie_word_embeddings": False,
    }
    text.pop("model_type")
    vision = dense.vision_config.to_dict()
    vision.pop("model_type")
    config = AutoConfig.for_model(
        "qwen3_vl_moe",
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=False,
        **{
            name: getattr(dense, name)
            for name in (
                "image_token_id",
                "video_token_id",
                "vision_start_token_id",
                "vision_end_token_id",
            )
        },
    )
    folder = tmp_path / "experts"
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    AutoProcessor.from_pretrained(tiny_folder).save_pretrained(folder)
    assert "Moe" in Backbone.load(folder, device="cpu").info()["class"]
    names = list(load_file(folder / "model.safetensors"))
    gone = [name for name in names if lost in name]
    assert gone
    reweighed(folder, lambda w: {name: tensor for name, tensor in w.items() if name not in gone})
    with pytest.raises(UnknownBackbone, match="lacks .*would be random"):
        Backbone.load(folder, device="cpu")


def pointer(name):
    return lambda folder: (folder / name).write_text(POINTER)


def without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def setting(name, *path, value):
    def change(folder):
        def put(document):
            for key in path[:-1]:
                document = document[key]
            document[path[-1]] = value

        edited(folder / name, put)

    return change


def cut(folder):
    blob = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(blob[: len(blob) // 2])


def index_of_more(folder):
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}})
    )


@pytest.mark.parametrize(
    "damage, message",
    [
        (pointer("model.safetensors"), "model.safetensors is a pointer of Git LFS.*git lfs pull"),
        (pointer("tokenizer.json"), "tokenizer.json is a pointer of Git LFS.*git lfs pull"),
        (pointer("config.json"), "config.json is a pointer of Git LFS"),
        (pointer("chat_template.jinja"), "chat_template.jinja is a pointer of Git LFS"),
        (cut, "model.safetensors has .* bytes where its header promises .*; download"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 4),
            "model.safetensors is cut off after 4 bytes",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"[]"),
            "model.safetensors is no file of safetensors",
        ),
        (without("config.json"), "it has no config.json; expected config.json and"),
        (without("model.safetensors"), r"it has no \*.safetensors; expected"),
        (without("tokenizer.json"), "it has no tokenizer.json; copy it"),
        (without("processor_config.json"), "it has no processor_config.json"),
        (without("chat_template.jinja"), "it has no chat_template.jinja"),
        (index_of_more, "model-00002.safetensors is missing; download"),
        (
            lambda folder: (folder / "config.json").write_text("{"),
            r"config.json is no json \(.*\); download config.json again",
        ),
        (setting("config.json", "model_type", value="llama"), "model type 'llama'; a backbone is"),
        *(
            (
                setting("config.json", part, name, value=value),
                rf"{part}\.{name} in config.json is {value!r}, not a whole number above 0",
            )
            for part, name, value in (
                ("text_config", "hidden_size", -48),
                ("text_config", "num_hidden_layers", 0),
                ("text_config", "vocab_size", 1.5),
                ("vision_config", "depth", 0),
                ("vision_config", "patch_size", "16"),
            )
        ),
        (
            setting("config.json", "text_config", "num_key_value_heads", value=3),
            "num_attention_heads in config.json is 2, which num_key_value_heads = 3 does",
        ),
        (
            setting("config.json", "vision_config", "num_heads", value=5),
            "hidden_size in config.json is 32, which num_heads = 5 does not divide",
        ),
        (
            setting("config.json", "vision_config", "out_hidden_size", value=7),
            "hands over 7 numbers",
        ),
        (
            setting("config.json", "text_config", "rms_norm_eps", value=-1),
            "rms_norm_eps .* not above",
        ),
        (
            setting("processor_config.json", "video_processor", "patch_size", value=14),
            "patch_size is 16 in config.json and 14 in the processor",
        ),
        (
            setting("processor_config.json", "video_processor", "merge_size", value=0),
            "sizes that cannot be",
        ),
        (setting("config.json", "video_token_id", value=3), "id of the video token is 3"),
        (
            lambda folder: (folder / "chat_template.jinja").write_text(
                "{% for m in messages %}{{ m.content }}{% endfor %}"
            ),
            "chat template of .* knows no video",
        ),
        (
            lambda folder: (folder / "chat_template.jinja").write_text(
                "{{ raise_exception('no') }}"
            ),
            r"chat template of .* cannot be used \(TemplateError: no\)",
        ),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_before_its_weights_are_read(
    folder, damage, message, monkeypatch
):
    damage(folder)

    def heavy(*arguments, **options):
        raise AssertionError("the weights were read")

    monkeypatch.setattr(checkpoints.AutoModelForImageTextToText, "from_pretrained", heavy)
    with pytest.raises(UnknownBackbone, match=message) as error:
        Backbone.load(folder, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "device, message",
    [
        ("gpu", "unknown device 'gpu'; known: auto, cpu, cuda, cuda:N"),
        ("cuda:x", "unknown device 'cuda:x'"),
        ("meta", "unknown device 'meta'"),
        ("cuda", "torch sees no NVIDIA GPU on this machine; choose auto or cpu"),
        ("cuda:3", "torch sees no NVIDIA GPU"),
        ("mps", "this machine has no Apple GPU; choose auto or cpu"),
    ],
)
def test_a_device_that_is_not_there(tiny_folder, monkeypatch, device, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        Backbone.load(tiny_folder, device=device)
    with pytest.raises(ValueError, match="unknown device_map .*balanced"):
        place("cpu", device_map="gpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_device("cuda:1") == "cuda:1"
    with pytest.raises(ValueError, match="torch sees 2 GPUs, numbered from 0"):
        check_device("cuda:2")


CODE = """
from pathlib import Path
Path({marker!r}).write_text("run")
class Custom: pass
"""


@pytest.mark.parametrize(
    "file, known",
    [
        ("config.json", True),
        ("config.json", False),
        ("processor_config.json", True),
        ("tokenizer_config.json", True),
    ],
)
def test_code_in_a_checkpoint_is_never_run_nor_asked_for(
    folder, tmp_path, monkeypatch, file, known
):
    marker = tmp_path / "marker"
    (folder / "custom.py").write_text(CODE.format(marker=str(marker)))
    classes = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoVideoProcessor")
    codes = dict.fromkeys(classes, "custom.Custom") | {"AutoTokenizer": [None, "custom.Custom"]}

    def claim(document):
        document["auto_map"] = codes
        if not known:
            document["model_type"] = "my_own"

    edited(folder / file, claim)

    def asked(*arguments):
        raise AssertionError("a person was asked whether to run the code")

    monkeypatch.setattr("builtins.input", asked)
    if known:
        assert Backbone.load(folder, device="cpu").parameters() > 0
    else:
        with pytest.raises(UnknownBackbone, match="'my_own' and wants to bring code.*never run"):
            Backbone.load(folder, device="cpu")
    assert not marker.exists()


def test_a_kernel_that_a_config_names_is_not_fetched(folder):
    def claim(document):
        for part in (document, document["text_config"], document["vision_config"]):
            part["attn_implementation"] = part["_attn_implementation"] = "nobody/kernel"

    edited(folder / "config.json", claim)
    config = Backbone.load(folder, device="cpu").model.config
    assert {
        part._attn_implementation for part in (config, config.text_config, config.vision_config)
    } == {"sdpa"}
    eager = load_checkpoint(folder, device="cpu", attention="eager").model.config
    assert eager.text_config._attn_implementation == "eager"


@pytest.mark.parametrize(
    "change",
    [
        setting("config.json", "text_config", "rms_norm_eps", value=1e-5),
        setting("config.json", "text_config", "rope_parameters", "rope_theta", value=5e5),
        setting("processor_config.json", "video_processor", "image_mean", value=[0.4, 0.5, 0.5]),
        setting("processor_config.json", "video_processor", "resample", value=2),
        setting("generation_config.json", "eos_token_id", value=[2, 3]),
        setting("tokenizer_config.json", "unk_token", value="<|im_end|>"),
        lambda folder: edited(folder / "tokenizer.json", lambda d: d["model"]["merges"].pop()),
        lambda folder: (folder / "chat_template.jinja").write_text(
            (folder / "chat_template.jinja").read_text() + " "
        ),
    ],
)
def test_every_small_file_is_part_of_what_a_checkpoint_is(folder, change):
    before = differences(folder)
    change(folder)
    after = differences(folder)
    assert (
        before["files"] != after["files"]
        and json.loads(Backbone.load(folder, device="cpu").processing())["files"] == after["files"]
    )


def test_stores_of_the_embedded_checkpoints_stay_readable(tmp_path, monkeypatch):
    embedded = {**list_backbones(), **judge_models()}
    assert {files_hash(folder) for folder in embedded.values()} <= EMBEDDED
    for folder in embedded.values():
        if torch.__version__.startswith(VERSIONS["torch"]):
            assert differences(folder) == {}, "nothing is added to the keys of before"
    copy = shutil.copytree(embedded["mini-1m"], tmp_path / "mine")
    assert differences(copy) == differences(embedded["mini-1m"]), "a copy is the same checkpoint"
    monkeypatch.setattr("covrr_utils.backbones.identity.version", lambda name: "9.1.0+cpu")
    assert differences(copy)["versions"] == {"torch": "9.1", "transformers": "9.1"}
    assert differences("a" * 40) == {"versions": {"torch": "9.1", "transformers": "9.1"}}


def test_a_mini_backbone_says_what_it_knows_before_any_number(
    small_benchmark, runs, tmp_path, capsys, monkeypatch
):
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run

    for name in [*list_backbones(), *judge_models()]:
        assert "ten drawn objects" in notice(name, "real") and notice(name, "mini") is None
    copy = shutil.copytree(list_backbones()["mini-1m"], tmp_path / "mine")
    assert "ten drawn objects" in notice(copy, "real"), "under any name"
    assert notice("qwen3-vl-2b", "real") is None and notice("nobody", "real") is None

    def loading(*arguments, **options):
        raise RuntimeError("loading begins")

    monkeypatch.setattr(Backbone, "load", loading)
    for kind, words in (("mini", ""), ("real", "mini-1m knows the ten drawn objects")):
        edited(small_benchmark, lambda descriptor, kind=kind: descriptor.update(kind=kind))
        with pytest.raises(RuntimeError, match="loading begins"):
            Run(RunConfig(benchmark=str(small_benchmark), backbone="mini-1m")).gallery()
        err = capsys.readouterr().err
        assert err.startswith(words) and (words or not err)


def test_loading_writes_nothing_into_the_folder(folder):
    before = {file.name: os.stat(file).st_mtime_ns for file in folder.iterdir()}
    Backbone.load(folder, device="cpu")
    assert before == {file.name: os.stat(file).st_mtime_ns for file in folder.iterdir()}
