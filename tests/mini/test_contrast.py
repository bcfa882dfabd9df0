"""The mini embedder's training: what it sees is what the published format gives, what it contrasts
is right, and it keeps away from the benchmark.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY

from covrr_utils.backbones.embedder import Embedder, Input
from covrr_utils.backbones.embedding_prompts import composed
from covrr_utils.backbones.embedding_registry import published_instruction
from covrr_utils.mini import contrast, model, train
from covrr_utils.mini.attention import QUESTIONS, fast_vision
from covrr_utils.mini.build import held_out_shots
from covrr_utils.mini.captions import gold_trace
from covrr_utils.mini.recipes import EMBEDDER_RECIPES, Stage
from covrr_utils.mini.world import VALUES
from covrr_utils.video.clips import Clip

RECIPE = replace(TINY, stages=(Stage("embed", 4, batch=3, vision_rate=0.0),))


def clip_of(frames):
    return Clip("clip", frames, model.clip_metadata())


def test_an_input_in_training_gives_the_vector_that_it_gives_at_inference(tiny):
    prefix = model.Prefix(tiny.model, tiny.processor, system=published_instruction())
    stream = contrast.ContrastStream(RECIPE, tiny.processor.tokenizer, prefix.ids, 0)
    batch = stream.batch(0, frozenset())
    language = tiny.model.model.language_model
    before = language.config._attn_implementation
    language.set_attn_implementation(QUESTIONS)
    try:
        with fast_vision(), torch.no_grad():
            videos = tiny.processor.video_processor
            visual = model.visual_of(tiny.model, prefix, videos, batch["frames"])
            states = contrast.pooled(
                model.states_of(tiny.model, prefix, batch, visual), batch["last"]
            )
            text = contrast.of_texts(batch)
            described = contrast.pooled(model.states_of(tiny.model, None, text), text["last"])
    finally:
        language.set_attn_implementation(before)
    clips = contrast.examples(random.Random("7/0"), frozenset())
    embedder = Embedder("tiny", tiny.model.model, tiny.processor, tiny.weights)
    try:
        for row, example in enumerate(clips):
            clip, (sentence, after) = clip_of(batch["frames"][row].numpy()), example.edits[0]
            traced = composed(sentence, gold_trace(example.shot, after).text())
            texts = ["", *(sentence for sentence, _ in example.edits), traced]
            alone = embedder.embed([Input(each, clip) for each in texts])
            expected = np.concatenate([each.states for each in alone])
            np.testing.assert_allclose(states[row], expected, atol=1e-4)
            shots = (example.shot, *example.after)
            alone = embedder.embed([Input(shot.description()) for shot in shots])
            expected = np.concatenate([each.states for each in alone])
            np.testing.assert_allclose(described[row], expected, atol=1e-4)
    finally:
        tiny.processor.tokenizer.padding_side = "left"  # as the backbone of the session needs it


def test_examples_keep_away_from_the_benchmark_and_come_in_threes():
    held_out, rng = held_out_shots(), random.Random(5)
    for _ in range(60):
        reference, target, distractor = contrast.examples(rng, held_out)
        shots = {
            shot for each in (reference, target, distractor) for shot in (each.shot, *each.after)
        }
        assert not shots & held_out
        assert reference.after[0] == target.shot != distractor.shot
        assert {len(each.edits) for each in (reference, target, distractor)} == {contrast.EDITS}


def test_the_contrast_by_hand():
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    anchors = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    loss = contrast.contrast(anchors, torch.tensor([4, 9]), keys, torch.tensor([4, 5, 6]))
    # of whole vectors: two keys are just as near, one of them right; in one entry: all that is
    # left of a vector is its sign, and the second key has none. The other anchor has no key.
    whole = torch.tensor([1.0, 0.0, 1.0]) / contrast.TEMPERATURE
    assert float(loss) == pytest.approx(float(whole.logsumexp(0) - whole[0]), abs=1e-5)
    both = contrast.contrast(anchors[:1], torch.tensor([4]), keys, torch.tensor([4, 5, 4]))
    assert float(both) == pytest.approx(0, abs=1e-5), "every key of the anchor's shot is right"


def test_batches_depend_on_seed_and_number_alone(tiny):
    stream = contrast.ContrastStream(RECIPE, tiny.processor.tokenizer, [1, 2, 3], 0)
    one, again, other = (stream.batch(number, frozenset()) for number in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["frames"], other["frames"])
    assert one["shots"].shape == (3, 1 + contrast.EDITS)
    assert one["attributes"].shape[1] == len(VALUES)


def test_the_embedders_training_leaves_its_eyes_alone_and_writes_the_published_format(
    tmp_path, tiny_folder
):
    recipe = replace(
        EMBEDDER_RECIPES["mini-embedder"],
        stages=(Stage("embed", 2, batch=3, rate=1.0, vision_rate=0.0),),
        beginning=str(tiny_folder),
    )
    options = dict(save_every=1, log_every=1, workers=0, compiled=False)
    train.train("embedder", recipe, tmp_path / "work", tmp_path / "out", **options)
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tiny_folder, tmp_path / "out")
    )
    assert {name.removeprefix("model.") for name in before} == set(after)
    for name in after:
        same = torch.equal(before[f"model.{name}"].to(torch.bfloat16), after[name])
        assert same == ("visual" in name), name
    embedder = Embedder.load(tmp_path / "out", device="cpu")
    assert embedder.embed([Input("egg")])[0].states.shape == (1, TINY.text_width)
