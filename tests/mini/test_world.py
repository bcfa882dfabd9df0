import random
from dataclasses import asdict, replace

import pytest

from covrr_utils.mini import captions, causes, edits, wordings, world
from covrr_utils.mini.edits import Edit
from covrr_utils.mini.render import render
from covrr_utils.mini.world import Shot
from covrr_utils.traces.reading import parse_trace

MUG = Shot("mug", "red", "full", "swings", "kitchen", "day", "static", "slow")


def test_the_world_is_as_rich_as_it_says():
    assert len(world.KINDS) >= 8 and all(len(states) >= 3 for states in world.KINDS.values())
    assert (
        len(world.ACTIONS) >= 8
        and len(world.PLACES) >= 5
        and len(world.LIGHTS) == 2
        and len(world.CAMERAS) >= 5
        and len(world.TEMPI) == 3
    )
    sentences = wordings.WORDINGS
    assert len(sentences) >= 25 and all(len(set(texts)) >= 4 for texts in sentences.values())
    assert (
        set(causes.CAUSES) <= set(sentences) and 0.4 <= len(causes.CAUSES) / len(sentences) <= 0.6
    )


def test_every_state_named_by_a_rule_exists():
    for _, states, extra in causes.CAUSES.values():
        for kind, changes in states.items():
            assert {*changes, *changes.values()} <= set(world.KINDS[kind])
        assert set(extra) <= set(world.KINDS)


@pytest.mark.parametrize("implicit", [True, False])
def test_edits_keep_their_promises(implicit):
    rng = random.Random(3)
    for _ in range(300):
        shot, edit, after = edits.random_pair(rng, implicit)
        assert world.settle(shot) == shot and world.settle(after) == after and after != shot
        named = edits.literal(shot, edit)
        if implicit:
            assert after != world.settle(named), "an implicit edit must leave something to infer"
        else:
            assert after == named, "an explicit edit must have no after-effects"
        assert len(set(edit.wordings(shot))) >= 4


def test_texts_say_what_the_shot_shows():
    rng = random.Random(4)
    for _ in range(200):
        shot, edit, after = edits.random_pair(rng, rng.random() < 0.5)
        assert captions.read_description(after.description()) == asdict(after)
        trace = captions.gold_trace(shot, after)
        assert captions.read_trace(parse_trace(trace.text())) == asdict(after)
        changed = [name for name in world.ATTRIBUTES if getattr(shot, name) != getattr(after, name)]
        arrows = sum(before != now for _, before, now in trace.rows())
        assert arrows == len(changed) - (1 if {"colour", "kind"} <= set(changed) else 0)


def test_a_cause_depends_on_object_state_and_scene():
    kicked = edits.apply(MUG, Edit("kick"))
    assert (kicked.state, kicked.action, kicked.tempo, kicked.camera) == (
        "broken",
        "slides",
        "fast",
        "following",
    )
    balloon = replace(MUG, kind="balloon", state="inflated")
    assert edits.apply(balloon, Edit("kick")).action == "rises"
    ice = replace(MUG, kind="ice", state="solid", action="bounces", tempo="fast")
    assert edits.apply(ice, Edit("a week")).state == "melted"
    assert edits.apply(replace(ice, place="snowfield"), Edit("a week")) is None


def test_effects_have_effects():
    ice = Shot("ice", "red", "solid", "bounces", "beach", "night", "static", "fast")
    # the sun melts it, a puddle cannot bounce, and what rests has no tempo but slow
    after = edits.apply(ice, Edit("sunrise"))
    assert (after.light, after.state, after.action, after.tempo) == (
        "day",
        "melted",
        "rests",
        "slow",
    )


def test_accuracy_counts_the_unsaid_as_wrong():
    assert captions.slot_accuracy([asdict(MUG), {}], [MUG, MUG]) == dict.fromkeys(
        world.ATTRIBUTES, 0.5
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "kite"}, "unknown kind: 'kite'; known: egg, ice"),
        ({"state": "raw"}, "unknown state of a mug: 'raw'; known: empty, full, broken"),
        ({"camera": "shaky"}, "unknown camera: 'shaky'; known: static, panning"),
    ],
)
def test_what_is_not_in_the_world_is_not_drawn(changed, message):
    with pytest.raises(ValueError, match=message):
        render(replace(MUG, **changed), seed=1)
