"""Predict, then run: triplets with a few candidates under letters, of which a reader chooses one
before the model does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import matplotlib.pyplot as plt

from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.plotting.lettering import empty_figure, plain_text
from covrr_utils.plotting.panels import NOTE, TITLE, grid, middle, room, seen, show_image, titled
from covrr_utils.plotting.style import REFERENCE
from covrr_utils.video.clips import Clip

CANDIDATES = 5

BESIDE = 2  # choices beside each other in the figure: it is as wide as a page, and fits a slide

SIDE, BETWEEN = 0.66, 0.3  # inches: of a frame, and from one choice to the next


@dataclass(frozen=True)
class Choice:
    """A triplet and its candidates, videos in the order of their letters; one is the ``target``."""

    triplet: Triplet
    target: str
    candidates: tuple[str, ...]

    @property
    def letter(self) -> str:
        """The letter of the target."""
        return ascii_uppercase[self.candidates.index(self.target)]


def choice(triplet: Triplet, others: Iterable[str], seed: int = 0) -> Choice:
    """The target among at most `CANDIDATES` videos: its hard distractors, and where there are too
    few, some of ``others``; drawn and shuffled, the same way for the same seed.

    Raises
    ------
    ValueError
        If the triplet names no target.
    """
    if triplet.target is None:
        raise ValueError(f"triplet {triplet.id} names no target to hide among others")
    rng = random.Random(f"{seed} {triplet.id}")
    left_out = {triplet.target, triplet.reference}
    rivals = [video for video in triplet.named_distractors().values() if video not in left_out]
    rest = sorted({*others} - left_out - {*rivals})
    missing = max(CANDIDATES - 1 - len(rivals), 0)
    rivals += rng.sample(rest, min(missing, len(rest)))
    candidates = [triplet.target, *rivals[: CANDIDATES - 1]]
    rng.shuffle(candidates)
    return Choice(triplet, triplet.target, tuple(candidates))


def guessed(choices: Sequence[Choice], letters: str) -> int:
    """How many targets the letters name, one letter a choice.

    Raises
    ------
    ValueError
        If there is not one letter for each choice, or one that no candidate has.
    """
    if len(letters) != len(choices):
        raise ValueError(f"{len(letters)} letters for {len(choices)} triplets; write one for each")
    for place, (letter, one) in enumerate(zip(letters, choices), 1):
        known = ascii_uppercase[: len(one.candidates)]
        if letter not in known:
            raise ValueError(f"strip {place}: no candidate {letter!r}; choose one of {known}")
    return sum(letter == one.letter for letter, one in zip(letters, choices))


def choices_figure(choices: Sequence[Choice], clip_of: Callable[[str], Clip]) -> plt.Figure:
    """The choices with their numbers, `BESIDE` in a row: for each the reference, then the
    candidates under their letters, all by their middle frames; nothing tells the target.
    """
    if not choices:
        return empty_figure("", "There is no triplet to choose for.")
    across = max(len(one.candidates) for one in choices) + 1
    beside = min(BESIDE, len(choices))
    edits, above = titled(
        [f"{number}.  “{one.triplet.edit}”" for number, one in enumerate(choices, 1)], SIDE * across
    )
    widths = [SIDE] * across + ([BETWEEN] + [SIDE] * across) * (beside - 1)
    figure, axes = grid(-(-len(choices) // beside), widths, SIDE, above, room(1, NOTE))
    for number, (one, edit) in enumerate(zip(choices, edits, strict=True)):
        line, left = axes[number // beside], number % beside * (across + 1)
        show_image(line[left], middle(seen(clip_of, one.triplet.reference)), "", REFERENCE, 3)
        line[left].set_title(edit, loc="left", color="0.1", fontsize=TITLE)
        line[left].set_xlabel("reference", fontsize=NOTE, color=REFERENCE)
        for axis, letter, video in zip(line[left + 1 :], ascii_uppercase, one.candidates):
            show_image(axis, middle(seen(clip_of, video)))
            axis.set_xlabel(letter, fontsize=NOTE)
    return plain_text(figure)
