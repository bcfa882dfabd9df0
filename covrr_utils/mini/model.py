"""The mini models as they are trained: their random beginnings, the heads that help their eyes, and
the loss of a batch of the training stream.

Every clip is encoded once and asked several things at once. The questions share the video as their
common prefix and must not see one another, so they are laid out one after the other, each
restarting at the same position, and attention shows each question the video and itself. What the
model sees of one question is then exactly what it sees at inference (a test asserts it).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
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

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(2 * width * (len(FRAME_INDICES) // 2), hidden)
        self.out = torch.nn.Linear(hidden, sum(map(len, VALUES.values())))

    def loss(self, tokens: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over the attributes. tokens: (B, T, N, D), N visual tokens for each of
        T frame pairs; attributes: (B, 8).
        """
        pooled = torch.cat([tokens.mean(2), tokens.amax(2)], -1).flatten(1)
        logits = (
            self.out(torch.nn.functional.gelu(self.mix(pooled)))
            .float()
            .split([len(values) for values in VALUES.values()], -1)
        )
        return torch.stack(
            [torch.nn.functional.cross_entropy(x, attributes[:, i]) for i, x in enumerate(logits)]
        ).mean()


class Trainee(torch.nn.Module):
    """What is trained: the model, and the heads that help its vision tower."""

    def __init__(self, model: Qwen3VLForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.heads = AttributeHeads(model.lm_head.in_features)


# what a mini checkpoint says in its config.json that it was taught
WORLD = "the ten drawn objects of the rendered mini world"


def new_model(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> Qwen3VLForConditionalGeneration:
    """A randomly initialised Qwen3-VL of the recipe's size, seeded."""
    ids = tokenizer.get_vocab()
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
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    setattr(config, KNOWS, WORLD)
    torch.manual_seed(recipe.seed)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=96,
    )
    return model


def clip_metadata() -> VideoMetadata:
    """What a processor is told of a clip of the mini world, sampled as in training."""
    return VideoMetadata(
        total_num_frames=TOTAL_FRAMES,
        fps=FPS,
        width=SIZE,
        height=SIZE,
        duration=SECONDS,
        video_backend="decord",
        frames_indices=FRAME_INDICES.tolist(),
    )


class Prefix:
    """What every prompt begins with: the video, its ids and positions taken from the processor
    itself, and then the words of ``head``; where ``system`` says something, that turn stands before
    it all.
    """

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        processor: Qwen3VLProcessor,
        head: str = "",
        system: str = "",
    ) -> None:
        frames = np.zeros((len(FRAME_INDICES), SIZE, SIZE, 3), np.uint8)
        turns: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        turns += [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "."}]}]
        text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        inputs = processor(
            text=[text],
            videos=[frames],
            video_metadata=[clip_metadata()],
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
        video = positions[:, 0, :end]
        self.next = int(video.max()) + 1 + len(words)
        # (3, P)
        self.positions = torch.cat(
            [video, torch.arange(self.next - len(words), self.next).repeat(3, 1)], 1
        )
        self.grid = inputs["video_grid_thw"]
        opened = int((ids == model.config.vision_start_token_id).nonzero()[0]) + 1
        self.film = ids[opened : end - 1].tolist()


class Visual(NamedTuple):
    """What the vision tower makes of a batch: its tokens (N, D), clip by clip, and as many features
    (N, D) for each of the language model's first layers.
    """

    tokens: torch.Tensor
    deepstack: list[torch.Tensor]


def visual_of(
    model: Qwen3VLForConditionalGeneration,
    prefix: Prefix,
    video_processor: Qwen3VLVideoProcessor,
    frames: torch.Tensor,
) -> Visual:
    """The vision tower's output for clips of frames (B, T, H, W, 3), uint8."""
    pixels = video_processor(
        videos=list(frames.permute(0, 1, 4, 2, 3)),
        do_sample_frames=False,
        return_tensors="pt",
        device=model.device,
    )["pixel_values_videos"]
    features = model.model.get_video_features(
        pixels, prefix.grid.to(model.device).repeat(len(frames), 1), return_dict=True
    )
    return Visual(
        torch.cat(features.pooler_output),
        [torch.cat(layer) for layer in features.deepstack_features],
    )


def loss_of(
    trainee: Trainee,
    prefix: Prefix,
    video_processor: Qwen3VLVideoProcessor,
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Loss of one batch: the attribute heads' (unless the vision tower is frozen) and, where
    questions are asked, that of `answer_loss`.
    """
    model = trainee.model
    frozen = not any(weight.requires_grad for weight in model.model.visual.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        visual = visual_of(model, prefix, video_processor, batch["frames"])
    if frozen:
        return answer_loss(model, prefix, visual, batch)
    tokens = visual.tokens.view(
        len(batch["frames"]), len(FRAME_INDICES) // 2, -1, visual.tokens.shape[-1]
    )
    attributes = trainee.heads.loss(tokens, batch["attributes"].to(model.device))
    if "ids" not in batch:
        return attributes
    return attributes * HEADS_WEIGHT + answer_loss(model, prefix, visual, batch)


def answer_loss(
    model: Qwen3VLForConditionalGeneration,
    prefix: Prefix,
    visual: Visual,
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens (end-of-turn included) over all questions of the
    batch.
    """
    labels = batch["labels"].to(model.device)
    states = states_of(model, prefix, batch, visual)
    answers = labels != -100
    return torch.nn.functional.cross_entropy(
        model.lm_head(states[answers]).float(), labels[answers]
    )


def states_of(
    model: Qwen3VLForConditionalGeneration,
    prefix: Prefix | None,
    batch: dict[str, torch.Tensor],
    visual: Visual | None = None,
) -> torch.Tensor:
    """The final states (B, S, D) of what `covrr_utils.mini.stream.layout` laid out: behind videos,
    whose ``prefix`` and ``visual`` are given, or behind a plain text.
    """
    ids, offset = (batch[key].to(model.device) for key in ("ids", "offset"))
    spans = batch["spans"].tolist()
    positions = offset[None].repeat(3, 1, 1)
    positions += spans[0] if prefix is None else prefix.next
    positions[:, :, : spans[0]] = (
        torch.arange(spans[0], device=model.device)
        if prefix is None
        else prefix.positions[:, None].to(model.device)
    )
    embeds = model.get_input_embeddings()(ids)
    seen: dict[str, Any] = {}
    if visual is not None:
        where = ids == model.config.video_token_id
        embeds = embeds.masked_scatter(where[..., None], visual.tokens.to(embeds.dtype))
        seen = {"visual_pos_masks": where, "deepstack_visual_embeds": visual.deepstack}
    return model.model.language_model(
        inputs_embeds=embeds, position_ids=positions, use_cache=False, spans=spans, **seen
    ).last_hidden_state
