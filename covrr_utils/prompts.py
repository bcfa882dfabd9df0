"""Every instruction a model is ever given.

A prompt is the text that follows the video in one user turn. Gallery and query end in the same sentence, so that both sides write
descriptions of the same form (paper, Fig. 3: one decoder, two paths). The mini backbones are trained on these very texts.
"""

from __future__ import annotations

from collections.abc import Sequence

PROMPT_VERSION = "slots-1"

DESCRIBE = "in five short sentences: states, actions, scene, camera, tempo."
REASON = (
    "Reason about its after-effects, also the unspoken ones. One line each for states, actions, scene, camera, tempo: "
    "at most four short observable facts, written before -> after where they change."
)


def describe() -> str:
    """Gallery side: describe the video as it is."""
    return f"Describe this video {DESCRIBE}"


def single_stage(edit: str) -> str:
    """Query side without explicit reasoning: describe the video after the edit in one go (paper: "no explicit reasoning")."""
    return f"Edit: {edit}\nDescribe the video after this edit {DESCRIBE}"


def trace(edit: str) -> str:
    """Stage 1: write the reasoning trace of the edit on this video."""
    return f"Edit: {edit}\n{REASON}"


def after_trace(edit: str, trace_text: str) -> str:
    """Stage 2: describe the video after the edit, given the trace of stage 1."""
    return f"Edit: {edit}\nAfter-effects:\n{trace_text}\nDescribe the video after this edit {DESCRIBE}"


def synthesis(edit: str, traces: Sequence[str]) -> str:
    """Self-consistency: merge several sampled traces into one."""
    numbered = "\n\n".join(f"Trace {number}:\n{text}" for number, text in enumerate(traces, 1))
    return f"Edit: {edit}\n{numbered}\n\nMerge these traces into one; keep what most of them agree on.\n{REASON}"
