"""Edits of the mini world: how they are worded, what they do to a shot, and how they are drawn.

Explicit edits name the attribute they change. Implicit edits name only a cause: `CAUSES` says what
that cause does to everything and what it does to *this* object in *this* state; `settle` then lets
physics take its course, so an after-effect can have after-effects of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from covrr_utils.mini.causes import CAUSES
from covrr_utils.mini.wordings import WORDINGS
from covrr_utils.mini.world import (
    ACTIONS,
    CAMERAS,
    COLOURS,
    INDOORS,
    KINDS,
    LIGHTS,
    PLACES,
    TEMPI,
    Shot,
    random_shot,
    settle,
)


@dataclass(frozen=True)
class Edit:
    """One edit: ``name`` is a cause of `CAUSES` (implicit) or an attribute (explicit, with the
    value it sets).
    """

    name: str
    value: str | None = None

    @property
    def implicit(self) -> bool:
        return self.name in CAUSES

    @property
    def id(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"

    def wordings(self, shot: Shot) -> list[str]:
        """At least four sentences that ask for this edit on ``shot``."""
        templates = WORDINGS.get(self.value or self.name) or WORDINGS[self.name]
        return [template.format(it=shot.kind, to=self.value) for template in templates]


def literal(shot: Shot, edit: Edit) -> Shot:
    """The edit taken at its word, without its after-effects (not settled)."""
    if edit.value is None:
        named, value = next(iter(CAUSES[edit.name][0].items()))
        return replace(shot, **{named: value})
    if edit.name == "kind":
        state, kind = edit.value.split()
        return replace(shot, kind=kind, state=state)
    return replace(shot, **{edit.name: edit.value})


def apply(shot: Shot, edit: Edit) -> Shot | None:
    """The shot after the edit, or None where the edit does not apply.

    An explicit edit applies when it changes its attribute and nothing else follows from it. A cause
    applies when more follows than its words say: something must be left to infer.
    """
    named = literal(shot, edit)
    if not edit.implicit:
        return named if named != shot and settle(named) == named else None
    if (
        edit.name in ("night falls", "lullaby")
        and shot.light == "night"
        or edit.name == "sunrise"
        and shot.light == "day"
    ):
        return None
    if edit.name == "power cut" and (shot.place not in INDOORS or shot.light == "night"):
        return None
    if edit.name in ("frost", "a week") and shot.place == "snowfield" and shot.kind == "ice":
        return None  # it is as cold as it gets: the ice stays as it is
    everything, states, extra = CAUSES[edit.name]
    state = states.get(shot.kind, {}).get(shot.state, shot.state)
    after = settle(replace(shot, **{**everything, "state": state, **extra.get(shot.kind, {})}))
    return after if after not in (shot, settle(named)) else None


def edits(shot: Shot, implicit: bool) -> Iterator[Edit]:
    """Every edit of the given sort that may be asked of ``shot`` (`apply` says whether it does
    anything).
    """
    if implicit:
        yield from (Edit(name) for name in CAUSES)
        return
    values = {
        "colour": COLOURS,
        "state": KINDS[shot.kind],
        "action": ACTIONS,
        "place": PLACES,
        "light": LIGHTS,
        "camera": CAMERAS,
        "tempo": TEMPI,
        "kind": [f"{states[0]} {kind}" for kind, states in KINDS.items()],
    }
    yield from (Edit(name, value) for name in values for value in values[name])


def random_edit(shot: Shot, rng: random.Random, implicit: bool) -> tuple[Edit, Shot] | None:
    """An edit that applies to ``shot`` and the shot after it, drawn evenly over causes or
    attributes; None where none applies.
    """
    options = [
        (edit, after) for edit in edits(shot, implicit) if (after := apply(shot, edit)) is not None
    ]
    if not options:
        return None
    name = rng.choice(sorted({edit.name for edit, _ in options}))
    return rng.choice([option for option in options if option[0].name == name])


def random_pair(rng: random.Random, implicit: bool) -> tuple[Shot, Edit, Shot]:
    """A shot, an edit and the shot after it: first the cause (or attribute) is drawn evenly, then a
    shot to which it applies.
    """
    name = rng.choice(
        sorted(CAUSES)
        if implicit
        else ("colour", "state", "kind", "action", "place", "light", "camera", "tempo")
    )
    while True:
        shot = random_shot(rng)
        options = [
            (edit, after)
            for edit in edits(shot, implicit)
            if edit.name == name and (after := apply(shot, edit)) is not None
        ]
        if options:
            return shot, *rng.choice(options)
