"""Finished texts as the model reads each by itself: states and log-probabilities of their tokens,
nothing generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from covrr_utils.backbones.description import Description

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

    from covrr_utils.backbones.chat import Layout


@torch.inference_mode()
def read(
    model: Qwen3VLForConditionalGeneration, layout: Layout, texts: Sequence[str]
) -> list[Description]:
    """One `Description` per text, in order, from one forward pass over all of them.

    ``states[t]`` is the final state at the place before token t; a text without tokens has none.
    """
    if not texts:
        return []
    tokenizer = layout.processor.tokenizer
    readings = [layout.reading(text) for text in texts]
    ids, mask = layout.padded([reading.ids for reading in readings])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    hidden = model.model.language_model(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        position_ids=positions.to(model.device).expand(3, *ids.shape),
    ).last_hidden_state
    descriptions = []
    for text, reading, row_ids, row in zip(texts, readings, ids, hidden):
        shift = len(row_ids) - len(reading.ids)
        places = torch.tensor([shift + place for place in reading.places], dtype=torch.long)
        states = row[(places - 1).to(row.device)]
        tokens = row_ids[places]
        logits = model.get_output_embeddings()(states).float()
        logprobs = logits.log_softmax(-1).gather(1, tokens.to(logits.device)[:, None])[:, 0]
        descriptions.append(
            Description(
                text,
                [tokenizer.decode([token]) for token in tokens.tolist()],
                tokens.numpy(),
                states.float().cpu().numpy(),
                logprobs.cpu().numpy(),
                True,
                np.zeros(len(tokens), bool),
            )
        )
    return descriptions
