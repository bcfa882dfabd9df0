"""What has been generated, step by step, and how the next tokens are chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import get_ident

import torch
from jaxtyping import Float, Int


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


def last_place(kept: list[torch.Tensor]) -> Listener:
    """A hook that keeps what a block makes of the last place."""
    return Listener(lambda out: kept.append(out[:, -1].contiguous()))


def all_places(kept: list[torch.Tensor]) -> Listener:
    """A hook that keeps all that a block makes."""
    return Listener(kept.append)


def next_tokens(
    scores: Float[torch.Tensor, "active vocabulary"],
    chance: torch.Generator | None,
    rows: Int[torch.Tensor, " active"],
    batch: int,
) -> Int[torch.Tensor, " active"]:
    """The next token of every row: one drawn by ``chance``, the likeliest where that is None.

    Drawing takes as many random numbers as the whole batch would, so that what a row draws does not
    depend on which rows have left.
    """
    if chance is None:
        return scores.argmax(-1)
    chances = torch.ones(batch, scores.shape[1], device=scores.device)
    there = rows.to(scores.device)
    chances[there] = scores.softmax(-1)
    return torch.multinomial(chances, num_samples=1, generator=chance)[there, 0]
