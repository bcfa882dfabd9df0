"""What the mini reranker practises on, and that it is asked in training as it is at inference."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from covrr_utils.backbones.qwen import match_question
from covrr_utils.mini import model as mini_model
from covrr_utils.mini import train
from covrr_utils.mini.attention import QUESTIONS, fast_vision
from covrr_utils.mini.build import held_out_shots
from covrr_utils.mini.lineups import CLIPS, INPUTS, Lineup, MatchStream, lineup_tensors, near_miss
from covrr_utils.mini.match_loss import last_states
from covrr_utils.mini.recipes import RERANKER_RECIPES, Stage
from covrr_utils.mini.stream import filmed
from covrr_utils.mini.world import ATTRIBUTES, random_shot, settle


def test_lineups_are_seeded_and_keep_away_from_the_benchmark():
    held_out = held_out_shots()
    one, again, other = (Lineup.draw(random.Random(seed), held_out) for seed in (1, 1, 2))
    assert one == again != other
    for seed in range(40):
        rng = random.Random(seed)
        each = Lineup.draw(rng, held_out)
        assert len(set(each.shots)) == CLIPS and not set(each.shots) & held_out
        for given in INPUTS:
            queries = each.queries(given, rng)
            assert len({query.target for query in queries}) == len(queries), "one answer, one query"
            assert {query.with_source for query in queries} == {given.startswith("source")}
            assert all(("\n" in query.text) == given.endswith("trace") for query in queries)
            assert len(queries) == (CLIPS if given == "description" else 3)


def test_a_near_miss_differs_and_obeys_physics():
    rng = random.Random(4)
    changed = Counter()
    for _ in range(200):
        shot = random_shot(rng)
        other = near_miss(shot, rng)
        assert other != shot and settle(other) == other
        names = [name for name in ATTRIBUTES if getattr(shot, name) != getattr(other, name)]
        assert len(names) == 1 or names == ["kind", "state"]
        changed[names[0]] += 1
    assert set(changed) == set(ATTRIBUTES)


@pytest.mark.parametrize("given", ["description", "source+edit"])
def test_a_pair_in_training_is_asked_as_at_inference(tiny, given):
    """The state behind each pair of two line-ups is that of the published prompt, given whole and
    through the processor.
    """
    from test_training import clip_of

    model, processor = tiny.model, tiny.processor
    prefix = mini_model.Prefix(model, processor)
    rng = random.Random(5)
    lineups = [Lineup.draw(rng, frozenset()) for _ in range(2)]
    questions = [each.queries(given, rng) for each in lineups]
    frames = torch.stack(
        [torch.from_numpy(filmed(shot, rng)) for each in lineups for shot in each.shots]
    )
    film = processor.tokenizer.decode(prefix.film)
    batch = lineup_tensors(lineups, questions, processor.tokenizer, film)
    assert batch["hidden"].any(), "some query is shorter than the longest"
    before = model.model.language_model.config._attn_implementation
    model.model.language_model.set_attn_implementation(QUESTIONS)
    try:
        with fast_vision(), torch.no_grad():
            visual = mini_model.visual_of(model, prefix, processor.video_processor, frames)
            together = last_states(model, prefix, visual, batch)
    finally:
        model.model.language_model.set_attn_implementation(before)
    clips = [clip_of(clip.numpy()) for clip in frames]
    rows = [(place, query) for place, queries in enumerate(questions) for query in queries]
    for row in (0, len(rows) - 1):
        at, query = rows[row]
        asked, follows = match_question(query.text, source=query.with_source)
        for place in (0, 2, CLIPS - 1):
            candidate = clips[at * CLIPS + place]
            shown = [clips[at * CLIPS], candidate] if query.with_source else [candidate]
            inputs = processor(
                text=[asked + processor.video_token + follows],
                videos=[clip.frames for clip in shown],
                video_metadata=[clip.metadata for clip in shown],
                do_sample_frames=False,
                return_tensors="pt",
            )
            with torch.no_grad():
                alone = model.model(**inputs).last_hidden_state[0, -1]
            torch.testing.assert_close(together[row, place], alone, atol=1e-4, rtol=1e-4)
    assert batch["matches"].sum(1).tolist() == [1] * len(rows)
    assert batch["same"][batch["matches"]].all()


def test_a_rerankers_training_leaves_the_eyes_alone(tmp_path):
    from safetensors.torch import load_file

    from covrr_utils.backbones.registry import list_backbones

    recipe = replace(
        RERANKER_RECIPES["mini-reranker"],
        stages=(Stage("match", 1, batch=1, rate=1.0, vision_rate=0.0),),
    )
    train.train("one step", recipe, tmp_path / "work", tmp_path / "out", 1, 1, workers=0)
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (list_backbones()[recipe.beginning], tmp_path / "out")
    )
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]) == ("visual" in name), name


def test_batches_of_lineups_depend_on_seed_and_number_alone(tiny):
    recipe = replace(RERANKER_RECIPES["mini-reranker"], stages=(Stage("match", 3, batch=2),))
    film = tiny.processor.tokenizer("<0.1 seconds><|video_pad|>")["input_ids"]
    batches = MatchStream(recipe, tiny.processor.tokenizer, film, 0)
    one, again, other = (batches.batch(number, frozenset()) for number in (1, 1, 2))
    assert torch.equal(one["frames"], again["frames"])
    for first, second in zip(one["asked"], again["asked"], strict=True):
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(one["frames"], other["frames"])
