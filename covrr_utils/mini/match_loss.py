"""The loss of the mini reranker: its answer to whether a clip matches a query, in the published
format.
"""

from __future__ import annotations

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
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Binary cross-entropy of the log odds of yes against no, both answers weighing the same, plus
    that of the layer that tells which attributes agree. The vision tower is frozen.
    """
    model = trainee.model
    with torch.no_grad():
        visual = visual_of(model, prefix, video_processor, batch["frames"])
    states = last_states(model, prefix, visual, batch)
    matches = batch["matches"].to(states.device)
    yes, no = model.get_output_embeddings().weight[batch["answers"].to(states.device)].float()
    odds = states.float() @ (yes - no)
    weight = torch.where(matches, matches.shape[1] - 1.0, 1.0)
    answers = torch.nn.functional.binary_cross_entropy_with_logits(
        odds, matches.float(), weight / weight.mean()
    )
    same = batch["same"].to(states.device).float()
    told = torch.nn.functional.binary_cross_entropy_with_logits(
        trainee.agreement(states).float(), same
    )
    return answers + told


def last_states(
    model: Qwen3VLForConditionalGeneration,
    prefix: Prefix,
    visual: Visual,
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """The state (B, K, W) behind which yes or no follows, for every query and clip of a line-up."""
    ids, source = batch["ids"].to(model.device), batch["source"]
    spans = batch["spans"].tolist()
    clips, queries = len(spans) - 1, len(ids)
    one = ids[:, : spans[0] + spans[1]]  # each query with its first clip: positions as at inference
    shown = int(source.sum()) + queries
    positions, _ = model.model.get_rope_index(
        one,
        mm_token_type_ids=(one == model.config.video_token_id).int() * 2,
        video_grid_thw=prefix.grid.repeat(shown, 1).to(model.device),
        attention_mask=torch.cat(
            [~batch["hidden"], torch.ones(queries, spans[1], dtype=torch.bool)], 1
        )
        .long()
        .to(model.device),
    )
    begun, behind = positions.split(spans[:2], dim=2)
    positions = torch.cat([begun, behind.repeat(1, 1, clips)], 2)
    order = torch.tensor(
        [clip for own in source.tolist() for clip in ([0] if own else []) + list(range(clips))]
    )

    def laid_out(vectors: torch.Tensor) -> torch.Tensor:
        """The clips' vectors in the order in which their places stand in the rows."""
        return vectors.view(clips, -1, vectors.shape[-1])[order].flatten(0, 1)

    embeds = model.get_input_embeddings()(ids)
    where = ids == model.config.video_token_id
    embeds = embeds.masked_scatter(where[..., None], laid_out(visual.tokens).to(embeds.dtype))
    states = model.model.language_model(
        inputs_embeds=embeds,
        position_ids=positions,
        visual_pos_masks=where,
        use_cache=False,
        spans=spans,
        hidden=batch["hidden"].to(model.device),
        deepstack_visual_embeds=[laid_out(layer) for layer in visual.deepstack],
    ).last_hidden_state
    ends = torch.arange(1, clips + 1, device=states.device) * spans[1] + spans[0] - 1
    return states[:, ends]
