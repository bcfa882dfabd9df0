import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY

from covrr_utils.backbones.generation import Prompt
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.judging.rubric import HEAD
from covrr_utils.mini import judgements, stream, train
from covrr_utils.mini import model as mini_model
from covrr_utils.mini.attention import QUESTIONS, fast_vision
from covrr_utils.mini.build import held_out_shots
from covrr_utils.mini.recipes import JUDGE_RECIPES, Stage
from covrr_utils.mini.tokenizer import build_tokenizer
from covrr_utils.reasoning import prompts
from covrr_utils.video.clips import Clip


def clip_of(frames):
    return Clip("clip", frames, mini_model.clip_metadata())


@pytest.mark.parametrize("task", ["text", "judge"])
def test_a_question_in_training_sees_exactly_what_it_sees_at_inference(tiny, task):
    """The loss of several questions laid out behind one video equals the loss of each asked alone,
    through the processor.
    """
    head = HEAD if task == "judge" else ""
    tokenizer, model, recipe = (
        tiny.processor.tokenizer,
        tiny.model,
        replace(TINY, stages=(Stage(task, 1, batch=2),)),
    )
    prefix = mini_model.Prefix(model, tiny.processor, head)
    batch = stream.Stream(recipe, tokenizer, prefix.ids, 0).batch(0, frozenset())
    before = model.model.language_model.config._attn_implementation
    model.model.language_model.set_attn_implementation(QUESTIONS)
    try:
        with fast_vision(), torch.no_grad():
            visual = mini_model.visual_of(
                model, prefix, tiny.processor.video_processor, batch["frames"]
            )
            together = float(mini_model.answer_loss(model, prefix, visual, batch))
    finally:
        model.model.language_model.set_attn_implementation(before)
    total, count = 0.0, 0
    rng = random.Random(f"{recipe.seed}/0")
    for row in range(2):
        _, asked = (
            judgements.judgements(rng, frozenset())
            if head
            else stream.questions(rng, frozenset(), second_stage=True)
        )
        # the stream draws the clip's seed and its compression from the same generator
        rng.getrandbits(40)
        if rng.random() < 0.7:
            rng.randint(30, 90)
        clip = clip_of(batch["frames"][row].numpy())
        for prompt, answer in asked:
            inputs = tiny.inputs([Prompt(clip, head + prompt)])
            ids = torch.tensor([tokenizer(f"{answer}<|im_end|>")["input_ids"]])
            full = {**inputs, "input_ids": torch.cat([inputs["input_ids"], ids], 1)}
            full["attention_mask"] = torch.ones_like(full["input_ids"])
            full["mm_token_type_ids"] = torch.cat(
                [inputs["mm_token_type_ids"], torch.zeros_like(ids)], 1
            )
            with torch.no_grad():
                logits = model(**full).logits[0, -ids.shape[1] - 1 : -1].float()
            total += float(torch.nn.functional.cross_entropy(logits, ids[0], reduction="sum"))
            count += ids.shape[1]
    assert together == pytest.approx(total / count, abs=1e-4)


def test_training_resumes_where_it_stopped(tmp_path, monkeypatch):
    sentences = list(stream.corpus(50))  # a small one: each training makes its tokenizer anew
    monkeypatch.setattr(train, "corpus", lambda: sentences)
    recipe = TINY
    options = dict(save_every=2, log_every=1, workers=0, compiled=False)
    train.train("whole", recipe, tmp_path / "a", tmp_path / "whole", **options)
    real, calls = train.loss_of, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*args)

    train.loss_of = interrupted
    try:
        with pytest.raises(KeyboardInterrupt):
            train.train("half", recipe, tmp_path / "b", tmp_path / "half", **options)
    finally:
        train.loss_of = real
    assert not (tmp_path / "half").exists()
    train.train("half", recipe, tmp_path / "b", tmp_path / "half", **options)
    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "half"))
    assert all(torch.equal(whole[name], half[name]) for name in whole)
    log = [json.loads(line) for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, recipe.steps + 1)), (
        "a step that was done again is logged once"
    )
    assert [line["seconds"] for line in log] == sorted(line["seconds"] for line in log)


def test_a_judges_training_begins_with_a_backbone_and_leaves_its_eyes_alone(tmp_path):
    recipe = replace(
        JUDGE_RECIPES["mini-judge"], stages=(Stage("judge", 2, batch=1, rate=1.0, vision_rate=0.0),)
    )
    train.train(
        "judge",
        recipe,
        tmp_path / "work",
        tmp_path / "out",
        save_every=2,
        log_every=1,
        workers=0,
        compiled=False,
    )
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (list_backbones()[recipe.beginning], tmp_path / "out")
    )
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]) == ("visual" in name), name


def test_batches_depend_on_seed_and_number_alone():
    tokenizer = build_tokenizer(stream.corpus(30), mini_model.VOCABULARY)
    batches = stream.Stream(TINY, tokenizer, [1, 2, 3], 0)
    held_out = held_out_shots()
    one, again, other = (batches.batch(number, held_out) for number in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["frames"], other["frames"])
    assert set(one) == {"frames", "attributes", "ids", "labels", "offset", "spans"} and set(
        other
    ) == {"frames", "attributes"}


def test_stages_follow_one_another():
    assert TINY.steps == 6 and [TINY.stage(step)[0].task for step in range(6)] == [
        "text",
        "text",
        "vision",
        "vision",
        "text",
        "text",
    ]
    assert [TINY.stage(step)[1] for step in range(6)] == [0, 1, 0, 1, 0, 1]
    assert train.learning_rate(TINY, 1) < TINY.stages[0].rate * 0.02, (
        "a stage begins with a warm-up and ends near zero"
    )
    with pytest.raises(IndexError):
        TINY.stage(6)


def test_every_weight_is_in_one_group_and_only_matrices_decay(tiny):
    trainee = mini_model.Trainee(tiny.model)
    groups = train.parameter_groups(trainee)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in trainee.parameters())
    vision = {id(p) for p in trainee.model.model.visual.parameters()}
    for group in groups:
        assert all(
            (id(p) in vision) == group["vision"] and (p.ndim >= 2) == (group["weight_decay"] > 0)
            for p in group["params"]
        )


def test_tokenizer_reads_back_what_it_wrote_and_keeps_qwens_tokens():
    tokenizer = build_tokenizer(stream.corpus(30), mini_model.VOCABULARY)
    text = prompts.trace("Kick the é ☃ 12.") + "<|im_end|>"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text and tokenizer.decode(
        ids, skip_special_tokens=True
    ) == text.removesuffix("<|im_end|>")
    assert len(tokenizer) == mini_model.VOCABULARY and tokenizer.eos_token == "<|im_end|>"
    assert len(tokenizer("2026")["input_ids"]) == 4, "digits are single tokens"
    with pytest.raises(ValueError, match="at least 282"):
        build_tokenizer(["x"], 100)


def test_compression_keeps_the_picture():
    frames = np.zeros((2, 128, 128, 3), np.uint8)
    frames[:, 32:96, 32:96] = (250, 40, 40)
    kept = stream.compressed(frames, random.Random(0))
    assert kept.shape == frames.shape and np.abs(kept.astype(int) - frames).mean() < 6
