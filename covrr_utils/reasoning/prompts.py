"""Every instruction a model is ever given, by style and step.

A prompt is the text that follows the video in one user turn. In every style gallery and query end
in the same sentence, so that both sides write descriptions of the same form (paper, Fig. 3: one
decoder, two paths). A style words the descriptions and how the trace is asked for; a trace always
ends in its five lines, so that every strategy works with every style.

The mini backbones are trained on the texts of the style ``slots``, to the letter. The other three
follow the published styles in what they ask for (keyword: 8 to 12 keywords; dense: one vivid
paragraph; reasoning: the video with what brought it about), in our own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LINES = "One line each for states, actions, scene, camera, tempo: "

FACTS = "at most four short observable facts, written before -> after where they change."


@dataclass(frozen=True)
class Style:
    """``form`` ends every description's prompt, ``reason`` every trace's; another text has another
    ``version`` (it is in store keys).
    """

    version: str
    form: str
    reason: str


SLOTS, KEYWORD, DENSE, REASONING = "slots", "keyword", "dense", "reasoning"

STYLES = {
    SLOTS: Style(
        "slots-1",
        "in five short sentences: states, actions, scene, camera, tempo.",
        f"Reason about its after-effects, also the unspoken ones. {LINES}{FACTS}",
    ),
    KEYWORD: Style(
        "keyword-1",
        "with 8 to 12 keywords, separated by commas, the most telling first: who or what is seen,"
        " in which state, doing what, where, how the camera frames it, how fast it goes. Write"
        " nothing but the keywords.",
        f"Think of all that this edit changes, the unspoken consequences too. {LINES}at most four"
        " keywords, before -> after where they change.",
    ),
    DENSE: Style(
        "dense-1",
        "in one vivid paragraph of concrete, visible detail: people and objects with their look and"
        " state, what they do and in which order, place and light, framing and movement of the"
        " camera, pace. Only what can be seen; no title, no list.",
        "Picture the video after this edit in full detail, the unspoken consequences included."
        f" {LINES}{FACTS}",
    ),
    REASONING: Style(
        "reasoning-1",
        "in one paragraph that says what is seen and what it follows from: the state that"
        " everything is in and what brought it there, the actions and what they lead to, the place,"
        " and how camera and pace support it. Name only what the video shows.",
        "First reason in two or three sentences: what does this edit cause here, what follows from"
        f" that, what stays as it is? Then write the outcome. {LINES}{FACTS}",
    ),
}


def version(style: str = SLOTS) -> str:
    """The version of a style's texts."""
    return STYLES[style].version


def describe(style: str = SLOTS) -> str:
    """Gallery side: describe the video as it is."""
    return f"Describe this video {STYLES[style].form}"


def single_stage(edit: str, style: str = SLOTS) -> str:
    """Query side without explicit reasoning: describe the video after the edit in one go (paper:
    "no explicit reasoning").
    """
    return f"Edit: {edit}\nDescribe the video after this edit {STYLES[style].form}"


def trace(edit: str, style: str = SLOTS) -> str:
    """Stage 1: write the reasoning trace of the edit on this video."""
    return f"Edit: {edit}\n{STYLES[style].reason}"


def after_trace(edit: str, trace_text: str, style: str = SLOTS) -> str:
    """Stage 2: describe the video after the edit, given the trace of stage 1."""
    return (
        f"Edit: {edit}\nAfter-effects:\n{trace_text}\nDescribe the video after this edit"
        f" {STYLES[style].form}"
    )


def synthesis(edit: str, traces: Sequence[str], style: str = SLOTS) -> str:
    """Self-consistency: merge several sampled traces into one."""
    numbered = "\n\n".join(f"Trace {number}:\n{text}" for number, text in enumerate(traces, 1))
    return (
        f"Edit: {edit}\n{numbered}\n\nMerge these traces into one; keep what most of them agree"
        f" on.\n{STYLES[style].reason}"
    )


def steps(
    style: str = SLOTS, edit: str = "EDIT", trace_text: str = "TRACE"
) -> list[dict[str, str]]:
    """What each step of each strategy sees and is asked: rows with ``strategy``, ``step``, ``sees``
    and ``prompt``, in the order of use.
    """
    described = after_trace(edit, trace_text, style)
    rows = [
        ("gallery", "describe", "gallery video", describe(style)),
        ("single_stage", "describe", "reference video, edit", single_stage(edit, style)),
        ("two_stage", "trace", "reference video, edit", trace(edit, style)),
        ("two_stage", "describe", "reference video, edit, trace", described),
        ("self_consistency", "trace, sampled", "reference video, edit", trace(edit, style)),
        (
            "self_consistency",
            "synthesis (if by the model)",
            "reference video, edit, sampled traces",
            synthesis(edit, [trace_text] * 2, style),
        ),
        ("self_consistency", "describe", "reference video, edit, merged trace", described),
        ("gold_trace", "describe", "reference video, edit, the benchmark's trace", described),
    ]
    return [dict(zip(("strategy", "step", "sees", "prompt"), row)) for row in rows]
