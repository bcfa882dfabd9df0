"""The loss of the mini reranker: its answer to whether a clip matches a query, in the published
format.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLVideoProcessor

from covrr_utils.mini.model import Prefix, Trainee, Visual, visual_of
from covrr_utils.mini.world import ATTRIBUTES


class MatchTrainee(Trainee):
    """What is trained: the model, and a layer that tells which of the eight attributes of a query
    and a clip agree. The layer is thrown away afterwards.
    """

    def __init__(self, model: Qwen3VLForConditionalGeneration) -> None:
        super().__init__(model)
        self.agreement = torch.nn.Linear(model.lm_head.in_features, len(ATTRIBUTES))


def match_loss(
    trainee: MatchTrainee,
    prefix: Prefix,
    video_processor: Qwen3VLVideoProcessor,
    batch: dict[str, Any],
) -> torch.Tensor:
    """Binary cross-entropy of the log odds of yes against no, both answers weighing the same, plus
    that of the layer that tells which attributes agree; the mean over all inputs. The vision tower
    is frozen.
    """
    with torch.no_grad():
        visual = visual_of(trainee.model, prefix, video_processor, batch["frames"])
    return torch.stack(
        [_loss_of(trainee, prefix, visual, asked) for asked in batch["asked"]]
    ).mean()


def _loss_of(
    trainee: MatchTrainee, prefix: Prefix, visual: Visual, asked: dict[str, torch.Tensor]
) -> torch.Tensor:
    """The loss of one input."""
    states = last_states(trainee.model, prefix, visual, asked).float()
    matches = asked["matches"].to(states.device)
    head = trainee.model.get_output_embeddings().weight
    yes, no = head[asked["answers"].to(states.device)].float()
    weight = torch.where(matches, matches.shape[1] - 1.0, 1.0)
    answers = torch.nn.functional.binary_cross_entropy_with_logits(
        states @ (yes - no), matches.float(), weight / weight.mean()
    )
    same = asked["same"].to(states.device).float()
    told = torch.nn.functional.binary_cross_entropy_with_logits(trainee.agreement(states), same)
    return answers + told


def last_states(
    model: Qwen3VLForConditionalGeneration,
    prefix: Prefix,
    visual: Visual,
    asked: dict[str, torch.Tensor],
) -> torch.Tensor:
    """The state (B, K, W) behind which yes or no follows, for every query and clip of a line-up."""
    ids = asked["ids"].to(model.device)
    spans = asked["spans"].tolist()
    clips, queries = len(spans) - 1, len(ids)
    one = asked["ids"][:, : spans[0] + spans[1]]  # a query, a clip: positions as at inference
    positions, _ = model.model.get_rope_index(
        one,
        mm_token_type_ids=(one == model.config.video_token_id).int() * 2,
        video_grid_thw=prefix.grid.repeat(int(asked["source"].sum()) + queries, 1),
        attention_mask=torch.cat(
            [~asked["hidden"], torch.ones(queries, spans[1], dtype=torch.bool)], 1
        ).long(),
    )
    begun, behind = positions.to(model.device).split(spans[:2], dim=2)
    positions = torch.cat([begun, behind.repeat(1, 1, clips)], 2)
    order = torch.tensor(
        [
            lineup * clips + clip
            for lineup, source in zip(asked["lineup"].tolist(), asked["source"].tolist())
            for clip in ([0] if source else []) + list(range(clips))
        ]
    )

    count = (int(asked["lineup"].max()) + 1) * clips

    def laid_out(vectors: torch.Tensor) -> torch.Tensor:
        """The clips' vectors in the order in which their places stand in the rows."""
        return vectors.view(count, -1, vectors.shape[-1])[order].flatten(0, 1)

    embeds = model.get_input_embeddings()(ids)
    where = ids == model.config.video_token_id
    embeds = embeds.masked_scatter(where[..., None], laid_out(visual.tokens).to(embeds.dtype))
    states = model.model.language_model(
        inputs_embeds=embeds,
        position_ids=positions,
        visual_pos_masks=where,
        use_cache=False,
        spans=spans,
        hidden=asked["hidden"].to(model.device),
        deepstack_visual_embeds=[laid_out(layer) for layer in visual.deepstack],
    ).last_hidden_state
    ends = torch.arange(1, clips + 1, device=states.device) * spans[1] + spans[0] - 1
    return states[:, ends]
