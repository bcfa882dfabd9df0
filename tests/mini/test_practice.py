"""The backbones of the experiment on practice: the same eyes, and what each of them practises."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from covrr_utils import paths
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.mini import causes, stream, train, wordings, world
from covrr_utils.mini.build import held_out_shots
from covrr_utils.mini.recipes import PRACTICE_RECIPES, RECIPES
from covrr_utils.plotting import tables
from covrr_utils.reasoning import prompts

IMPLICIT = {
    text.format(it=kind)
    for cause in causes.CAUSES
    for text in wordings.WORDINGS[cause]
    for kind in world.KINDS
}


@pytest.mark.parametrize("name", PRACTICE_RECIPES)
def test_what_is_practised(name):
    """The share of implicit edits in the direct form, and the number of traces, are the recipe's;
    the benchmark's states are never met.
    """
    (stage,) = PRACTICE_RECIPES[name].stages
    rng, held_out, counts = random.Random(2), held_out_shots(), Counter()
    for _ in range(300):
        shot, asked = stream.questions(rng, held_out, False, stage.direct_implicit, stage.traces)
        assert shot not in held_out
        for prompt, _ in asked:
            edit = prompt.splitlines()[0].removeprefix("Edit: ")
            counts["traces"] += prompt == prompts.trace(edit)
            counts["direct"] += prompt == prompts.single_stage(edit)
            counts["implicit"] += prompt == prompts.single_stage(edit) and edit in IMPLICIT
    assert (counts["direct"], counts["traces"]) == (300, 300 * stage.traces)
    assert counts["implicit"] / 300 == pytest.approx(stage.direct_implicit, abs=0.08)
    assert (counts["implicit"] == 0) == (stage.direct_implicit == 0)


def test_the_mini_backbones_never_practised_implicit_edits_directly():
    for recipe in RECIPES.values():
        assert {stage.direct_implicit for stage in recipe.stages} == {0.0}


def test_they_borrow_their_eyes_and_keep_them(tmp_path):
    recipe = PRACTICE_RECIPES["direct-half"]
    (stage,) = recipe.stages
    recipe = replace(recipe, stages=(replace(stage, steps=1, batch=1, rate=1.0),))
    train.train("one step", recipe, tmp_path / "w", tmp_path / "out", 1, 1, 0, compiled=False)
    lent, made = (
        load_file(folder / "model.safetensors")
        for folder in (list_backbones()[recipe.eyes], tmp_path / "out")
    )
    assert lent.keys() == made.keys()
    for name in lent:
        assert torch.equal(lent[name], made[name]) == ("visual" in name), name


def test_every_backbone_ranked_every_target_in_both_ways():
    table = tables.measured_table("what_practice_explains")
    assert len(table) == 400 and table["edit"].value_counts()["implicit"] == 240
    columns = [
        f"{name} | {strategy} | {scorer}"
        for name in PRACTICE_RECIPES
        for strategy in ("single_stage", "two_stage")
        for scorer in ("context", "bm25")
    ]
    assert table.columns.tolist() == ["triplet", "edit", *columns]
    assert (table[columns] >= 1).all().all()


def test_they_are_made_outside_of_the_workbooks_data(runs):
    assert train.practice_dir() == paths.runs_dir() / "practice"
