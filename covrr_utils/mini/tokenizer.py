"""The small tokenizer and the processor of the mini backbones: Qwen's layout at a smaller size.

Byte-level BPE with Qwen's pre-tokenisation (digits one by one), Qwen's added tokens and chat
layout, and the standard `Qwen3VLProcessor`, so that a mini checkpoint folder loads through
`AutoProcessor` as the real one does.
"""

from __future__ import annotations

from collections.abc import Iterable

from transformers import (
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from covrr_utils.backbones.qwen import CHAT_TEMPLATE, PLAIN_TOKENS, SPECIAL_TOKENS, in_chat_layout


def build_tokenizer(texts: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """Train a byte-level BPE with ``vocab_size`` entries, Qwen's 26 added tokens among them, on
    ``texts``.

    Raises
    ------
    ValueError
        If ``vocab_size`` cannot hold the 256 bytes and the added tokens.
    """
    smallest = 256 + len(SPECIAL_TOKENS) + len(PLAIN_TOKENS)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size is {vocab_size}, but 256 bytes and the added tokens need at least"
            f" {smallest}"
        )
    blank = Qwen2Tokenizer(vocab={}, merges=[])
    tokenizer = blank.train_new_from_iterator(
        texts,
        vocab_size - len(PLAIN_TOKENS),
        new_special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    return in_chat_layout(tokenizer)


def build_processor(tokenizer: Qwen2Tokenizer, fps: float, pixels: int) -> Qwen3VLProcessor:
    """The standard Qwen3-VL processor around ``tokenizer``.

    ``fps`` is the sampling rate; ``pixels`` is the budget of a whole video (frames x height x
    width), which a clip of just that size fills without being resized.
    """
    size = {"shortest_edge": pixels // 8, "longest_edge": pixels}
    video = Qwen3VLVideoProcessor(
        size=size,
        fps=fps,
        min_frames=4,
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        cap_pixels_per_frame=True,
    )
    image = Qwen2VLImageProcessor(
        size=size,
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return Qwen3VLProcessor(
        image_processor=image,
        tokenizer=tokenizer,
        video_processor=video,
        chat_template=CHAT_TEMPLATE,
    )
