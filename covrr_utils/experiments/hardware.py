"""How long steps of a run take on a GPU: its published rates, and which share of them an engine is
assumed to reach. Every time is a pair: at best and at worst.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from covrr_utils.backbones.dimensions import Dimensions

Pair = tuple[float, float]


@dataclass(frozen=True)
class Gpu:
    """One GPU by its maker's data sheet: dense bf16 operations a second, bytes a second, bytes."""

    operations: float
    bandwidth: float
    memory: float


GPUS = {
    "l4": Gpu(121e12, 0.300e12, 24e9),
    "rtx4090": Gpu(165e12, 1.008e12, 24e9),
    "l40s": Gpu(362e12, 0.864e12, 48e9),
    "a100": Gpu(312e12, 2.039e12, 80e9),
    "h100": Gpu(989e12, 3.350e12, 80e9),
    "h200": Gpu(989e12, 4.800e12, 141e9),
}


@dataclass(frozen=True)
class Shares:
    """What an engine is assumed to reach, best and worst: the share of a GPU's operations, of its
    bandwidth, and the seconds that one layer takes at least for one new token of a batch.
    """

    operations: Pair
    bandwidth: Pair
    layer: Pair


SHARES = {
    "this package": Shares((0.5, 0.15), (0.6, 0.15), (0.2e-3, 1.0e-3)),
    "a server": Shares((0.6, 0.25), (0.7, 0.35), (0.02e-3, 0.1e-3)),
}


@dataclass(frozen=True)
class Step:
    """One question, asked of many videos; pairs are means, low and high.

    Attributes
    ----------
    name : which
    prompts : how often it is asked
    prompt : tokens of a prompt that are read, the video's among them
    video : tokens of the video that are seen for it
    new : tokens of an answer that are written
    """

    name: str
    prompts: int
    prompt: Pair
    video: Pair
    new: Pair

    def total(self, part: Pair) -> Pair:
        """Of all prompts together."""
        return self.prompts * part[0], self.prompts * part[1]


def seconds(step: Step, model: Dimensions, gpu: Gpu, shares: Shares, batch: int) -> Pair:
    """Seconds of one GPU for a step.

    Reading a prompt is bound by operations. Writing is bound by the bytes of the weights, which
    every new token of a batch needs once, and of each prompt's cache, or by the launching of every
    layer.
    """
    bounds = []
    for end in (0, 1):
        prompt, video, new = step.prompt[end], step.video[end], step.new[end]
        rate = gpu.operations * shares.operations[end]
        read = step.prompts * model.operations(prompt, video) / rate
        rows = min(batch, max(step.prompts, 1))
        moved = model.weights + rows * (prompt + new / 2) * model.cache
        word = max(
            moved / (gpu.bandwidth * shares.bandwidth[end]), model.layers * shares.layer[end]
        )
        bounds.append(read + math.ceil(step.prompts / rows) * new * word)
    return bounds[0], bounds[1]
