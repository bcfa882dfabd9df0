"""Qwen3-VL's own tokenizer, chat layout and processor, rebuilt without a hub."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils.backbones import sizes

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer, Qwen3VLProcessor

RANKS = 151_643
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

PLAIN_TOKENS = (  # added, but not special: they survive decoding
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)

CHAT_TEMPLATE = """
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for item in message.content -%}
{%- if item.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif item.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- elif item.type == 'text' -%}{{ item.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
""".strip("\n")


@cache
def qwen_tokenizer() -> Qwen2Tokenizer:
    """Qwen3's tokenizer: ids 0..151642 from the ranks, 151643..151668 the added tokens.

    Raises
    ------
    ValueError
        If the package ``dashscope`` (part of the extra ``test``) is missing or holds other ranks.
    """
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter

    try:
        import dashscope
    except ImportError as error:
        raise ValueError(
            "Qwen's tokenizer is rebuilt from the package dashscope, which is not here; install it:"
            " pip install dashscope"
        ) from error
    file = str(Path(dashscope.__file__).parent / "resources" / "qwen.tiktoken")
    vocab, merges = TikTokenConverter(file).extract_vocab_merges_from_model(file)
    if sorted(vocab.values()) != list(range(RANKS)):
        raise ValueError(
            f"the ranks in the package dashscope are not Qwen's: expected {RANKS:,}, found"
            f" {len(vocab):,}; install another version"
        )
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges)
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        special_tokens=True,
    )
    return in_chat_layout(tokenizer)


def in_chat_layout(tokenizer: Qwen2Tokenizer) -> Qwen2Tokenizer:
    """The same tokenizer with what all sizes share, the mini ones too: the added tokens that are
    not special, end of turn, padding on the left, and the chat template.
    """
    from tokenizers import AddedToken

    tokenizer.add_tokens(
        [AddedToken(token, special=False, normalized=False) for token in PLAIN_TOKENS]
    )
    tokenizer.eos_token, tokenizer.pad_token, tokenizer.padding_side = (
        "<|im_end|>",
        "<|endoftext|>",
        "left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def qwen_processor() -> Qwen3VLProcessor:
    """The processor of the published checkpoints: their video settings around `qwen_tokenizer`."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer, video = qwen_tokenizer(), sizes.size_data()["shared"]["video"]
    image = Qwen2VLImageProcessor(
        size=video["size"],
        patch_size=video["patch_size"],
        temporal_patch_size=video["temporal_patch_size"],
        merge_size=video["merge_size"],
        image_mean=video["image_mean"],
        image_std=video["image_std"],
    )
    videos = Qwen3VLVideoProcessor(**video, cap_pixels_per_frame=True)
    return Qwen3VLProcessor(
        image_processor=image,
        tokenizer=tokenizer,
        video_processor=videos,
        chat_template=tokenizer.chat_template,
    )


# of the published Qwen3-VL-Reranker
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct"
    ' provided. Note that the answer can only be "yes" or "no".'
)

INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."

EMPTY = "NULL"  # what stands for a side that holds nothing

VIDEO_TOKEN = "<|video_pad|>"  # where a video's tokens go


def match_question(
    query: str, instruction: str = INSTRUCTION, source: bool = False
) -> tuple[str, str]:
    """The reranker's published prompt for a text and a video, to the letter: what stands before the
    video's tokens, and what follows them. With ``source`` another video stands in the query, before
    its text.
    """
    shown = f"<|vision_start|>{VIDEO_TOKEN}<|vision_end|>" if source else ""
    before = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}"
        f"<Query>:{shown}{query or ('' if source else EMPTY)}\n<Document>:<|vision_start|>"
    )
    return before, "<|vision_end|><|im_end|>\n<|im_start|>assistant\n"
