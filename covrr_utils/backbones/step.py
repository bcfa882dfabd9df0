"""One more token for every row, in as few operations as the model needs.

While a text is written, a step of a decoder has one token a row. Outside of large models its
arithmetic is then quicker than all that surrounds it: transformers calls some twelve modules a
block, expands keys and values for every head, and builds a mask, once a token. `Step` does the same
arithmetic on the same weights directly. What it does not know (mixtures of experts, quantised or
adapted weights, several devices, hooks of others, attention other than sdpa) it leaves to
transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention
from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen

from covrr_utils.backbones.answers import Listener
from covrr_utils.backbones.prefix import Growing
from covrr_utils.backbones.products import Product, multiply_few

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

KNOWN = (
    qwen.Qwen3VLTextAttention,
    qwen.Qwen3VLTextDecoderLayer,
    qwen.Qwen3VLTextMLP,
    qwen.Qwen3VLTextModel,
    qwen.Qwen3VLTextRMSNorm,
    qwen.Qwen3VLTextRotaryEmbedding,
    nn.Embedding,
    nn.Linear,
    nn.ModuleList,
    Product,
)


def is_plain(decoder: nn.Module) -> bool:
    """Whether a `Step` computes what this decoder would: all its parts are transformers' own and on
    one device, and nobody listens to them but this package's own `Listener`.
    """
    if not isinstance(decoder, qwen.Qwen3VLTextModel):
        return False
    if decoder.config._attn_implementation != "sdpa":
        return False
    if len({weight.device for weight in decoder.parameters()}) != 1:
        return False
    parts = list(decoder.modules())
    activations = {id(part.act_fn) for part in parts if type(part) is qwen.Qwen3VLTextMLP}
    return all(
        (type(part) in KNOWN or id(part) in activations)
        and not (part._forward_pre_hooks or hasattr(part, "_hf_hook"))
        # as a tuple, since another thread may add a Listener of its own meanwhile
        and all(isinstance(hook, Listener) for hook in tuple(part._forward_hooks.values()))
        for part in parts
    )


class Step:
    """A decoder's forward pass for one new token a row.

    Parameters
    ----------
    decoder : a decoder that `is_plain`
    kept : by the number of a block, the list to which what it makes of the new token is appended
    """

    def __init__(self, decoder: qwen.Qwen3VLTextModel, kept: Mapping[int, list[torch.Tensor]]):
        self.decoder, self.kept = decoder, kept

    def __call__(
        self,
        ids: Int[torch.Tensor, "batch 1"],
        seen: Bool[torch.Tensor, "batch 1 1 length"] | None,
        position: Int[torch.Tensor, "batch 1"],
        cache: Cache,
    ) -> Float[torch.Tensor, "batch width"]:
        """The final state of every row's new token, whose keys and values join the cache.

        ``seen`` is False where a row is padded; None where none is.
        """
        state = self.decoder.embed_tokens(ids[:, 0])
        cos, sin = self.decoder.rotary_emb(state, position.expand(3, *position.shape))
        half = sin.shape[-1] // 2
        turn = cos, torch.cat([-sin[..., :half], sin[..., half:]], -1)
        for number, (block, layer) in enumerate(zip(self.decoder.layers, cache.layers)):
            known = cast(qwen.Qwen3VLTextDecoderLayer, block)
            state = _block(known, state, turn, seen, cast(Growing, layer))
            if number in self.kept:
                self.kept[number].append(state)
        return _norm(self.decoder.norm, state)


def _block(
    block: qwen.Qwen3VLTextDecoderLayer,
    state: Float[torch.Tensor, "batch width"],
    turn: tuple[Float[torch.Tensor, "batch 1 head"], Float[torch.Tensor, "batch 1 head"]],
    seen: Bool[torch.Tensor, "batch 1 1 length"] | None,
    layer: Growing,
) -> Float[torch.Tensor, "batch width"]:
    """One block of the decoder; ``turn`` is the cosine and the signed sine of the positions."""
    attention, mlp = block.self_attn, block.mlp
    rows, width = len(state), attention.head_dim
    normed = _norm(block.input_layernorm, state)
    query, key, value = (
        _times(part, normed).view(rows, -1, width)
        for part in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    turned = torch.cat([_norm(attention.q_norm, query), _norm(attention.k_norm, key)], 1)
    turned = turned * turn[0] + turned.roll(width // 2, -1) * turn[1]
    heads, groups = query.shape[1], key.shape[1]
    keys, values = layer.update(turned[:, heads:, None], value[:, :, None])
    # the heads that share keys and values stand as so many queries of theirs
    shared = turned[:, :heads].reshape(rows, groups, heads // groups, width)
    mixed = scaled_dot_product_attention(shared, keys, values, seen, scale=attention.scaling)
    state = state + _times(attention.o_proj, mixed.reshape(rows, -1))
    normed = _norm(block.post_attention_layernorm, state)
    gate = mlp.act_fn(_times(mlp.gate_proj, normed))
    return state + _times(mlp.down_proj, gate * _times(mlp.up_proj, normed))


def scores_of(
    head: nn.Module, state: Float[torch.Tensor, "batch width"]
) -> Float[torch.Tensor, "batch vocabulary"]:
    """The score of every token, as ``head`` gives it."""
    if isinstance(head, nn.Linear) and type(head) in KNOWN:
        if not (head._forward_pre_hooks or head._forward_hooks or hasattr(head, "_hf_hook")):
            return multiply_few(state, head.weight, head.bias)
    return head(state)


def _times(
    part: nn.Linear, values: Float[torch.Tensor, "batch inner"]
) -> Float[torch.Tensor, "batch outer"]:
    return multiply_few(values, part.weight, part.bias)


def _norm(
    part: qwen.Qwen3VLTextRMSNorm, values: Float[torch.Tensor, "*rows width"]
) -> Float[torch.Tensor, "*rows width"]:
    return rms_norm(values, part.weight.shape, part.weight, part.variance_epsilon)
