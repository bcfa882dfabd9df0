"""The laws of the mini world as a page: every cause, what its words say, what it brings about
unsaid, and what physics makes of that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np

from covrr_utils.mini.causes import CAUSES
from covrr_utils.mini.edits import Edit, apply, literal
from covrr_utils.mini.render import TOTAL_FRAMES, render
from covrr_utils.mini.world import ATTRIBUTES, Shot, random_shot
from covrr_utils.plotting.lettering import columns, plain_text, wrapped
from covrr_utils.plotting.panels import show_image
from covrr_utils.plotting.style import HIT, REFERENCE

DRAWS = 300  # shots among which a cause's example is chosen

ACROSS, DOWN, SIDE = 5.5, 1.2, 0.92  # inches: a law's width and height, a frame's side

HEAD, BODY = 11.5, 10.5  # points: a law's sentence, and what follows from it

WHOLE = "\u00a0"  # a space at which no line ends

Change = tuple[str, str, str]  # attribute, value before, value after


@dataclass(frozen=True)
class Law:
    """One cause at work on one shot: ``said`` is what its words say, ``unsaid`` what it brings
    about beside that, ``then`` what physics makes of both; each change is an attribute with its
    value before and after.
    """

    cause: str
    wording: str
    before: Shot
    after: Shot
    said: tuple[Change, ...]
    unsaid: tuple[Change, ...]
    then: tuple[Change, ...]


def law(cause: str, seed: int = 0) -> Law:
    """The cause at work on the shot, out of `DRAWS`, for which most follows.

    Raises
    ------
    ValueError
        If no such cause is in `CAUSES`, or it changes none of the shots.
    """
    if cause not in CAUSES:
        raise ValueError(f"unknown cause {cause!r}; known: {', '.join(CAUSES)}")
    rng = random.Random(seed)
    shots = [random_shot(rng) for _ in range(DRAWS)]
    laws = [
        _at_work(cause, shot, after)
        for shot in shots
        if (after := apply(shot, Edit(cause))) is not None
    ]
    if not laws:
        raise ValueError(f"{cause!r} changes none of {DRAWS} shots: it has nothing to say")
    return max(laws, key=lambda law: (len(law.then), len(law.unsaid), len(law.said)))


def laws_figure(seed: int = 0) -> plt.Figure:
    """All laws in two columns: a frame before, a frame after, and the three kinds of effect."""
    laws = [law(cause, seed) for cause in CAUSES]
    rows = (len(laws) + 1) // 2
    figure = plt.figure(figsize=(2 * ACROSS, rows * DOWN + 0.05))
    for number, example in enumerate(laws):
        left = ACROSS * (number // rows)
        low = DOWN * (rows - 1 - number % rows) + 0.05
        for place, (shot, colour) in enumerate(((example.before, REFERENCE), (example.after, HIT))):
            _frame(figure, shot, number, left + 0.05 + place * (SIDE + 0.08), low, colour)
        _words(figure, example, left + 2 * SIDE + 0.25, low + SIDE)
    return plain_text(figure)


def _at_work(cause: str, before: Shot, after: Shot) -> Law:
    everything, states, extra = CAUSES[cause]
    state = states.get(before.kind, {}).get(before.state, before.state)
    caused = replace(before, **{**everything, "state": state, **extra.get(before.kind, {})})
    said = _changes(before, literal(before, Edit(cause)))
    unsaid = tuple(change for change in _changes(before, caused) if change not in said)
    wording = Edit(cause).wordings(before)[0]
    return Law(cause, wording, before, after, said, unsaid, _changes(caused, after))


def _changes(before: Shot, after: Shot) -> tuple[Change, ...]:
    changes = ((name, getattr(before, name), getattr(after, name)) for name in ATTRIBUTES)
    return tuple(change for change in changes if change[1] != change[2])


def _frame(
    figure: plt.Figure, shot: Shot, seed: int, left: float, low: float, colour: tuple
) -> None:
    across, down = figure.get_size_inches()
    axis = figure.add_axes((left / across, low / down, SIDE / across, SIDE / down))
    frames = render(shot, seed, np.array([TOTAL_FRAMES // 2]))
    show_image(axis, frames[0], colour=colour, width=2)


def _words(figure: plt.Figure, example: Law, left: float, top: float) -> None:
    across, down = figure.get_size_inches()
    inches = ACROSS - 2 * SIDE - 0.35
    head = wrapped(f"“{example.wording}”", columns(inches, HEAD), 1)
    lines = []
    for kind, changes in (
        ("says", example.said),
        ("brings", example.unsaid),
        ("and then", example.then),
    ):
        if changes:
            pairs = (f"{before} → {after}" for _, before, after in changes)
            text = ", ".join(pair.replace(" ", WHOLE) for pair in pairs)
            lines.append(wrapped(f"{kind}: {text}", columns(inches, BODY), 2).replace(WHOLE, " "))
    figure.text(left / across, top / down, head, fontsize=HEAD, weight="bold", va="top")
    figure.text(left / across, (top - 0.24) / down, "\n".join(lines), fontsize=BODY, va="top")
