"""The published Qwen3-VL sizes without their weights: parameter counts, prompt layout, memory, the
hub's cache.
"""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from covrr_utils.backbones import sizes
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.registry import UnknownBackbone
from covrr_utils.backbones.sizes import NotEnoughMemory
from covrr_utils.cli import main
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import read_clip

FEW = Sampling(num_frames=3)


@pytest.mark.parametrize(
    "name", [name for name in sizes.published_sizes() if name.endswith("Instruct")]
)
def test_published_configurations_have_the_published_parameters(name):
    from transformers import AutoModelForImageTextToText

    known = sizes.published_sizes()[name]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(sizes.config_of(name))
    model.tie_weights()
    assert (
        type(model).__name__ == known.architecture
        and sum(p.numel() for p in model.parameters()) == known.parameters
    )
    assert 0 <= known.parameters / 1e9 / float(known.size.split("B")[0]) - 1 < 0.12, (
        "the size in the name is the count, rounded down"
    )


def test_counts_agree_with_what_others_report():
    """Reported in billions: 8B 8.77 and 30B-A3B 31.07 (model directories); 4B 4.83, which counts
    its tied embedding twice.
    """
    billions = {known.size: known.parameters / 1e9 for known in sizes.published_sizes().values()}
    twice = 151936 * 2560 / 1e9
    assert [
        round(billions["8B"], 2),
        round(billions["30B-A3B"], 2),
        round(billions["4B"] + twice, 2),
    ] == [8.77, 31.07, 4.83]


def test_names_of_published_models_and_the_72b():
    hub = "Qwen/Qwen3-VL-8B-Instruct"
    assert {
        sizes.find(name).hub
        for name in (hub, "Qwen3-VL-8B-Instruct", "qwen3-vl-8b", "qwen/qwen3-vl-8b")
    } == {hub}
    assert (
        sizes.find("qwen3-vl-8b-thinking").hub == "Qwen/Qwen3-VL-8B-Thinking"
        and sizes.find("somebody/else") is None
    )
    with pytest.raises(
        UnknownBackbone, match="no Qwen3-VL with 72B parameters is published.*235B-A22B"
    ):
        Backbone.load("Qwen/Qwen3-VL-72B-Instruct")


def test_memory_is_checked_before_anything_is_downloaded(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("covrr_utils.backbones.checkpoints.cached_file", never)
    monkeypatch.setattr(sizes, "free_memory", lambda device, device_map: 24e9)
    with pytest.raises(
        NotEnoughMemory,
        match=(
            "-32B-Instruct take 66.7 GB in bfloat16 .* only 24.0 GB are free on cpu.*fit so:"
            " .*-8B-Instruct"
        ),
    ):
        Backbone.load("Qwen3-VL-32B-Instruct", device="cpu", dtype="bfloat16")
    with pytest.raises(NotEnoughMemory, match="take 35.1 GB in float32"):
        Backbone.load("qwen3-vl-8b", device="cpu")
    with pytest.raises(AssertionError, match="the hub was asked"):
        Backbone.load("qwen3-vl-32b", device="cpu", quantization="4bit")


def test_a_local_folder_that_is_too_large_is_refused(tiny_folder, monkeypatch):
    assert (
        sizes.parameters_on_disk(tiny_folder)
        == Backbone.load(tiny_folder, device="cpu").parameters()
    )
    monkeypatch.setattr(sizes, "free_memory", lambda device, device_map: 1000.0)
    with pytest.raises(NotEnoughMemory, match="tiny take"):
        Backbone.load(tiny_folder, device="cpu")


def test_options_reach_the_model_or_say_what_is_missing(tiny_folder):
    eager = Backbone.load(tiny_folder, device="cpu", dtype="bfloat16", attention="eager")
    assert (eager.info()["attention"], eager.info()["dtype"], eager.info()["device"]) == (
        "eager",
        "bfloat16",
        "cpu",
    )
    assert Backbone.load(tiny_folder, device="cpu", device_map="cpu").info()["device"] == "cpu"
    with pytest.raises(ValueError, match="unknown quantization '3bit'; known: 8bit, 4bit"):
        Backbone.load(tiny_folder, device="cpu", quantization="3bit")
    with pytest.raises(
        ValueError, match="unknown attention 'flash'; known: sdpa, eager, flash_attention_2"
    ):
        Backbone.load(tiny_folder, device="cpu", attention="flash")


@pytest.mark.skipif(
    bool(shutil.which("nvidia-smi")), reason="says what is missing only where it is missing"
)
def test_quantization_without_its_package_is_one_clear_error(tiny_folder):
    with pytest.raises(
        ValueError, match="an option needs a package that is not here .*bitsandbytes"
    ):
        Backbone.load(tiny_folder, device="cpu", quantization="4bit")


def test_a_hub_model_is_known_by_its_commit(tiny_folder, tmp_path, monkeypatch):
    """As in the cache that a download leaves; nothing is asked of the hub."""
    cache = tmp_path / "hub"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(tiny_folder, cache / "models--nobody--tiny" / "snapshots" / commit)
    (cache / "models--nobody--tiny" / "refs").mkdir()
    (cache / "models--nobody--tiny" / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    main, other = (
        Backbone.load("nobody/tiny", device="cpu"),
        Backbone.load("nobody/tiny", device="cpu", revision="b" * 40),
    )
    assert (
        main.name == "nobody/tiny"
        and main.info()["commit"] == "a" * 40
        and other.info()["commit"] == "b" * 40
    )
    assert (
        main.weights_hash
        != other.weights_hash
        != Backbone.load(tiny_folder, device="cpu").weights_hash
    )
    with pytest.raises(
        UnknownBackbone,
        match="unknown backbone 'nobody/else': .*not to be had from the hub.*hf download",
    ):
        Backbone.load("nobody/else", device="cpu")


def test_the_thoughts_of_a_thinking_edition_are_not_its_description(tiny, monkeypatch):
    tokenizer = tiny.processor.tokenizer
    ids = torch.tensor(tokenizer("hm hm</think>A red mug.<|im_end|>")["input_ids"])
    states, logprobs, vision = torch.ones(len(ids), 4), torch.zeros(len(ids)), torch.zeros(4)
    assert (
        tiny.generator.cut(ids, states, logprobs, "x", None, vision).content.sum() == len(ids) - 1
    )
    monkeypatch.setattr(tiny, "thinks", True)
    spoken = tiny.generator.cut(ids, states, logprobs, "x", None, vision)
    assert spoken.text == "A red mug." and spoken.content.sum() == len(
        tokenizer("A red mug.")["input_ids"]
    )
    endless = tiny.generator.cut(ids[:2], states, logprobs, "x", None, vision)
    assert endless.text == "" and not endless.content.any(), (
        "a thought that never ends is nothing to pool, a recorded miss"
    )


@pytest.fixture(scope="module")
def real_processor():
    from covrr_utils.backbones.qwen import qwen_processor

    return qwen_processor()


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """Eight seconds at 25 frames a second, 320 x 240: longer and larger than any mini clip."""
    import av

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(200):
            picture = np.zeros((240, 320, 3), np.uint8)
            picture[:, : number + 40] = (number, 255 - number, 128)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    return path


def test_the_rebuilt_tokenizer_is_qwens(real_processor):
    from dashscope.tokenizers import get_tokenizer

    tokenizer, theirs = real_processor.tokenizer, get_tokenizer("qwen-7b-chat")
    for text in (
        "It’s 12.5 seconds — déjà vu!\n\n  x",
        "states: raw -> fried; 日本語 🙂",
        "the EGG's cracked, isn't it?",
    ):
        assert (
            tokenizer(text)["input_ids"] == theirs.encode(text)
            and tokenizer.decode(theirs.encode(text)) == text
        )
    ids = {
        "<|endoftext|>": 151643,
        "<|im_end|>": 151645,
        "<|vision_start|>": 151652,
        "<|video_pad|>": 151656,
        "</think>": 151668,
    }
    assert (
        tokenizer.convert_tokens_to_ids(list(ids)) == list(ids.values())
        and len(tokenizer) == 151669
    )


def test_our_prompt_is_the_official_processors(real_processor, clip_file):
    """Frames decoded here, with their metadata, against the processor's own sampling of the whole
    video: the same tensors, token by token.
    """
    from transformers import GenerationConfig
    from transformers.video_utils import VideoMetadata

    from covrr_utils.video.clips import Sampling
    from covrr_utils.video.readers import decode

    model = SimpleNamespace(generation_config=GenerationConfig(), device="cpu", dtype=torch.float32)
    model.eval = lambda: model
    backbone = Backbone("layout", model, real_processor, "none", 1)
    assert (
        backbone.sampling == Sampling(fps=2, min_frames=4, max_frames=768) and not backbone.thinks
    )
    ours = backbone.inputs(
        [Prompt(read_clip(clip_file, backbone.sampling), "Describe this video.")]
    )
    whole = decode(clip_file, Sampling(num_frames=200))
    assert (whole.total, whole.fps) == (200, 25.0) and whole.indices.tolist() == list(range(200))
    chat = (
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>Describe this"
        " video.<|im_end|>\n<|im_start|>assistant\n"
    )
    metadata = VideoMetadata(
        total_num_frames=200,
        fps=25.0,
        width=320,
        height=240,
        duration=8.0,
        frames_indices=list(range(200)),
    )
    theirs = real_processor(
        text=[chat],
        videos=[whole.frames],
        video_metadata=[metadata],
        do_sample_frames=True,
        return_tensors="pt",
    )
    assert set(ours) == set(theirs)
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    grid = ours["video_grid_thw"][0].tolist()
    text = real_processor.tokenizer.decode(ours["input_ids"][0])
    patches = text.split("<|vision_start|>")
    assert (
        grid[0] == 8
        and (ours["input_ids"] == 151656).sum() == grid[0] * grid[1] * grid[2] // 4
        and len(patches) == 10
    )
    times = np.linspace(0, 199, 16).round().reshape(8, 2).mean(1) / 25
    assert patches[0] == "<|im_start|>user\n", (
        "the template's own pair of vision tokens stays around the whole video"
    )
    assert all(patch.endswith(f"<{time:.1f} seconds>") for patch, time in zip(patches[1:], times))
    assert text.endswith(
        "<|vision_end|><|vision_end|>Describe this video.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_clips_of_different_size_and_length_share_a_batch(tiny, clip_file):
    """Real videos are all different: each row must get what it gets alone."""
    asked = [
        Prompt(read_clip(clip_file, tiny.sampling), "a"),
        Prompt(read_clip(*_mini_clip()), "b"),
        Prompt(read_clip(clip_file, FEW), "c"),
    ]
    together, alone = (
        tiny.describe(asked, Generation(max_new_tokens=3)),
        [tiny.describe([one], Generation(max_new_tokens=3))[0] for one in asked],
    )
    assert len({prompt.clip.frames.shape for prompt in asked}) == 3
    for one, other in zip(together, alone):
        assert (
            one.tokens == other.tokens
            and np.allclose(one.states, other.states, atol=1e-4)
            and np.allclose(one.vision, other.vision, atol=1e-4)
        )


def test_a_size_that_does_not_fit_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sizes, "free_memory", lambda device, device_map: 24e9)
    assert main.main(["verify", "--size", "235B-A22B", "--device", "cpu"]) == 2
    assert "take 471.3 GB in bfloat16" in capsys.readouterr().err
    assert (
        main.main(["verify", "--size", "72B"]) == 2
        and "unknown size '72B'; published: 2B, 4B, 8B" in capsys.readouterr().err
    )
    assert main.main(["backbones", "--published"]) == 0
    out = capsys.readouterr().out
    assert (
        "Qwen3-VL-30B-A3B-Thinking" in out
        and "62.1 GB in bf16" in out
        and "no Qwen3-VL with 72B" in out
    )


@pytest.mark.skipif(
    not os.environ.get("COVRR_FULL_SCALE"),
    reason="minutes and 5 GB of memory; set COVRR_FULL_SCALE=1",
)
def test_a_random_2b_runs_gallery_and_query():
    from covrr_utils.experiments.dry_run import verify

    report = verify("2B", clips=2, batch_size=1, max_new_tokens=4)
    assert (
        report["parameters"] == 2_127_532_032
        and report["dtype"] == "bfloat16"
        and report["states_width"] == 2048
    )
    assert report["tokens_generated"] <= 16 and report["memory_gb"] == pytest.approx(
        4.255, abs=0.01
    )


@pytest.mark.parametrize("size", ["2B", "30B-A3B"])
def test_random_weights_are_whole(size, real_processor, monkeypatch):
    """Each class, dense and mixture of experts, filled at random at small width: frequencies as in
    a model made the usual way, then end to end.
    """
    from transformers import AutoModelForImageTextToText

    from covrr_utils.experiments import dry_run

    config = sizes.config_of(f"Qwen3-VL-{size}-Instruct")
    small = {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    small |= (
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
        if size == "30B-A3B"
        else {}
    )
    for name, value in small.items():
        setattr(config.text_config, name, value)
    seeing = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
        "deepstack_visual_indexes": [0],
    }
    for name, value in seeing.items():
        setattr(config.vision_config, name, value)
    monkeypatch.setattr(sizes, "config_of", lambda name: config)
    monkeypatch.setattr(sizes, "check_memory", lambda *arguments: None)
    monkeypatch.setattr(dry_run, "qwen_processor", lambda: real_processor)
    backbone = dry_run.random_backbone(size, device="cpu", dtype="float32")
    usual = dict(AutoModelForImageTextToText.from_config(config).named_buffers())
    assert usual and all(
        torch.equal(buffer, usual[name]) for name, buffer in backbone.model.named_buffers()
    )
    report = dry_run.verify(size, clips=2, batch_size=2, max_new_tokens=3, device="cpu", side=160)
    assert (
        report["class"] == sizes.find(f"qwen3-vl-{size}").architecture
        and report["states_width"] == 64
        and report["dtype"] == "bfloat16"
    )
    assert (
        report["first_clip"]["visual tokens"] == 2 * 25
        and report["first_clip"]["size in the file"] == "160 x 160"
    )
    assert backbone.describe([Prompt(read_clip(*_mini_clip()), "x")], Generation(max_new_tokens=2))[
        0
    ].states.shape == (2, 64)


def _mini_clip():
    from covrr_utils.benchmarks.benchmark import load_benchmark

    benchmark = load_benchmark("mini-val")
    return benchmark.video_path(benchmark.gallery[0]), Sampling(num_frames=4)


def test_the_readme_says_what_is_computed():
    from covrr_utils import paths

    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (paths.ROOT / "docs" / "real-data.md").read_text().splitlines()
        if line.startswith("|")
    ]
    for row in sizes.memory_rows():
        assert list(row.values()) in [cells[:6] for cells in rows], row
