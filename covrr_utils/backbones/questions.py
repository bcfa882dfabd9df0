"""Long questions are read in passes of some tokens.

A judge's question has hundreds of tokens. Read at once, every one of them is compared with all
others, those behind it too, before the mask takes half of that away; and what one operation makes
has left the processor's cache when the next one needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn
    from transformers.cache_utils import Cache

LONG = 256  # tokens of a question, beyond which it is read in passes

TOGETHER, LEAST = 2048, 64  # tokens of a pass: of all rows together, and of each row


def read_ahead(
    decoder: nn.Module,
    ids: Int[Tensor, "batch question"],
    seen: Int[Tensor, "batch length"] | None,
    position: Int[Tensor, "batch question"],
    cache: Cache,
    argument: str,
) -> tuple[Int[Tensor, "batch left"], Int[Tensor, "batch left"]]:
    """Read long questions on a CPU but for their last pass: keys and values join the ``cache``,
    which the decoder calls ``argument``. What is left of the tokens and positions.

    ``seen`` is 0 where a row is padded, over all that is held and the questions; None where none
    is.
    """
    size = max(TOGETHER // len(ids), LEAST)
    if ids.device.type != "cpu" or ids.shape[1] <= LONG:
        return ids, position
    while ids.shape[1] > size:
        places = position[:, :size]
        decoder(
            input_ids=ids[:, :size],
            attention_mask=None if seen is None else seen[:, : size - ids.shape[1]],
            position_ids=places.expand(3, *places.shape),
            use_cache=True,
            **{argument: cache},
        )
        ids, position = ids[:, size:], position[:, size:]
    return ids, position
