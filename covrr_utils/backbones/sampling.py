"""Several samples of the same prompts, side by side in one batch.

All samples of a question go on from one reading of it. While a text is written, a step of a large
model takes little longer for five rows than for one: it is the weights that have to be read. So
where a batch has fewer prompts than rows, its samples share it. What each draws is its own
(`covrr_utils.backbones.decoding.TextGenerator.sample`), so that its text does not depend on what is
drawn beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.memory import free_memory, out_of_memory

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


def sample(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    generations: Sequence[Generation],
    desc: str | None = None,
) -> list[list[str]]:
    """For each of the ways of generating one text per prompt, as `Backbone.sample` says."""
    if not generations:
        return []
    size = backbone.batch_size
    samples: list[list[str]] = [[] for _ in generations]
    with tqdm(total=len(prompts) * len(samples), desc=desc, disable=desc is None) as bar:
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            drawn = _drawn(backbone, batch, generations, max(size // len(batch), 1))
            for texts, descriptions in zip(samples, drawn, strict=True):
                texts += [description.text for description in descriptions]
                bar.update(len(batch))
    return samples


def _drawn(
    backbone: Backbone, batch: Sequence[Prompt], generations: Sequence[Generation], together: int
) -> list[list[Description]]:
    """One batch in several ways, ``together`` of them at once; half as many where these do not fit
    into memory.
    """
    together = min(together, len(generations))
    try:
        return backbone.generator.sample(batch, generations, together=together)
    except (MemoryError, RuntimeError) as error:
        if together == 1 or not out_of_memory(error):
            raise
    free_memory()
    return _drawn(backbone, batch, generations, together // 2)


def chance(
    prompts: Sequence[Prompt], generation: Generation, device: torch.device
) -> torch.Generator:
    """The random numbers of one batch and seed."""
    content = json.dumps([generation.seed, *((p.clip.id, p.text) for p in prompts)])
    seed = int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "big")
    return torch.Generator(device).manual_seed(seed)
