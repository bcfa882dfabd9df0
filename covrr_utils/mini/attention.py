"""Attention for the training of the mini models: questions that share a video and do not see one
another, and a vision tower that works on a whole batch at once.

Both give what transformers gives (tests assert it) in a fraction of the time on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.models.qwen3_vl import modeling_qwen3_vl

from covrr_utils.mini.render import SIZE

QUESTIONS = "questions"  # the name under which transformers finds `question_attention`


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(q k^T scale) v by matrix products; at these sizes several times faster to
    differentiate on a CPU than the fused kernel.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = (query * scale) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ value


def question_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    spans: list[int],
    hidden: torch.Tensor | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attention over the layout of `layout`: the prefix is causal, each question sees the prefix
    and, causally, itself. Nothing sees the places of the prefix that are ``hidden`` (B, P): its
    padding on the left.

    Shapes as everywhere in transformers: query (B, H, S, D), key and value (B, H', S, D); returns
    (B, S, H, D).
    """
    queries, keys, values = (x.split(spans, dim=2) for x in (query, key.to(value.dtype), value))

    def mask(length: int, before: int) -> torch.Tensor:
        future = torch.ones(length, before + length, dtype=torch.bool, device=query.device).triu(
            before + 1
        )
        mask = torch.zeros_like(future, dtype=value.dtype).masked_fill_(future, -torch.inf)
        if hidden is None:
            return mask
        # finite, for padding sees nothing else, and a row without any number would be NaN
        least = torch.finfo(value.dtype).min
        room = torch.nn.functional.pad(hidden, (0, before + length - spans[0]))
        return mask + room[:, None, None].to(value.dtype) * least

    mixed = [
        plain_attention(queries[0].to(value.dtype), keys[0], values[0], scaling, mask(spans[0], 0))
    ]
    for question in range(1, len(spans)):
        mixed.append(
            plain_attention(
                queries[question].to(value.dtype),
                torch.cat([keys[0], keys[question]], 2),
                torch.cat([values[0], values[question]], 2),
                scaling,
                mask(spans[question], spans[0]),
            )
        )
    return torch.cat(mixed, 2).transpose(1, 2), None


AttentionInterface.register(QUESTIONS, question_attention)

AttentionMaskInterface.register(QUESTIONS, lambda *args, **kwargs: None)


@contextmanager
def fast_vision(patches: int = (SIZE // 16) ** 2) -> Iterator[None]:
    """Let the vision tower work on all temporal patches of a batch at once; each has ``patches``
    patches.

    Outside of flash attention transformers calls attention once per temporal patch, and it embeds
    patches by a convolution whose kernel covers its input; on a CPU both cost more than the rest of
    the step. Same weights, same result.
    """
    attention, embedding = (
        modeling_qwen3_vl.Qwen3VLVisionAttention,
        modeling_qwen3_vl.Qwen3VLVisionPatchEmbed,
    )
    originals = attention.forward, embedding.forward

    def attend(
        self: modeling_qwen3_vl.Qwen3VLVisionAttention,
        hidden_states: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **kwargs: object,
    ) -> torch.Tensor:
        total = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).view(total, 3, self.num_heads, -1).unbind(1)
        query, key = modeling_qwen3_vl.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        query, key, value = (
            x.reshape(total // patches, patches, self.num_heads, -1).transpose(1, 2)
            for x in (query, key, value)
        )
        mixed = plain_attention(query.to(value.dtype), key.to(value.dtype), value, self.scaling)
        return self.proj(mixed.transpose(1, 2).reshape(total, -1))

    def embed(
        self: modeling_qwen3_vl.Qwen3VLVisionPatchEmbed, hidden_states: torch.Tensor
    ) -> torch.Tensor:
        return torch.nn.functional.linear(
            hidden_states, self.proj.weight.flatten(1), self.proj.bias
        )

    attention.forward, embedding.forward = attend, embed  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        attention.forward, embedding.forward = originals  # type: ignore[method-assign]
