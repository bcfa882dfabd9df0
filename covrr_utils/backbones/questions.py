"""Questions are read once, whatever is written after them.

`Asked` is a batch of questions as the decoder has read them, each after its prefix. Every sample of
self-consistency goes on from there, in a batch of its own or side by side with others.

Long questions are read in passes of some tokens. A judge's question has hundreds of them: read at
once, every one is compared with all others, those behind it too, before the mask takes half of that
away; and what one operation makes has left the processor's cache when the next one needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import nn
from transformers.cache_utils import Cache

from covrr_utils.backbones.answers import last_place
from covrr_utils.backbones.prefix import Growing, Opened

LONG = 256  # tokens of a question, beyond which it is read in passes

TOGETHER, LEAST = 2048, 64  # tokens of a pass: of all rows together, and of each row


@dataclass
class Asked:
    """Questions as the decoder has read them.

    Attributes
    ----------
    state : the final state of each row's last token
    deeper : what some blocks make of it, a tensor a block
    cache : keys and values of all that was read
    seen : 1 where a row has a token, 0 where it is padded
    position : the position of each row's last token
    """

    state: Float[torch.Tensor, "batch width"]
    deeper: list[Float[torch.Tensor, "batch width"]]
    cache: Cache
    seen: Int[torch.Tensor, "batch length"]
    position: Int[torch.Tensor, "batch 1"]

    def times(self, count: int, room: int) -> Asked:
        """All of these rows ``count`` times, with room for so many tokens a row. Rows that are
        there once go on in the same memory: what one of them appends, the next one overwrites.
        """
        layers = [cast(Growing, layer) for layer in self.cache.layers]
        rows = torch.arange(len(self.state)).repeat(count)
        return Asked(
            self.state.repeat(count, 1),
            [states.repeat(count, 1) for states in self.deeper],
            Cache(
                layers=[
                    layer.branch(room) if count == 1 else layer.rows(rows, room) for layer in layers
                ]
            ),
            self.seen.repeat(count, 1),
            self.position.repeat(count, 1),
        )


def read_questions(
    decoder: nn.Module,
    opened: Opened,
    ids: Int[torch.Tensor, "batch question"],
    mask: Int[torch.Tensor, "batch question"],
    blocks: Sequence[nn.Module],
    argument: str,
) -> Asked:
    """Read questions, padded on the left, after their prefixes; keep what ``blocks`` make of their
    last tokens. The decoder calls its cache ``argument``.
    """
    position = opened.next_position[:, None] + (mask.cumsum(1) - 1).clamp(min=0)
    seen = torch.cat([opened.mask, mask], 1)
    padded = not bool(seen.all())

    def forward(begin: int, end: int) -> Float[torch.Tensor, "batch pass width"]:
        places, held = position[:, begin:end], opened.mask.shape[1]
        return decoder(
            input_ids=ids[:, begin:end],
            attention_mask=seen[:, : held + end] if padded else None,
            position_ids=places.expand(3, *places.shape),
            use_cache=True,
            **{argument: opened.cache},
        ).last_hidden_state

    begin, length = 0, ids.shape[1]
    if ids.device.type == "cpu" and length > LONG:
        size = max(TOGETHER // len(ids), LEAST)
        while length - begin > size:
            forward(begin, begin + size)
            begin += size
    deeper: list[list[torch.Tensor]] = [[] for _ in blocks]
    with ExitStack() as hooks:
        for block, kept in zip(blocks, deeper):
            hooks.callback(block.register_forward_hook(last_place(kept)).remove)
        state = forward(begin, length)[:, -1]
    return Asked(state, [kept for (kept,) in deeper], opened.cache, seen, position[:, -1:])
