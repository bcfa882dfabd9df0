"""Several samples of the same prompts, side by side in one batch.

While a text is written, a step of a large model takes as long for five rows as for one: it is the
weights that have to be read. So where a batch has fewer prompts than rows, its samples share it.
What each draws is its own (`covrr_utils.backbones.decoding.TextGenerator.sample`), so that its text
does not depend on what is drawn beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    size = backbone.batch_size
    samples: list[list[str]] = [[] for _ in generations]
    with tqdm(total=len(prompts) * len(samples), desc=desc, disable=desc is None) as bar:
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            together = max(size // len(batch), 1)
            for first in range(0, len(generations), together):
                drawn = _drawn(backbone, batch, generations[first : first + together])
                for texts, descriptions in zip(samples[first:], drawn):
                    texts += [description.text for description in descriptions]
                    bar.update(len(batch))
    return samples


def _drawn(
    backbone: Backbone, batch: Sequence[Prompt], generations: Sequence[Generation]
) -> list[list[Description]]:
    """One batch in several ways: in halves of them where all at once do not fit into memory."""
    try:
        return backbone.generator.sample(batch, generations)
    except (MemoryError, RuntimeError) as error:
        if len(generations) == 1 or not out_of_memory(error):
            raise
    free_memory()
    middle = len(generations) // 2
    halves = generations[:middle], generations[middle:]
    return [sample for half in halves for sample in _drawn(backbone, batch, half)]
