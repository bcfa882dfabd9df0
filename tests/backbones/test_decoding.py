"""The decode loop gives what transformers' own ``generate`` gives for whole prompts, and computes
what prompts share once.
"""

import importlib.util
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from covrr_utils import paths
from covrr_utils.backbones import decoding, prefix, questions, sight, step
from covrr_utils.backbones.answers import last_place
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.prefix import Prefixes
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.reasoning import prompts
from covrr_utils.reasoning.settings import Settings
from covrr_utils.reasoning.strategies import strategy
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import read_clip

spec = importlib.util.spec_from_file_location("plain", paths.ROOT / "benchmarks" / "plain.py")
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)

SHORT = Generation(max_new_tokens=16)


@pytest.fixture(scope="module")
def triplets():
    return load_benchmark("mini-val").triplets[:6]


@pytest.fixture(scope="module")
def varied(triplets):
    """Clips of 4 to 8 frames, of 64 x 96 to 128 x 128: every row is laid out in another way."""
    benchmark = load_benchmark("mini-val")
    clips = []
    for number, triplet in enumerate(triplets):
        sampling = Sampling(num_frames=4 + 2 * (number % 3))
        clip = read_clip(benchmark.video_path(triplet.reference), sampling, triplet.reference)
        if number % 2:
            frames = np.ascontiguousarray(clip.frames[:, :64, :96])
            clip = replace(
                clip, frames=frames, metadata=replace(clip.metadata, width=96, height=64)
            )
        clips.append(clip)
    return clips


@pytest.fixture(scope="module")
def asked(triplets, varied):
    texts = [
        prompts.describe(),
        prompts.trace(triplets[1].edit),
        prompts.single_stage(triplets[2].edit),
        prompts.after_trace(triplets[3].edit, triplets[3].gold_trace.text()),
    ]
    return [Prompt(clip, texts[number % 4]) for number, clip in enumerate(varied)]


@pytest.fixture(scope="module")
def untied_folder(tiny_folder, tmp_path_factory):
    """A random checkpoint whose head is not tied: neighbouring tokens are not alike."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder = shutil.copytree(tiny_folder, tmp_path_factory.mktemp("checkpoints") / "untied")
    config = AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["mini-3m", "untied"])
def folder(request, untied_folder):
    return untied_folder if request.param == "untied" else list_backbones()["mini-3m"]


@pytest.fixture(scope="module")
def pair(folder):
    """The same checkpoint as we load it and as transformers does."""
    return Backbone.load(folder, device="cpu", batch_size=6), plain.load(folder, 6)


def equal(ours, theirs, tolerance=1e-5):
    assert [d.text for d in ours] == [d.text for d in theirs]
    for one, other in zip(ours, theirs):
        assert one.tokens == other.tokens and one.ended == other.ended
        assert np.array_equal(one.special, other.special)
        assert np.allclose(one.states, other.states, rtol=0, atol=tolerance)
        assert np.allclose(one.logprobs, other.logprobs, rtol=0, atol=1e-4)
        assert np.allclose(one.vision, other.vision, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "generation",
    [
        Generation(max_new_tokens=96),
        SHORT,
        Generation(max_new_tokens=16, do_sample=True, temperature=0.9, seed=3),
        Generation(max_new_tokens=12, do_sample=True, top_p=0.8, top_k=20, seed=4),
        Generation(max_new_tokens=96, grammar="lines"),
        Generation(max_new_tokens=96, grammar="lines", do_sample=True, seed=5),
    ],
)
def test_the_loop_gives_what_generate_gives(pair, asked, generation):
    ours, theirs = pair
    # a long text drawn far from anything likely lets rounding grow: 1.8e-5 on a processor of AMD
    far = generation.do_sample and generation.max_new_tokens > SHORT.max_new_tokens
    tolerance = 3e-5 if far else 1e-5
    expected = plain.describe(theirs, asked, generation)
    equal(ours.describe(asked, generation), expected, tolerance)


@pytest.mark.parametrize("together", [6 * 7, 6 * 4])
def test_long_questions_read_in_passes_are_answered_alike(pair, asked, monkeypatch, together):
    """Their states, and those of the blocks below, of rows of many lengths."""
    ours, _ = pair
    expected = ours.describe(asked, SHORT, layers=(0.5,))
    passes, decoder = [], ours.model.model.language_model
    for name, value in (("LONG", 8), ("TOGETHER", together), ("LEAST", 5)):
        monkeypatch.setattr(questions, name, value)
    noting = decoder.register_forward_pre_hook(
        lambda module, args, options: passes.append(options["input_ids"].shape[1]), with_kwargs=True
    )
    described = ours.describe(asked, SHORT, layers=(0.5,))
    noting.remove()
    equal(described, expected)
    for one, other in zip(described, expected):
        assert np.allclose(one.layers, other.layers, rtol=0, atol=1e-5)
    size = max(together // 6, 5)
    assert max(passes) == size and passes.count(size) > 3


def drawn_by(backbone, monkeypatch, most=99):
    """(prompts, samples) of every batch that is written from now on; memory has room for so many
    samples.
    """
    batches, write = [], backbone.generator._written

    def counting(asked, generation, blocks, chances):
        batches.append((len(asked.state) // len(chances), len(chances)))
        if len(chances) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return write(asked, generation, blocks, chances)

    monkeypatch.setattr(backbone.generator, "_written", counting)
    return batches


@pytest.mark.parametrize(
    "count, grammar, batches",
    [(1, "lines", [(1, 4)]), (2, None, [(2, 3), (2, 1)]), (6, None, [(6, 1)] * 4)],
)
def test_samples_side_by_side_are_those_one_after_the_other(
    pair, asked, monkeypatch, count, grammar, batches
):
    """As many rows as a batch may have; the texts are those of each sample alone."""
    ours, _ = pair
    way = Generation(96 if grammar else 16, do_sample=True, temperature=3.0, grammar=grammar)
    ways = [replace(way, seed=seed) for seed in (3, 4, 5, 4)]
    before = ours.generated_tokens
    alone = [ours.write(asked[:count], way) for way in ways]
    tokens = ours.generated_tokens - before
    drawn = drawn_by(ours, monkeypatch)
    assert ours.sample(asked[:count], ways) == alone
    assert drawn == batches and ours.generated_tokens == before + 2 * tokens
    assert alone[1] == alone[3] and len({*map(tuple, alone)}) == 3


def test_samples_that_do_not_fit_into_memory_are_drawn_by_fewer_at_once(pair, asked, monkeypatch):
    ours, _ = pair
    ways = [replace(SHORT, do_sample=True, seed=seed) for seed in range(5)]
    alone = [ours.write(asked[:1], way) for way in ways]
    with monkeypatch.context() as patched:
        drawn = drawn_by(ours, patched, most=2)
        assert ours.sample(asked[:1], ways) == alone
    assert drawn == [(1, 5), (1, 2), (1, 2), (1, 1)]
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="out of memory"):
        drawn_by(ours, patched, most=0)
        ours.sample(asked[:1], ways)
    with pytest.raises(ValueError, match="differ in their seeds alone"):
        ours.sample(asked[:1], [ways[0], replace(ways[1], temperature=0.5)])


def test_every_blocks_state_of_a_token_is_kept(pair, asked):
    """Those of the first token, which transformers computes, and those of the others."""
    ours, _ = pair
    layers = (0.5, 1.0)
    depth = len(ours.model.model.language_model.layers)
    for one in ours.describe(asked, SHORT, layers=layers):
        assert one.layers.shape[:2] == (len(layers), len(one.tokens))
        assert not np.allclose(one.layers[0], one.layers[1])
        last = torch.from_numpy(one.layers[layers.index(1.0)])
        normed = ours.model.model.language_model.norm(last).detach().numpy()
        assert np.allclose(normed, one.states, rtol=0, atol=1e-5), depth


def test_what_the_quick_step_does_not_know_is_left_to_transformers(pair, asked, folder):
    decoder = pair[0].model.model.language_model
    expected = pair[0].describe(asked, SHORT)
    assert step.is_plain(decoder)
    assert not step.is_plain(pair[1].model.model.visual)

    calls = []
    listening = decoder.layers[0].mlp.register_forward_hook(lambda *args: calls.append(args))
    assert not step.is_plain(decoder)
    equal(pair[0].describe(asked, SHORT), expected)
    listening.remove()
    assert len(calls) >= max(len(each.tokens) for each in expected), "it hears every token"

    class Adapted(torch.nn.Linear):
        def forward(self, values):
            return 2 * super().forward(values)

    adapted = Backbone.load(folder, device="cpu", batch_size=6)
    changed = adapted.model.model.language_model
    changed.layers[0].mlp.down_proj.__class__ = Adapted
    assert not step.is_plain(changed)
    assert not np.allclose(adapted.describe(asked, SHORT)[0].states[-1], expected[0].states[-1])


def test_another_thread_may_listen_while_the_decoder_is_looked_at(pair, monkeypatch):
    """Lanes share one model, and each adds a `Listener` to a block and takes it away again."""
    block, hooks = pair[0].model.model.language_model.layers[0], []

    class Listening(type):
        def __instancecheck__(cls, hook):
            hooks.append(block.register_forward_hook(last_place([])))
            return True

    monkeypatch.setattr(step, "Listener", Listening("Listener", (), {}))
    hooks += [block.register_forward_hook(last_place([])) for _ in range(2)]
    try:
        assert step.is_plain(pair[0].model.model.language_model)
        assert len(hooks) == 4
    finally:
        for hook in hooks:
            hook.remove()


def test_a_memory_that_is_too_small_grows(pair, asked, monkeypatch):
    ours, theirs = pair
    monkeypatch.setattr(prefix, "RESERVE", 3)
    monkeypatch.setattr(decoding, "RESERVE", 3)
    ours.generator.prefixes.clear()
    generation = Generation(max_new_tokens=40)
    equal(ours.describe(asked, generation), plain.describe(theirs, asked, generation))


def test_what_was_asked_in_between_changes_nothing(pair, asked):
    """The model's own memory of positions is that of the last call: it must not be used."""
    ours, theirs = pair
    expected = plain.describe(theirs, asked, SHORT)
    assert len({p.clip.frames.shape for p in asked}) > 2
    for batch in (asked, asked[1:2], asked[4:], asked[::-1], [asked[3]] * 3 + [asked[0]], asked):
        places = [asked.index(prompt) for prompt in batch]
        equal(ours.describe(batch, SHORT), [expected[place] for place in places])
        ours.read(["something else"])


@pytest.mark.parametrize(
    "name, failing", [("two_stage", False), ("two_stage", True), ("self_consistency", False)]
)
def test_a_clip_is_seen_once_for_all_that_is_asked_about_it(
    triplets, varied, monkeypatch, name, failing
):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=6)
    items, seen = list(zip(triplets, varied)), backbone.generator.prefixes
    if failing:  # every second trace is unusable and asked for again under a grammar
        write = backbone.write

        def forgetful(asked, generation, desc=None):
            texts = write(asked, generation, desc)
            if generation.grammar:
                return texts
            return ["no idea" if number % 2 else text for number, text in enumerate(texts)]

        monkeypatch.setattr(backbone, "write", forgetful)
    queries, failures = strategy(name)(backbone, items, Settings(samples=3))
    assert len(queries) == 6 and not failures
    assert (seen.computed, seen.sights.encoded) == (6, 6)
    if failing:
        assert sum(query.retried for query in queries) == 3


def test_clips_go_through_the_vision_tower_in_passes_of_a_bounded_size(varied, monkeypatch):
    befores = [prompts.describe()] * len(varied)
    together, apart = (
        Backbone.load("mini-3m", device="cpu").generator.prefixes.sights for _ in range(2)
    )
    keys = [together.key(clip, before) for clip, before in zip(varied, befores)]
    monkeypatch.setattr(sight, "PIXELS", sum(clip.frames[..., 0].size for clip in varied))
    assert together._passes(varied, range(len(varied))) == [list(range(len(varied)))]
    with torch.inference_mode():
        expected = together.of(varied, befores, keys)
        monkeypatch.setattr(sight, "PIXELS", 2 * varied[0].frames[..., 0].size)
        passes = apart._passes(varied, range(len(varied)))
        assert 2 < len(passes) and sum(passes, []) == list(range(len(varied)))
        for one, other in zip(apart.of(varied, befores, keys), expected):
            assert one.ids == other.ids and torch.equal(one.grid, other.grid)
            assert torch.allclose(one.features, other.features, rtol=0, atol=1e-5)
    assert apart.encoded == len(varied) and not apart._passes(varied, [])


def test_a_reference_that_is_a_gallery_video_is_encoded_once(varied, triplets):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=6)
    sights = backbone.generator.prefixes.sights
    backbone.write([Prompt(clip, prompts.describe()) for clip in varied], SHORT)
    copies = [replace(clip, id="other", frames=clip.frames.copy()) for clip in varied]
    again = [Prompt(clip, prompts.single_stage(t.edit)) for clip, t in zip(copies, triplets)]
    texts = backbone.write(again, SHORT)
    assert sights.encoded == 6, "the content counts, not the object"
    assert texts == Backbone.load("mini-3m", device="cpu", batch_size=6).write(again, SHORT)
    slower = [
        replace(clip, metadata=replace(clip.metadata, fps=clip.metadata.fps / 2)) for clip in varied
    ]
    backbone.write([Prompt(clip, "x") for clip in slower], SHORT)
    assert sights.encoded == 12, "other times are another video"
    backbone.sample_as(video_pixels=4 * 64 * 64)
    backbone.write([Prompt(clip, "x") for clip in varied], SHORT)
    assert sights.encoded == 18, "so is another size"


@pytest.mark.parametrize("threads", [1, 2])
def test_what_another_strategy_asks_goes_on_from_the_same_prefixes(
    small_benchmark, runs, monkeypatch, threads
):
    """Also in lanes, which begin anew with every strategy, and where others were seen meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        config = RunConfig(
            benchmark=str(small_benchmark), backbone="mini-1m", device="cpu", batch_size=2
        )
        run = Run(config)
        computed, compute = [], Prefixes._computed
        monkeypatch.setattr(
            Prefixes,
            "_computed",
            lambda self, keys, *rest: computed.extend(keys) or compute(self, keys, *rest),
        )
        run.queries("single_stage")
        assert len(computed) == len(set(computed)) == 6
        run.descriptions.videos(run.benchmark.gallery[:6], "others")
        others = len(computed)
        first = run.queries("two_stage")
        assert len(computed) == others, "nothing was forwarded again"
        monkeypatch.setenv("COVRR_RUNS", str(runs / "alone"))
        alone = Run(config).queries("two_stage")
    finally:
        torch.set_num_threads(before)
    for id_, query in alone.items():
        assert query.text == first[id_].text
        assert np.array_equal(query.description.states, first[id_].description.states)


def test_what_waits_for_more_questions_has_no_room_for_tokens(varied):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=2)
    kept = backbone.generator.prefixes
    for start in (0, 2):
        backbone.write([Prompt(clip, "x") for clip in varied[start : start + 2]], SHORT)
    again = [Prompt(clip, "y") for clip in varied[:2]]
    whole = Backbone.load("mini-3m", device="cpu", batch_size=2)
    first, second = kept._kept
    for waiting, newest in ((first, second), (second, first)):
        room = [
            prefix.nbytes()
            - sum(layer.keys.nbytes + layer.values.nbytes for layer in prefix.layers)
            for prefix in (waiting, newest)
        ]
        assert room[0] == 0 < room[1]
        equal(backbone.describe(again, SHORT), whole.describe(again, SHORT))
    assert kept.computed == 4


def test_what_is_kept_has_a_bound(varied, monkeypatch):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=2)
    kept = backbone.generator.prefixes
    for start in (0, 2):
        backbone.write([Prompt(clip, "x") for clip in varied[start : start + 2]], SHORT)
    assert len(kept._kept) == 2 and len(kept.sights.memory) == 4
    monkeypatch.setattr(prefix, "KEPT_BYTES", 0)
    monkeypatch.setattr(sight, "KEPT_BYTES", 0)
    backbone.write([Prompt(clip, "x") for clip in varied[4:]], SHORT)
    assert len(kept._kept) == 1 and len(kept.sights.memory) == 0, "the newest prefix always stays"
    assert kept.sights.memory._bytes == 0


def test_an_error_gives_the_memory_back(varied, monkeypatch):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=6)
    asked = [Prompt(clip, "x") for clip in varied]
    expected = backbone.write(asked, SHORT)

    def full(*arguments):
        raise MemoryError("not enough memory")

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "next_tokens", full)
        with pytest.raises(MemoryError):
            backbone.write(asked, SHORT)
    kept = backbone.generator.prefixes
    assert not kept._kept and not len(kept.sights.memory)
    assert backbone.write(asked[:4], SHORT) == expected[:4], "a halved batch goes on"


def test_rows_leave_when_they_have_ended(asked, monkeypatch):
    backbone = Backbone.load("mini-3m", device="cpu", batch_size=6)
    sizes = []
    backbone.model.lm_head.register_forward_pre_hook(
        lambda module, args: sizes.append(len(args[0]))
    )
    backbone.describe(asked, Generation(max_new_tokens=96))
    assert sizes[0] == 6 and sizes[-1] < 6


def test_a_device_map_changes_nothing(pair, folder, asked):
    mapped = Backbone.load(folder, device="cpu", batch_size=6, device_map="cpu", dtype="float32")
    equal(mapped.describe(asked, SHORT), pair[0].describe(asked, SHORT))


def test_eager_attention_gives_the_same(pair, folder, asked):
    eager = Backbone.load(folder, device="cpu", batch_size=6, attention="eager")
    assert not step.is_plain(eager.model.model.language_model)
    equal(eager.describe(asked, SHORT), pair[0].describe(asked, SHORT))


def test_mixtures_of_experts_too(untied_folder, asked, tmp_path):
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder = shutil.copytree(untied_folder, tmp_path / "experts")
    dense = json.loads((folder / "config.json").read_text())
    text = dense["text_config"] | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "model_type": "qwen3_vl_moe_text",
    }
    vision = dense["vision_config"] | {"model_type": "qwen3_vl_moe_vision"}
    moe = dense | {
        "model_type": "qwen3_vl_moe",
        "text_config": text,
        "vision_config": vision,
        "architectures": ["Qwen3VLMoeForConditionalGeneration"],
    }
    (folder / "config.json").write_text(json.dumps(moe))
    torch.manual_seed(1)
    AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(
        folder
    )
    ours, theirs = Backbone.load(folder, device="cpu", batch_size=6), plain.load(folder, 6)
    assert "Moe" in ours.info()["class"] and not step.is_plain(ours.model.model.language_model)
    equal(ours.describe(asked, SHORT), plain.describe(theirs, asked, SHORT))
