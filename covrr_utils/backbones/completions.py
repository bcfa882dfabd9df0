"""What a server sends back, read as a chat completion."""

from __future__ import annotations

import json
from dataclasses import dataclass


class AnswerError(Exception):
    """An answer that cannot be used; the message says where it came from, and what it was."""


class BrokenOff(AnswerError):
    """An answer whose connection broke in the middle: asking again may help."""


@dataclass(frozen=True)
class Answer:
    """A chat completion.

    Attributes
    ----------
    text : what the model says
    thought : what it thought before, where the server keeps that apart
    ended : whether the model ended its turn by itself
    model : as the server names it; None where it does not
    """

    text: str
    thought: str = ""
    ended: bool = True
    model: str | None = None


def answer_of(body: bytes) -> Answer:
    """A chat completion out of what a server sent.

    Raises
    ------
    AnswerError
        If the body is anything else; the message says what it is.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        page = body.lstrip()[:1] == b"<"
        raise AnswerError(f"the answer is {'a web page' if page else 'no json'}") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    message = message if isinstance(message, dict) else {}
    thoughts = (message.get(name) for name in ("reasoning_content", "reasoning"))
    thought = next((text for text in thoughts if isinstance(text, str)), "")
    content = message.get("content")
    if content is None and thought:  # the limit was reached while it thought
        content = ""
    if not isinstance(content, str):
        raise AnswerError("the answer holds no text where a chat completion has it")
    assert isinstance(first, dict)
    model = data.get("model")
    return Answer(
        _whole(content),
        _whole(thought),
        first.get("finish_reason") != "length",
        model if isinstance(model, str) else None,
    )


def _whole(text: str) -> str:
    """The text with question marks in the place of half characters."""
    return text.encode("utf-8", "replace").decode()
