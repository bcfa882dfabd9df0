"""The model with the same weights and the same numbers, in less time.

transformers embeds patches by a convolution whose kernel covers its whole input, and outside of
flash attention it calls attention once per temporal patch of every video. Here patches are embedded
by the matrix product that this is, temporal patches of equal size attend together, and products are
given to the library that is quickest (`covrr_utils.backbones.products`). All this is put into one
model, through its parts, a hook and transformers' registry of attention functions; nothing of
transformers is changed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import nn
from transformers import AttentionInterface

from covrr_utils.backbones.products import multiply_many, multiply_quickly

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

TOGETHER = "covrr_together"  # the name of `attend_together` in transformers' registry


class PatchProduct(nn.Module):
    """A convolution whose kernel covers its whole input, as one matrix product: the same weights,
    the same sums in another order, a third of the time on a CPU.
    """

    def __init__(self, convolution: nn.Conv3d):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(
        self, patches: Float[torch.Tensor, "n channels frames height width"]
    ) -> Float[torch.Tensor, "n out"]:
        """One vector a patch."""
        return multiply_many(patches.flatten(1), self.weight.flatten(1), self.bias)


def attend_together(
    module: nn.Module,
    query: Float[torch.Tensor, "1 heads patches width"],
    key: Float[torch.Tensor, "1 heads patches width"],
    value: Float[torch.Tensor, "1 heads patches width"],
    attention_mask: None,
    scaling: float,
    lengths: list[int],
    **kwargs: Any,
) -> tuple[Float[torch.Tensor, "1 patches heads width"], None]:
    """Attention within each temporal patch, ``lengths`` patches each, all of one length at a time.

    The signature is that of transformers' attention functions.
    """
    heads, width = query.shape[1], query.shape[-1]
    if len(set(lengths)) == 1:
        # (1, H, n * l, D) -> (n, H, l, D)
        queries, keys, values = (
            part.view(heads, len(lengths), lengths[0], width).transpose(0, 1)
            for part in (query[0], key[0], value[0])
        )
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, scale=scaling)
        return mixed.transpose(1, 2).reshape(1, -1, heads, width), None
    out = query.new_empty(1, query.shape[2], heads, width)
    begins = [0]
    for length in lengths:
        begins.append(begins[-1] + length)
    for length in sorted(set(lengths)):
        places = torch.cat(
            [
                torch.arange(begin, begin + length, device=query.device)
                for begin, extent in zip(begins, lengths)
                if extent == length
            ]
        )
        queries, keys, values = (
            part[0, :, places].view(heads, -1, length, width).transpose(0, 1)
            for part in (query, key, value)
        )
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, scale=scaling)
        out[0, places] = mixed.transpose(1, 2).reshape(-1, heads, width)
    return out, None


AttentionInterface.register(TOGETHER, attend_together)


def quicken(model: Qwen3VLForConditionalGeneration) -> None:
    """Embed and attend as described above, in this model alone.

    A convolution that a device map moves about, or that another library has replaced, stays; so
    does an attention other than sdpa.
    """
    multiply_quickly(model)
    tower = model.model.visual
    projection = tower.patch_embed.proj
    if type(projection) is nn.Conv3d and not hasattr(projection, "_hf_hook"):
        tower.patch_embed.proj = PatchProduct(projection)
    if tower.config._attn_implementation == "sdpa":
        together = copy.copy(tower.config)  # another model may be made of the same config
        together._attn_implementation = TOGETHER
        for block in tower.blocks:
            block.attn.config = together
            block.attn.register_forward_pre_hook(_one_piece, with_kwargs=True)


def _one_piece(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    """Hand all patches to the attention function at once, with the lengths of the pieces."""
    bounds = kwargs["cu_seqlens"]
    whole = bounds[[0, -1]]
    return args, kwargs | {"cu_seqlens": whole, "lengths": (bounds[1:] - bounds[:-1]).tolist()}
