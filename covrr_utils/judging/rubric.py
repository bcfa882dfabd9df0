"""The rubric of the model judge: ten dimensions, ten whole numbers from 0 to 10, one mean. Our own:
the paper's are not published.

A judge sees the edit, what the video shows before it (as a text, and as the video itself where it
can see), what it shows after it where the benchmark knows, and the trace. It answers with a JSON
object and nothing else, so that every score can be read and made again.

What is the same for every case comes first (servers and caches keep a common beginning), and the
slots come before what is concluded from them: a model that answers token by token has then compared
slot by slot before it says how good the whole is.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, Field, create_model

RUBRIC_VERSION = "rubric-2"

DIMENSIONS = {
    "state": "The objects and their states, before and after, are right and complete.",
    "action": "What the objects do, before and after, is right and complete.",
    "scene": "Place and light, before and after, are right and complete.",
    "camera": "Framing and camera movement, before and after, are right and complete.",
    "tempo": "The pace, before and after, is right.",
    "effect_factuality": (
        "What is said to hold after the edit is what really holds, or what would really happen."
    ),
    "causality": (
        "Unspoken after-effects of the edit are found, also effects of effects; nothing changes"
        " without a cause."
    ),
    "step_consistency": (
        "Every assertion stands in the slot it belongs to, starts from what the video shows, and"
        " contradicts no other."
    ),
    "observability": (
        "Every assertion can be seen in the video; none is about intentions, sounds or feelings."
    ),
    "concision": "Short, atomic assertions without repetition; at most four in a slot.",
}

HEAD = (
    "Judge a reasoning trace. Somebody edits a video in thought; the trace says what the edit"
    " changes, as before -> after. Give each dimension a whole number from 0 (entirely wrong or"
    " missing) to 10 (nothing to improve):\n"
    + "\n".join(f"- {name}: {meaning}" for name, meaning in DIMENSIONS.items())
    + "\nA trace about another edit or another video scores low on every dimension but the last"
    " two. Answer with one JSON object, the dimensions as keys in this order, and nothing else.\n"
)

_FIELDS: dict[str, Any] = {name: (int, Field(ge=0, le=10)) for name in DIMENSIONS}

Rubric = create_model("Rubric", __config__=ConfigDict(extra="forbid"), **_FIELDS)


def rubric_schema() -> str:
    """The JSON schema of an answer."""
    return json.dumps(Rubric.model_json_schema())


def rubric_case(edit: str, trace: str, before: str | None, after: str | None) -> str:
    """The part of the prompt that is about one case; ``before`` and ``after`` are descriptions of
    reference and target, None where not known.
    """
    return (
        f"Edit: {edit}\nBefore: {before or 'not described'}\nAfter:"
        f" {after or 'not known; judge what would happen'}\nTrace:\n{trace}\nJudge this trace."
    )


def rubric_prompt(edit: str, trace: str, before: str | None, after: str | None) -> str:
    """What a judge is asked: `HEAD`, and then the case."""
    return HEAD + rubric_case(edit, trace, before, after)
