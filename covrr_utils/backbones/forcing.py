"""Answers that something else wrote, as the model would have written them: the states and
log-probabilities of their tokens from one forward pass over prompt and answer (teacher forcing),
nothing generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from covrr_utils.backbones.answers import all_places, blocks_at
from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Prompt

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


@torch.inference_mode()
def force(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[int]],
    layers: Sequence[float] = (),
) -> list[Description]:
    """One `Description` per prompt, in order, whose tokens are those of its answer; ``layers`` as
    `Backbone.describe` takes them.

    Each answer has at least one token.

    Raises
    ------
    NotFinite
        If a state is not finite.
    """
    size = backbone.batch_size
    return [
        description
        for start in range(0, len(prompts), size)
        for description in _batch(
            backbone,
            prompts[start : start + size],
            answers[start : start + size],
            blocks_at(backbone.model, layers),
        )
    ]


def _batch(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[int]],
    blocks: Sequence[torch.nn.Module],
) -> list[Description]:
    """One forward pass. Rows are padded on the left, so that the states that predict an answer of T
    tokens are the last T of its row.
    """
    layout, model, prefixes = backbone.layout, backbone.model, backbone.generator.prefixes
    chats = [layout.chat(prompt.text) for prompt in prompts]
    read = [
        [*layout.question_ids(chat), *answer[:-1]]
        for chat, answer in zip(chats, answers, strict=True)
    ]
    ids, mask = (part.to(model.device) for part in layout.padded(read))
    deeper: list[list[torch.Tensor]] = [[] for _ in blocks]
    try:
        opened = prefixes.open([prompt.clip for prompt in prompts], chats, ids.shape[1])
        position = opened.next_position[:, None] + (mask.cumsum(1) - 1).clamp(min=0)
        seen = torch.cat([opened.mask, mask], 1)
        with ExitStack() as hooks:
            for block, outputs in zip(blocks, deeper):
                hooks.callback(block.register_forward_hook(all_places(outputs)).remove)
            states = model.model.language_model(
                input_ids=ids,
                attention_mask=None if bool(seen.all()) else seen,
                position_ids=position.expand(3, *position.shape),
                use_cache=True,
                **{prefixes.argument: opened.cache},
            ).last_hidden_state
    except BaseException:
        prefixes.clear()  # memory may have run out: a smaller batch needs what they hold
        raise
    head = model.get_output_embeddings()
    descriptions = []
    for row, (prompt, answer) in enumerate(zip(prompts, answers)):
        last = states[row, -len(answer) :]
        tokens = torch.tensor(list(answer))
        scores = head(last).float()
        places = tokens.to(scores.device)[:, None]
        logprobs = scores.gather(1, places)[:, 0] - scores.logsumexp(-1)
        kept = [layer[row, -len(answer) :].float().cpu() for (layer,) in deeper]
        descriptions.append(
            backbone.generator.cut(
                tokens,
                last.float().cpu(),
                logprobs.cpu(),
                prompt.clip.id,
                torch.stack(kept) if kept else None,
                opened.vision[row],
            )
        )
    return descriptions
