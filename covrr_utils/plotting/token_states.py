"""Token states in pictures: which state predicts which token, and how near the states of two
descriptions are to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.patches import FancyBboxPatch

from covrr_utils.backbones.description import Description
from covrr_utils.plotting.lettering import empty_figure, plain_text, wrapped
from covrr_utils.plotting.style import QUIET, REFERENCE

BOX, STEP = 0.82, 1.0  # inches: the width of a box, and from one to the next

MOST = 24  # tokens that a map of cosines shows on a side


def states_that_predict(tokens: Sequence[str], before: str = "prompt") -> plt.Figure:
    """Tokens in a row, and below them the states, each under the token that was *read* at its
    place; an arrow leads from a state to the next token, which it predicts.

    ``before`` names what stands before the first token.
    """
    if not len(tokens):
        return empty_figure("", "There is no token to show.")
    texts = [f"({before})", *(_shown(token) for token in tokens)]
    across = STEP * len(texts) + 0.2
    figure = plt.figure(figsize=(across, 2.0))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, across), ylim=(0, 2.0))
    axis.axis("off")
    for place, text in enumerate(texts):
        left = 0.15 + STEP * place
        _box(axis, left, 1.35, text, "0.93" if place else "white", QUIET)
        if place < len(tokens):
            _box(axis, left, 0.35, f"state {place}", (*REFERENCE, 0.18), REFERENCE)
            axis.annotate(
                "",
                (left + STEP + 0.25, 1.33),
                (left + BOX / 2 + 0.1, 0.77),
                arrowprops={"arrowstyle": "->", "color": REFERENCE, "linewidth": 1.6},
            )
        axis.plot([left + BOX / 2] * 2, [0.77, 1.33], color=QUIET, linewidth=0.8, linestyle=":")
    axis.text(0.15, 1.86, "tokens, in the order of writing", fontsize=9, color="0.3", va="center")
    axis.text(0.15, 0.15, "blue arrow: the state predicts this token", fontsize=9, color=REFERENCE)
    return plain_text(figure)


def cosine_map(pairs: Sequence[tuple[str, Description, Description]]) -> plt.Figure:
    """One heat map for each titled pair of a query's and a target's description: the cosine of
    every state of the one (rows) with every state of the other (columns).

    All maps share one scale. Special tokens are left out; at most `MOST` tokens a side are shown.
    """
    if not pairs:
        return empty_figure("", "There is no pair of descriptions to show.")
    maps = [cosines(query, target) for _, query, target in pairs]
    low = min(float(values.min()) for values in maps)
    figure, axes = plt.subplots(
        1, len(pairs), figsize=(5.4 * len(pairs) + 0.8, 5.2), squeeze=False, layout="constrained"
    )
    for axis, values, (title, query, target) in zip(axes[0], maps, pairs):
        mesh = axis.pcolormesh(values, vmin=low, vmax=1.0, cmap="viridis")
        axis.invert_yaxis()
        axis.set_title(wrapped(title, 44), loc="left", fontsize=10)
        for side, description in ((axis.xaxis, target), (axis.yaxis, query)):
            words = _content(description)
            side.set_ticks(np.arange(len(words)) + 0.5, words, fontsize=8)
        axis.tick_params(axis="x", rotation=90)
        axis.set_xlabel("target's tokens")
        axis.set_ylabel("query's tokens")
        axis.grid(False)
    figure.colorbar(mesh, ax=list(axes[0]), label="cosine of the states", shrink=0.8)
    return plain_text(figure)


def cosines(query: Description, target: Description) -> Float[np.ndarray, "Q T"]:
    """The cosine of every state of the query with every state of the target, special tokens left
    out, at most `MOST` a side.
    """
    sides = []
    for description in (query, target):
        states = description.states[description.content][:MOST].astype(np.float64)
        sides.append(states / np.linalg.norm(states, axis=1, keepdims=True))
    return sides[0] @ sides[1].T


def _content(description: Description) -> list[str]:
    kept = [token for token, use in zip(description.tokens, description.content) if use]
    return [_shown(token) for token in kept[:MOST]]


def _shown(token: str) -> str:
    """A token short enough for its box, a line break as a sign."""
    text = token.strip(" ").replace("\n", "⏎") or "␣"
    text = "end" if text.startswith("<|") else text
    return text if len(text) <= 9 else f"{text[:8]}…"


def _box(axis: plt.Axes, left: float, low: float, text: str, colour: object, edge: object) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (left, low),
            BOX,
            0.4,
            boxstyle="round,pad=0.02,rounding_size=0.06",
            facecolor=colour,
            edgecolor=edge,
        )
    )
    axis.text(left + BOX / 2, low + 0.2, text, ha="center", va="center", fontsize=9)
