"""Backbones of published dimensions with random weights: what they cost, without what they know."""

from __future__ import annotations

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.image_utils import SizeDict

from covrr_utils.backbones import sizes
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.quickening import quicken
from covrr_utils.backbones.registry import list_backbones

# what differs from the published 2B: of the text decoder, of the vision tower
CUT = {
    "300M": (
        {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 16},
        {"depth": 6, "deepstack_visual_indexes": [1, 3, 5], "out_hidden_size": 1024},
    ),
    "tiny": (
        {
            "vocab_size": 2048,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
        },
        {
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "depth": 2,
            "deepstack_visual_indexes": [0],
            "out_hidden_size": 64,
        },
    ),
}

SIZES = (*CUT, "2B", "4B", "8B")

LIMITS = {"shortest_edge": 4096, "longest_edge": 25_165_824}  # pixels of a video, as published


def random_backbone(
    size: str, device: str = "cpu", dtype: torch.dtype = torch.float32, batch_size: int = 32
) -> Backbone:
    """A seeded random backbone of a size of `SIZES`, with the tokenizer of the mini backbones: the
    texts mean nothing, and never end by themselves.
    """
    text, vision = CUT.get(size, ({}, {}))
    config = sizes.config_of(f"Qwen3-VL-{'2B' if size in CUT else size}-Instruct")
    processor = AutoProcessor.from_pretrained(list_backbones()["mini-3m"])
    processor.video_processor.size = SizeDict(**LIMITS)
    ids = processor.tokenizer.get_vocab()
    config.text_config.update(text)
    config.vision_config.update(vision)
    config.image_token_id, config.video_token_id = ids["<|image_pad|>"], ids["<|video_pad|>"]
    config.vision_start_token_id = ids["<|vision_start|>"]
    config.vision_end_token_id = ids["<|vision_end|>"]
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    quicken(model)
    return Backbone(f"{size}, random weights", model, processor, "random", batch_size)
