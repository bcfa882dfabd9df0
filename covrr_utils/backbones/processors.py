"""Whether a processor can put a video and a text into a conversation, and belongs to its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covrr_utils.backbones.completeness import positive
from covrr_utils.backbones.registry import UnknownBackbone

if TYPE_CHECKING:
    from transformers import PretrainedConfig, Qwen3VLProcessor


def check_processor(source: str, processor: Qwen3VLProcessor) -> None:
    """Refuse a processor that cannot put one video and a text into a conversation.

    Raises
    ------
    UnknownBackbone
        If there is no processor of videos, no chat template, or the template does not write the
        video or the text that it is given.
    """
    step = "copy the processor's files again from where the checkpoint came"
    video = getattr(processor, "video_processor", None)
    if video is None or getattr(processor, "tokenizer", None) is None:
        raise UnknownBackbone(
            f"{source} has no processor of videos ({type(processor).__name__}); {step}"
        )
    if not processor.chat_template:
        raise UnknownBackbone(
            f"{source} has no chat template, the layout of a conversation; {step}"
        )
    question = "Which colour?"
    content = [{"type": "video"}, {"type": "text", "text": question}]
    turn: list[dict] = [{"role": "user", "content": content}]
    try:
        chat = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program: it may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnknownBackbone(
            f"the chat template of {source} cannot be used ({type(error).__name__}: {reason});"
            f" {step}"
        ) from error
    if (
        chat.count(processor.video_token) != 1
        or question not in chat.partition(processor.video_token)[2]
    ):
        raise UnknownBackbone(
            f"the chat template of {source} knows no video: it should write"
            f" {processor.video_token} once and the question after it; {step}"
        )
    edges = [video.size.get(edge) for edge in ("shortest_edge", "longest_edge")]
    parts = [*edges, video.patch_size, video.temporal_patch_size, video.merge_size]
    if not all(map(positive, parts)):
        raise UnknownBackbone(
            f"the video processor of {source} has sizes that cannot be: size {dict(video.size)},"
            f" patch_size {video.patch_size}, temporal_patch_size {video.temporal_patch_size},"
            f" merge_size {video.merge_size}; {step}"
        )


def check_match(source: str, config: PretrainedConfig, processor: Qwen3VLProcessor) -> None:
    """Refuse a processor that belongs to another model.

    Raises
    ------
    UnknownBackbone
        If the processor cuts videos into other patches than the model takes, or the ids of the
        tokens for a video differ or lie outside of the vocabulary.
    """
    vision, video = config.vision_config, processor.video_processor
    width = config.text_config.vocab_size
    known = processor.tokenizer.convert_tokens_to_ids(processor.video_token)
    for what, model, stated in (
        ("patch_size", vision.patch_size, video.patch_size),
        ("temporal_patch_size", vision.temporal_patch_size, video.temporal_patch_size),
        ("merge size", vision.spatial_merge_size, video.merge_size),
        ("id of the video token", config.video_token_id, known),
    ):
        if model != stated:
            raise UnknownBackbone(
                f"model and processor of {source} do not belong together: the {what} is {model} in"
                f" config.json and {stated} in the processor; copy both from the same checkpoint"
            )
    if len(processor.tokenizer) > width:
        raise UnknownBackbone(
            f"model and processor of {source} do not belong together: the tokenizer has"
            f" {len(processor.tokenizer)} tokens, the model {width}; copy both from the same"
            " checkpoint"
        )
