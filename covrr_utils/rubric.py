"""The rubric of the model judge: ten dimensions, ten whole numbers from 0 to 10, one mean. Our own: the paper's are not published.

A judge sees the edit, what the video shows before it (as a text, and as the video itself where it can see), what it shows after it where
the benchmark knows, and the trace. It answers with a JSON object and nothing else, so that every score can be read and made again.
"""

from __future__ import annotations

import json

from pydantic import ConfigDict, Field, create_model

RUBRIC_VERSION = "rubric-1"
DIMENSIONS = {
    "step_consistency": "The assertions follow from the edit and agree with one another.",
    "effect_factuality": "What is said to hold after the edit is what really holds, or what would really happen.",
    "state": "The objects and their states, before and after, are right and complete.",
    "action": "What the objects do, before and after, is right and complete.",
    "scene": "Place and light, before and after, are right and complete.",
    "camera": "Framing and camera movement, before and after, are right and complete.",
    "tempo": "The pace, before and after, is right.",
    "causality": "Unspoken after-effects of the edit are found, also effects of effects; nothing changes without a cause.",
    "observability": "Every assertion can be seen in the video; none is about intentions, sounds or feelings.",
    "concision": "Short, atomic assertions without repetition; at most four in a slot.",
}
Rubric = create_model("Rubric", __config__=ConfigDict(extra="forbid"), **{name: (int, Field(ge=0, le=10)) for name in DIMENSIONS})


def rubric_schema() -> str:
    """The JSON schema of an answer."""
    return json.dumps(Rubric.model_json_schema())


def rubric_prompt(edit: str, trace: str, before: str | None, after: str | None) -> str:
    """What a judge is asked. ``before`` and ``after`` are descriptions of reference and target, None where they are not known."""
    lines = "\n".join(f"- {name}: {meaning}" for name, meaning in DIMENSIONS.items())
    return (
        "Judge a reasoning trace. Somebody edits a video in thought; the trace says what the edit changes, as before -> after.\n"
        f"Edit: {edit}\nThe video before the edit: {before or 'not described'}\n"
        f"The video after the edit: {after or 'not known; judge what would happen'}\n"
        f"Trace:\n{trace}\n\nGive each dimension a whole number from 0 (entirely wrong or missing) to 10 (nothing to improve):\n{lines}\n"
        "A trace about another edit or another video scores low on every dimension but the last two. Answer with one JSON object, the "
        "dimensions as keys in this order, and nothing else."
    )
