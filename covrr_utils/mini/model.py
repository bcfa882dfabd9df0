"""The mini backbones' sizes, their random beginnings, and the loss of a batch of the training
stream.

Every clip is encoded once and asked several things at once. The questions share the video as their
common prefix and must not see one another, so they are laid out one after the other, each
restarting at the same position, and attention shows each question the video and itself. What the
model sees of one question is then exactly what it sees at inference (a test asserts it).
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    GenerationConfig,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen3_vl import modeling_qwen3_vl
from transformers.video_utils import VideoMetadata

from covrr_utils.backbones.registry import KNOWS
from covrr_utils.mini.recipes import HEADS_WEIGHT, Recipe
from covrr_utils.mini.render import FPS, SECONDS, SIZE, TOTAL_FRAMES
from covrr_utils.mini.stream import FRAME_INDICES
from covrr_utils.mini.world import VALUES

VOCABULARY = 640


class AttributeHeads(torch.nn.Module):
    """Reads a clip's eight attributes off the vision tower's output. Used in training alone and
    thrown away afterwards.

    Without them the vision tower learns only through the language model's attention, and motions
    stay at chance and objects at 0.38 after 32,000 clips.
    """

    def __init__(self, width: int, hidden: int = 256):
        super().__init__()
        self.mix = torch.nn.Linear(2 * width * (len(FRAME_INDICES) // 2), hidden)
        self.out = torch.nn.Linear(hidden, sum(map(len, VALUES.values())))

    def loss(self, tokens: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over the attributes. tokens: (B, T, N, D), N visual tokens for each of
        T frame pairs; wanted: (B, 8).
        """
        pooled = torch.cat([tokens.mean(2), tokens.amax(2)], -1).flatten(1)
        logits = (
            self.out(torch.nn.functional.gelu(self.mix(pooled)))
            .float()
            .split([len(values) for values in VALUES.values()], -1)
        )
        return torch.stack(
            [torch.nn.functional.cross_entropy(x, wanted[:, i]) for i, x in enumerate(logits)]
        ).mean()


class Trainee(torch.nn.Module):
    """What is trained: the model, and the heads that help its vision tower."""

    def __init__(self, model: Qwen3VLForConditionalGeneration):
        super().__init__()
        self.model = model
        self.heads = AttributeHeads(model.config.text_config.hidden_size)


# what a mini checkpoint says in its config.json that it was taught
WORLD = "the ten drawn objects of the rendered mini world"


def new_model(recipe: Recipe, tokenizer) -> Qwen3VLForConditionalGeneration:
    """A randomly initialised Qwen3-VL of the recipe's size, seeded."""
    ids = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("image_pad", "video_pad", "vision_start", "vision_end")
    }
    head = recipe.text_width // recipe.text_heads
    third = head // 2 // 3
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": recipe.text_width,
            "num_hidden_layers": recipe.text_layers,
            "num_attention_heads": recipe.text_heads,
            "num_key_value_heads": recipe.text_heads // 2,
            "head_dim": head,
            "intermediate_size": recipe.text_mlp,
            "max_position_embeddings": 4096,
            "pad_token_id": tokenizer.pad_token_id,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_interleaved": True,
                "mrope_section": [head // 2 - 2 * third, third, third],
            },
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": recipe.vision_layers,
            "hidden_size": recipe.vision_width,
            "num_heads": recipe.vision_heads,
            "intermediate_size": 4 * recipe.vision_width,
            "out_hidden_size": recipe.text_width,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [recipe.vision_layers // 2 - 1],
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
        **{KNOWS: WORLD},
    )
    torch.manual_seed(recipe.seed)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=96,
    )
    return model


def plain_attention(query, key, value, scale, mask=None):
    """softmax(q k^T scale) v by matrix products; at these sizes several times faster to
    differentiate on a CPU than the fused kernel.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = (query * scale) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ value


def question_attention(module, query, key, value, attention_mask, scaling, spans=None, **kwargs):
    """Attention over the layout of `layout`: the prefix is causal, each question sees the prefix
    and, causally, itself.

    Shapes as everywhere in transformers: query (B, H, S, D), key and value (B, H', S, D); returns
    (B, S, H, D).
    """
    queries, keys, values = (x.split(spans, dim=2) for x in (query, key.to(value.dtype), value))

    def hidden(length: int, before: int) -> torch.Tensor:
        future = torch.ones(length, before + length, dtype=torch.bool, device=query.device).triu(
            before + 1
        )
        return torch.zeros_like(future, dtype=value.dtype).masked_fill_(future, -torch.inf)

    mixed = [
        plain_attention(
            queries[0].to(value.dtype), keys[0], values[0], scaling, hidden(spans[0], 0)
        )
    ]
    for own_query, own_key, own_value in zip(queries[1:], keys[1:], values[1:]):
        seen_key, seen_value = (
            torch.cat([keys[0], own_key], 2),
            torch.cat([values[0], own_value], 2),
        )
        mixed.append(
            plain_attention(
                own_query.to(value.dtype),
                seen_key,
                seen_value,
                scaling,
                hidden(own_query.shape[2], spans[0]),
            )
        )
    return torch.cat(mixed, 2).transpose(1, 2), None


AttentionInterface.register("questions", question_attention)

AttentionMaskInterface.register("questions", lambda *args, **kwargs: None)


@contextmanager
def fast_vision(patches: int = (SIZE // 16) ** 2):
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

    def attend(self, hidden_states, cu_seqlens, position_embeddings=None, **kwargs):
        total = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).view(total, 3, self.num_heads, -1).unbind(1)
        query, key = modeling_qwen3_vl.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        query, key, value = (
            x.reshape(total // patches, patches, self.num_heads, -1).transpose(1, 2)
            for x in (query, key, value)
        )
        mixed = plain_attention(query.to(value.dtype), key.to(value.dtype), value, self.scaling)
        return self.proj(mixed.transpose(1, 2).reshape(total, -1))

    def embed(self, hidden_states):
        return torch.nn.functional.linear(
            hidden_states, self.proj.weight.flatten(1), self.proj.bias
        )

    attention.forward, embedding.forward = attend, embed
    try:
        yield
    finally:
        attention.forward, embedding.forward = originals


class Prefix:
    """What every prompt begins with: the video, its ids and positions taken from the processor
    itself, and then the words of ``head``.
    """

    def __init__(self, model, processor, head: str = ""):
        frames = np.zeros((len(FRAME_INDICES), SIZE, SIZE, 3), np.uint8)
        metadata = VideoMetadata(
            total_num_frames=TOTAL_FRAMES,
            fps=FPS,
            width=SIZE,
            height=SIZE,
            duration=SECONDS,
            video_backend="decord",
            frames_indices=FRAME_INDICES.tolist(),
        )
        turn = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "."}]}]
        text = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        inputs = processor(
            text=[text],
            videos=[frames],
            video_metadata=[metadata],
            do_sample_frames=False,
            return_tensors="pt",
        )
        ids = inputs["input_ids"][0]
        end = int((ids == model.config.vision_end_token_id).nonzero()[-1]) + 1
        words = processor.tokenizer(head)["input_ids"]
        self.ids: list[int] = ids[:end].tolist() + words
        positions, _ = model.model.get_rope_index(
            inputs["input_ids"],
            mm_token_type_ids=inputs["mm_token_type_ids"],
            video_grid_thw=inputs["video_grid_thw"],
        )
        seen = positions[:, 0, :end]
        self.next = int(seen.max()) + 1 + len(words)
        # (3, P)
        self.positions = torch.cat(
            [seen, torch.arange(self.next - len(words), self.next).repeat(3, 1)], 1
        )
        self.grid = inputs["video_grid_thw"]


def loss_of(
    trainee: Trainee, prefix: Prefix, video_processor, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Loss of one batch: the attribute heads' (unless the vision tower is frozen) and, where
    questions are asked, that of `answer_loss`.
    """
    model = trainee.model
    device = model.device
    pixels = video_processor(
        videos=list(batch["frames"].permute(0, 1, 4, 2, 3)),
        do_sample_frames=False,
        return_tensors="pt",
        device=device,
    )["pixel_values_videos"]
    count = len(batch["frames"])
    frozen = not any(weight.requires_grad for weight in model.model.visual.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        visual = model.model.get_video_features(
            pixels, prefix.grid.to(device).repeat(count, 1), return_dict=True
        )
    if frozen:
        return answer_loss(model, prefix, visual, batch)
    tokens = torch.stack(visual.pooler_output).view(
        count, len(FRAME_INDICES) // 2, -1, model.config.text_config.hidden_size
    )
    seen = trainee.heads.loss(tokens, batch["attributes"].to(device))
    return (
        seen
        if "ids" not in batch
        else seen * HEADS_WEIGHT + answer_loss(model, prefix, visual, batch)
    )


def answer_loss(model, prefix: Prefix, visual, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens (end-of-turn included) over all questions of the
    batch.
    """
    ids, offset, labels = (batch[key].to(model.device) for key in ("ids", "offset", "labels"))
    positions = (prefix.next + offset)[None].repeat(3, 1, 1)
    positions[:, :, : len(prefix.ids)] = prefix.positions[:, None].to(model.device)
    embeds = model.get_input_embeddings()(ids)
    where = ids == model.config.video_token_id
    embeds = embeds.masked_scatter(
        where[..., None], torch.cat(visual.pooler_output).to(embeds.dtype)
    )
    states = model.model.language_model(
        inputs_embeds=embeds,
        position_ids=positions,
        visual_pos_masks=where,
        use_cache=False,
        spans=batch["spans"].tolist(),
        deepstack_visual_embeds=[torch.cat(features) for features in visual.deepstack_features],
    ).last_hidden_state
    wanted = labels != -100
    return torch.nn.functional.cross_entropy(model.lm_head(states[wanted]).float(), labels[wanted])
