"""The prompts of the published Qwen3-VL-Embedding (QwenLM/Qwen3-VL-Embedding, Apache-2.0), built as
strings.

A conversation of two turns and an open third: the system says the instruction, the user gives a
video, a text or both, in this order, and the assistant's turn is begun. What is embedded is the
state at the last token of it.
"""

from __future__ import annotations

import unicodedata

from covrr_utils.backbones.embedding_registry import published_instruction

VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"

EMPTY = "NULL"  # what stands for an input that holds nothing

OPENING = "<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n"

ENDING = "<|im_end|>\n<|im_start|>assistant\n"


def stated(instruction: str) -> str:
    """The instruction as the system says it: without white space around it, and with a full stop
    where it ends in no punctuation; the published one where nothing is left.

    >>> stated("Find the video after the edit ")
    'Find the video after the edit.'
    """
    text = instruction.strip() or published_instruction()
    return text if unicodedata.category(text[-1]).startswith("P") else f"{text}."


def before_input(instruction: str = "") -> str:
    """What stands before the user's video or text; an empty instruction is the published one."""
    return OPENING.format(instruction=stated(instruction))


def conversation(text: str, video: bool, instruction: str = "") -> str:
    """The whole prompt for a text, a video, or a video and a text after it. The processor puts the
    frames and their times into the place of `VIDEO`.
    """
    user = (VIDEO if video else "") + text
    return f"{before_input(instruction)}{user or EMPTY}{ENDING}"


def composed(edit: str, trace: str = "") -> str:
    """The text of a query beside its reference video: the edit, and the trace in a line of its own
    where one is given.
    """
    return f"{edit}\n{trace}" if trace else edit
