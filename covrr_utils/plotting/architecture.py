"""What a Qwen3-VL is made of, drawn with the parameters of every part."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt

from covrr_utils.plotting.boxes import INK, arrow, box, canvas
from covrr_utils.plotting.lettering import plain_text
from covrr_utils.plotting.style import QUIET, colour_of

EYES, WORDS = colour_of(0), colour_of(1)

# of every part: the lower left corner of its box, its width and its colour
PLACES = {
    "patch embedding": ((2.0, 2.75), 1.75, EYES),
    "vision blocks": ((4.3, 2.75), 1.75, EYES),
    "mergers": ((6.6, 2.75), 1.75, EYES),
    "token embedding": ((2.0, 0.75), 1.75, WORDS),
    "decoder layers": ((6.6, 0.75), 1.75, WORDS),
}

HEIGHT = 0.95  # inches of a box


def architecture_figure(
    parameters: Mapping[str, int], repeats: Mapping[str, int], title: str
) -> plt.Figure:
    """The way of a video and of a question through the model, part by part.

    Parameters
    ----------
    parameters : how many each of `PLACES` has
    repeats : how often a part stands one after the other, where it does

    Raises
    ------
    ValueError
        If the parts are not those of `PLACES`.
    """
    if set(parameters) != set(PLACES):
        raise ValueError(f"the parts are {sorted(parameters)}, expected {sorted(PLACES)}")
    figure, axis = canvas(10.6, 4.4)
    axis.text(0.15, 4.18, title, fontsize=11, weight="bold", va="center", color=INK)
    for part, ((left, low), width, colour) in PLACES.items():
        box(axis, (left, low), (width, HEIGHT), (*colour, 0.16), colour)
        times = f"{repeats[part]} x " if part in repeats else ""
        share = 100 * parameters[part] / sum(parameters.values())
        for up, words, size, weight in (
            (0.66, f"{times}{part}", 10, "bold"),
            (0.3, f"{parameters[part]:,} ({share:.1f} %)", 9, "normal"),
        ):
            at = (left + width / 2, low + up)
            axis.text(*at, words, fontsize=size, weight=weight, ha="center", va="center", color=INK)
    for left, low, words in (
        (0.15, 3.22, "frames of\na clip"),
        (0.15, 1.22, "words of\nthe question"),
        (8.95, 1.22, "token state,\nnext word piece"),
    ):
        axis.text(left, low, words, va="center", fontsize=9, color=INK)
    for start, end in (
        ((1.05, 3.22), (1.9, 3.22)),
        ((3.85, 3.22), (4.2, 3.22)),
        ((6.15, 3.22), (6.5, 3.22)),
        ((1.15, 1.22), (1.9, 1.22)),
        ((3.85, 1.22), (6.5, 1.22)),
        ((7.47, 2.65), (7.47, 1.8)),
        ((8.45, 1.22), (8.85, 1.22)),
    ):
        arrow(axis, start, end, INK)
    axis.text(
        7.6, 2.22, "visual tokens, and an\nearlier layer (deepstack)", fontsize=8.5, va="center"
    )
    # the output shares the matrix of the token embedding
    axis.plot([9.6, 9.6, 2.87, 2.87], [0.95, 0.3, 0.3, 0.62], color=QUIET, lw=1.2, ls="--")
    axis.text(
        6.2,
        0.14,
        "the same matrix, turned round, chooses the next word piece",
        ha="center",
        va="center",
        fontsize=8.5,
        color="0.35",
    )
    return plain_text(figure)
