"""What the mini judge practises on: traces of the mini world, right ones and wrong ones, with the
rubric's numbers as its truth.

The numbers are computed from the gold trace (`rubric_scores`); no model and no person gave them.
That is possible in a world whose physics is known, and it is all that the mini judge has ever been
told about judging.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

from covrr_utils.judging.judges import CHANGES, slot_ratios
from covrr_utils.judging.rubric import DIMENSIONS, rubric_case
from covrr_utils.judging.sabotage import mixed_up, unchanged
from covrr_utils.mini.captions import gold_trace
from covrr_utils.mini.edits import Edit, literal, random_edit, random_pair
from covrr_utils.mini.world import VALUES, Shot, random_shot
from covrr_utils.traces.trace import MAX_ASSERTIONS, SLOTS, ReasoningTrace

JUDGEMENTS = 14  # of each clip

UNSEEN = (  # what no video shows
    "feels happy",
    "feels tired",
    "wants to stay",
    "wants to leave",
    "smells sweet",
    "sounds loud",
    "hopes for rain",
    "thinks of home",
    "remembers summer",
    "tastes salty",
)

SLOT_DIMENSIONS = dict(zip(SLOTS, ("state", "action", "scene", "camera", "tempo")))


def rubric_scores(trace: ReasoningTrace, gold: ReasoningTrace) -> dict[str, int]:
    """The ten dimensions of `covrr_utils.judging.rubric` for ``trace``, each 10 times a share,
    rounded to the next whole number.

    - state, action, scene, camera, tempo: F1 of the slot's assertions, exact (as in the judge
      ``slots``)
    - effect_factuality: of what the trace says to hold afterwards, the share that does, slot by
      slot
    - causality: F1 of the assertions that change, over all slots
    - step_consistency: of what the trace says to hold before, the share that does, slot by slot
    - observability: the share of assertions that are not in `UNSEEN`
    - concision: the share of assertions that do not repeat one before
    """
    rows, truth = trace.rows(), gold.rows()
    ratios = slot_ratios(trace, gold)
    shares = {
        dimension: ratios[slot][2] if slot in ratios else 1.0
        for slot, dimension in SLOT_DIMENSIONS.items()
    }
    shares["effect_factuality"] = _share(
        [(slot, after) in {(where, value) for where, _, value in truth} for slot, _, after in rows]
    )
    shares["causality"] = ratios[CHANGES][2] if CHANGES in ratios else 1.0
    shares["step_consistency"] = _share(
        [
            (slot, before) in {(where, value) for where, value, _ in truth}
            for slot, before, _ in rows
        ]
    )
    shares["observability"] = _share([after not in UNSEEN for _, _, after in rows])
    shares["concision"] = len(set(rows)) / len(rows) if rows else 0.0
    return {name: math.floor(10 * shares[name] + 0.5) for name in DIMENSIONS}


def _share(right: list[bool]) -> float:
    return sum(right) / len(right) if right else 0.0


def judgements(
    rng: random.Random, held_out: frozenset[Shot], count: int = JUDGEMENTS
) -> tuple[Shot, list[tuple[str, str]]]:
    """One clip's shot and ``count`` judgements about it: (case of the prompt, answer).

    Its edits never lead from or to a shot of ``held_out``.
    """
    while True:
        shot, edit, after = random_pair(rng, implicit=True)
        first = (edit, after)
        edits = [first] + [
            random_edit(shot, rng, implicit=rng.random() < 0.6) for _ in range(count - 1)
        ]
        if not {shot, *(pair[1] for pair in edits if pair)} & held_out:
            break
    questions = []
    for pair in edits:
        edit, after = pair or first
        gold = gold_trace(shot, after)
        trace = spoiled(shot, edit, after, rng)
        case = rubric_case(
            rng.choice(edit.wordings(shot)), trace.text(), shot.description(), after.description()
        )
        questions.append((case, json.dumps(rubric_scores(trace, gold))))
    return shot, questions


def spoiled(shot: Shot, edit: Edit, after: Shot, rng: random.Random) -> ReasoningTrace:
    """A trace of the edit as somebody might write it: right, or wrong in one of the ways in which
    traces are wrong.
    """
    gold = gold_trace(shot, after)
    way = rng.choices(
        ("right", "some values", "literal", "unchanged", "another's", "mixed"),
        (20, 40, 8, 10, 14, 8),
    )[0]
    if way == "some values":
        before, wrong = shot, after
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
            name = rng.choice(list(VALUES))
            value = rng.choice(VALUES[name])
            sides = rng.choice(("before", "after", "after", "both"))
            before = replace(before, **{name: value}) if sides != "after" else before
            wrong = replace(wrong, **{name: value}) if sides != "before" else wrong
        trace = gold_trace(before, wrong)
    elif way == "literal":
        trace = gold_trace(shot, literal(shot, edit))
    elif way == "unchanged":
        trace = unchanged(gold)
    elif way == "another's":
        other = random_shot(rng)
        pair = random_edit(other, rng, implicit=rng.random() < 0.6)
        trace = gold_trace(other, pair[1] if pair else other)
    elif way == "mixed":
        trace = mixed_up(gold, rng.randrange(1, len(SLOTS)))
    else:
        trace = gold
    return _garnished(trace, rng)


def _garnished(trace: ReasoningTrace, rng: random.Random) -> ReasoningTrace:
    """The trace, now and then with an assertion that nobody can see, one said twice, or one left
    out.
    """
    slots = {slot: list(items) for slot, items in trace.to_dict().items()}
    for what, share in (("unseen", 0.10), ("twice", 0.08), ("left out", 0.08)):
        slot = rng.choice(SLOTS)
        if rng.random() >= share:
            continue
        if what == "left out" and slots[slot]:
            slots[slot].pop(rng.randrange(len(slots[slot])))
        elif what != "left out" and len(slots[slot]) < MAX_ASSERTIONS:
            slots[slot].append(
                rng.choice(UNSEEN)
                if what == "unseen" or not slots[slot]
                else rng.choice(slots[slot])
            )
    return ReasoningTrace.from_dict(slots)
