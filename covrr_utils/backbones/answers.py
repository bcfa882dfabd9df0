"""What has been generated, step by step, what else is kept of it, and how the next tokens are
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import get_ident
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration


@dataclass
class Answers:
    """What has been generated for B rows, step by step; rows that have left are missing in later
    steps.
    """

    rows: list[Int[torch.Tensor, " active"]] = field(default_factory=list)
    tokens: list[Int[torch.Tensor, " active"]] = field(default_factory=list)
    states: list[Float[torch.Tensor, "active width"]] = field(default_factory=list)
    logprobs: list[Float[torch.Tensor, " active"]] = field(default_factory=list)
    layers: list[list[Float[torch.Tensor, "active width"]]] = field(default_factory=list)

    def whole(self, steps: Sequence[torch.Tensor], batch: int) -> torch.Tensor:
        """One tensor (B, T, ...) of what was kept step by step, on the CPU; zero for rows that have
        left.
        """
        out = torch.zeros(batch, len(steps), *steps[0].shape[1:], dtype=steps[0].dtype)
        for number, (rows, values) in enumerate(zip(self.rows, steps)):
            out[rows, number] = values.cpu()
        return out


class Listener:
    """A hook that keeps something of what a block makes, in the thread that asks for it: the same
    block serves other threads too.
    """

    def __init__(self, keep: Callable[[torch.Tensor], None]):
        self.keep, self.thread = keep, get_ident()

    def __call__(self, module: torch.nn.Module, args: object, out: torch.Tensor) -> None:
        if get_ident() == self.thread:
            self.keep(out)


def blocks_at(
    model: Qwen3VLForConditionalGeneration, depths: Sequence[float]
) -> list[torch.nn.Module]:
    """The decoder blocks at these depths: 1.0 is the last one, 0.5 the one in the middle (rounded,
    half up).

    Raises
    ------
    ValueError
        If a depth is not in (0, 1].
    """
    blocks = model.model.language_model.layers
    if wrong := [depth for depth in depths if not 0 < depth <= 1]:
        raise ValueError(
            f"layers are depths in (0, 1], such as 0.5 for the middle block; got {wrong[0]!r}"
        )
    return [blocks[max(int(depth * len(blocks) + 0.5), 1) - 1] for depth in depths]


def last_place(kept: list[torch.Tensor]) -> Listener:
    """A hook that keeps what a block makes of the last place."""
    return Listener(lambda out: kept.append(out[:, -1].contiguous()))


def all_places(kept: list[torch.Tensor]) -> Listener:
    """A hook that keeps all that a block makes."""
    return Listener(kept.append)


def next_tokens(
    scores: Float[torch.Tensor, "active vocabulary"],
    chances: Sequence[torch.Generator],
    rows: Int[torch.Tensor, " active"],
    batch: int,
) -> Int[torch.Tensor, " active"]:
    """The next token of every row: the likeliest where there are no ``chances``; else one drawn,
    for the first ``batch`` rows by the first of them, for the next ``batch`` by the second, ...

    Drawing takes as many random numbers as all of these ``batch`` rows would, so that what a row
    draws depends neither on which rows have left nor on those of other chances.
    """
    if not chances:
        return scores.argmax(-1)
    likely, there = scores.softmax(-1), rows.to(scores.device)
    chosen = torch.empty_like(there)
    for number, chance in enumerate(chances):
        mine = (there // batch == number).nonzero()[:, 0]
        if len(mine):
            whole = torch.ones(batch, scores.shape[1], device=scores.device)
            places = there[mine] - number * batch
            whole[places] = likely[mine]
            chosen[mine] = torch.multinomial(whole, 1, generator=chance)[places, 0]
    return chosen
