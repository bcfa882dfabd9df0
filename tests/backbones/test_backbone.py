import numpy as np
import pytest
import torch

from covrr_utils.backbones.answers import blocks_at
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.forcing import force
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.registry import UnknownBackbone, list_backbones
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.reasoning import prompts
from covrr_utils.video.decoder import read_clip

SHORT = Generation(max_new_tokens=12)


@pytest.fixture(scope="module")
def asked():
    """Prompts of different lengths on different clips: padding matters."""
    benchmark = load_benchmark("mini-val")
    backbone = Backbone.load("mini-3m", device="cpu")
    clips = [
        read_clip(benchmark.video_path(t.reference), backbone.sampling, t.reference)
        for t in benchmark.triplets[:4]
    ]
    triplets = benchmark.triplets[:4]
    texts = [
        prompts.describe(),
        prompts.trace(triplets[1].edit),
        prompts.single_stage(triplets[2].edit),
        prompts.after_trace(triplets[3].edit, triplets[3].gold_trace.text()),
    ]
    return [Prompt(clip, text) for clip, text in zip(clips, texts)]


@pytest.fixture(scope="module", params=["mini-3m", "tiny"])
def backbone(request, tiny_folder):
    return Backbone.load(
        tiny_folder if request.param == "tiny" else "mini-3m", device="cpu", batch_size=4
    )


def test_a_batch_gives_each_row_what_it_gets_alone(backbone, asked):
    together = backbone.describe(asked, SHORT)
    for prompt, batched in zip(asked, together):
        (alone,) = backbone.describe([prompt], SHORT)
        assert batched.text == alone.text and batched.tokens == alone.tokens
        assert np.allclose(batched.states, alone.states, atol=1e-4) and np.allclose(
            batched.logprobs, alone.logprobs, atol=1e-4
        )


def test_one_frame_of_a_video_is_described(tiny_folder):
    """A temporal patch holds two frames, so a single one is seen twice."""
    benchmark = load_benchmark("mini-val")
    single = Backbone.load(tiny_folder, device="cpu", num_frames=1)
    video = benchmark.triplets[0].reference
    clip = read_clip(benchmark.video_path(video), single.sampling, video)
    (described,) = single.describe([Prompt(clip, prompts.describe())], SHORT)
    assert len(clip.frames) == 1
    assert described.states.shape[0] == len(described.tokens) and described.states.shape[0] > 0


def test_states_are_those_of_a_plain_forward_pass(backbone, asked):
    """states[t] is the last, post-norm hidden state at the position before token t."""
    for prompt in asked[:2]:
        (d,) = backbone.describe([prompt], SHORT)
        inputs = backbone.inputs([prompt])
        ids = torch.from_numpy(d.token_ids)[None]
        full = {**inputs, "input_ids": torch.cat([inputs["input_ids"], ids], 1)}
        full["attention_mask"] = torch.ones_like(full["input_ids"])
        full["mm_token_type_ids"] = torch.cat(
            [inputs["mm_token_type_ids"], torch.zeros_like(ids)], 1
        )
        with torch.inference_mode():
            output = backbone.model(**full, output_hidden_states=True)
        before = inputs["input_ids"].shape[1] - 1
        states = output.hidden_states[-1][0, before : before + len(d.tokens)]
        assert np.allclose(states.numpy(), d.states, atol=1e-4)
        logprobs = (
            output.logits[0, before : before + len(d.tokens)]
            .log_softmax(-1)
            .gather(1, ids[0][:, None])[:, 0]
        )
        assert np.allclose(logprobs.numpy(), d.logprobs, atol=1e-4)
        with torch.inference_mode():
            last = backbone.model.model(**full).last_hidden_state[
                0, before : before + len(d.tokens)
            ]
        assert torch.equal(last, states), (
            "hidden_states[-1] is post-norm in this version of transformers"
        )


def test_states_are_what_the_head_chose_each_token_from(backbone, asked):
    head = backbone.model.get_output_embeddings()
    for d in backbone.describe(asked, SHORT):
        with torch.inference_mode():
            logprobs = head(torch.from_numpy(d.states)).log_softmax(-1)
        assert logprobs.argmax(-1).tolist() == d.token_ids.tolist()
        assert np.allclose(logprobs.max(-1).values.numpy(), d.logprobs, atol=1e-5)


def test_layers_and_visual_tokens_are_those_of_a_plain_forward_pass(tiny, asked):
    """hidden_states[i] is the output of block i; the last of a batch of different lengths is looked
    at.
    """
    before = tiny.generated_tokens
    described = tiny.describe(asked, SHORT, layers=(0.5, 1.0))
    assert tiny.generated_tokens - before == sum(len(d.tokens) for d in described)
    prompt, d = asked[1], described[1]
    inputs = tiny.inputs([prompt])
    ids = torch.from_numpy(d.token_ids)[None]
    full = {**inputs, "input_ids": torch.cat([inputs["input_ids"], ids], 1)}
    full["attention_mask"] = torch.ones_like(full["input_ids"])
    full["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(ids)], 1)
    outputs = []
    blocks = blocks_at(tiny.model, (0.5, 1.0))
    assert blocks == list(tiny.model.model.language_model.layers), "the tiny model has two blocks"
    hooks = [
        block.register_forward_hook(lambda module, args, out: outputs.append(out))
        for block in blocks
    ]
    with torch.inference_mode():
        tiny.model(**full)
        visual = tiny.model.model.get_video_features(
            inputs["pixel_values_videos"], inputs["video_grid_thw"], return_dict=True
        ).pooler_output
    for hook in hooks:
        hook.remove()
    at = inputs["input_ids"].shape[1] - 1
    for number in (0, 1):
        assert np.allclose(
            outputs[number][0, at : at + len(d.tokens)].numpy(), d.layers[number], atol=1e-4
        )
    assert np.allclose(visual[0].mean(0).numpy(), d.vision, atol=1e-4)
    with pytest.raises(ValueError, match=r"depths in \(0, 1\].*got 7"):
        tiny.describe(asked, SHORT, layers=(7,))


def test_reading_an_answer_gives_the_states_of_writing_it(tiny, asked):
    """In the order in which the layers are asked for, whichever comes first in the model."""
    written = tiny.describe(asked, SHORT, layers=(1.0, 0.5))
    answers = [description.token_ids.tolist() for description in written]
    for one, other in zip(written, force(tiny, asked, answers, (1.0, 0.5)), strict=True):
        assert one.tokens == other.tokens and one.ended == other.ended
        for field in ("states", "logprobs", "layers", "vision"):
            assert np.allclose(getattr(one, field), getattr(other, field), atol=1e-5), field


def test_reading_a_text_gives_the_states_before_each_of_its_tokens(tiny):
    (d,) = tiny.read(["kick the mug"])
    assert "".join(d.tokens) == "kick the mug" and d.content.all() and d.vision is None
    ids = tiny.processor.tokenizer("<|im_start|>user\nkick the mug", return_tensors="pt")[
        "input_ids"
    ]
    with torch.inference_mode():
        states = tiny.model.model(input_ids=ids).last_hidden_state[0]
    assert np.allclose(d.states, states[-len(d.tokens) - 1 : -1].numpy(), atol=1e-4)


def test_rows_end_with_their_end_of_turn(asked):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=4)
    for d in backbone.describe(asked):
        assert (
            d.ended
            and d.tokens[-1] == "<|im_end|>"
            and d.special.tolist() == [False] * (len(d.tokens) - 1) + [True]
        )
        assert d.text == "".join(d.tokens[:-1]) and len(d.tokens) == len(d.states) == len(
            d.logprobs
        ) == len(d.token_ids)


def test_greedy_runs_repeat_and_sampling_is_seeded(tiny, asked):
    assert tiny.write(asked, SHORT) == tiny.write(asked, SHORT)
    hot = [
        Generation(max_new_tokens=12, do_sample=True, temperature=0.9, seed=seed)
        for seed in (1, 1, 2)
    ]
    one, again, other = (tiny.write(asked, generation) for generation in hot)
    assert one == again and one != other


def test_a_checkpoints_sampling_habits_do_not_leak_into_greedy_runs(tiny_folder, asked, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(tiny_folder, tmp_path / "habits")
    habits = json.loads((folder / "generation_config.json").read_text()) | {
        "do_sample": True,
        "temperature": 5.0,
        "repetition_penalty": 3.0,
    }
    (folder / "generation_config.json").write_text(json.dumps(habits))
    assert Backbone.load(folder, device="cpu").write(asked, SHORT) == Backbone.load(
        tiny_folder, device="cpu"
    ).write(asked, SHORT)


def test_timestamps_are_the_clips_own(tiny, asked):
    text = tiny.processor.tokenizer.decode(tiny.inputs(asked[:1])["input_ids"][0])
    times = asked[0].clip.times
    for first, second in zip(times[::2], times[1::2]):
        assert f"<{(first + second) / 2:.1f} seconds>" in text


def test_faulty_states_are_errors(tiny, asked):
    norm = tiny.model.model.language_model.norm.weight
    kept = norm.detach().clone()
    try:
        norm.data[0] = float("nan")
        with pytest.raises(ValueError, match="not finite"):
            tiny.describe(asked[:1], SHORT)
    finally:
        norm.data.copy_(kept)


def test_unknown_backbones_say_what_is_possible(tmp_path, monkeypatch):
    with pytest.raises(
        UnknownBackbone,
        match=(
            r"unknown backbone 'mini-4m': not embedded \(.*mini-3m.*\).*a hub id has the form"
            r" owner/name"
        ),
    ):
        Backbone.load("mini-4m")
    with pytest.raises(
        UnknownBackbone, match="no checkpoint folder: it has no config.json; expected config.json"
    ):
        Backbone.load(tmp_path)

    def unreachable(source, file, revision=None):
        raise OSError("We couldn't connect to the hub.\nMore lines.")

    monkeypatch.setattr("covrr_utils.backbones.checkpoints.cached_file", unreachable)
    with pytest.raises(
        UnknownBackbone,
        match=(
            r"unknown backbone 'nobody/nothing': .*not to be had from the hub: We couldn't connect"
            r" to the hub\.\)"
        ),
    ):
        Backbone.load("nobody/nothing")


def test_embedded_backbones_are_ordinary_checkpoints():
    for name, folder in list_backbones().items():
        files = {path.name for path in folder.iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files, name
        assert not [file for file in files if file.endswith((".bin", ".pt", ".pkl", ".py"))]
    info = Backbone.load("mini-3m", device="cpu").info()
    assert (
        info["class"] == "Qwen3VLForConditionalGeneration"
        and 2.5e6 < info["parameters"] < 3.7e6
        and info["dtype"] == "float32"
    )
