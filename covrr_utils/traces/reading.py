"""Reading a trace out of what a model has written: lines or JSON, with everything that had to be
mended named.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pydantic import ValidationError

from covrr_utils.traces.trace import (
    ARROW,
    ARROWS,
    MAX_ASSERTIONS,
    SLOTS,
    ReasoningTrace,
    TraceError,
    TraceSchema,
)

ALIASES = {
    "state": "states",
    "action": "actions",
    "scenes": "scene",
    "cameras": "camera",
    "tempi": "tempo",
    "tempos": "tempo",
}

_SLOT_LINE = re.compile(
    rf"^[\s\-*#\"'{{]*({'|'.join([*SLOTS, *ALIASES])})[\s*\"']*[:=]\s*(.*)$", re.IGNORECASE
)

_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s")

_EDGES = re.compile(r"^[\s\-*•,\[\]\"'}`.]+|[\s\-*•,\[\]\"'}`.]+$")

_FENCE = re.compile(r"^\s*```\w*\s*$")

_OBJECT = re.compile(
    rf"\{{[^{{}}]*?[\"'](?:{'|'.join([*SLOTS, *ALIASES])})[\"']\s*:", re.IGNORECASE
)


@dataclass(frozen=True)
class WrittenTrace:
    """A trace as read from model output. ``form`` is ``lines`` or ``json``; ``repairs`` says what
    had to be mended, empty for a valid text.
    """

    trace: ReasoningTrace
    form: str
    repairs: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the text was a trace as asked for: all five slots with one to four assertions, in
        order, and nothing else.
        """
        return not self.repairs


def parse_trace(text: str) -> ReasoningTrace:
    """The trace in ``text``, mended where need be; `read_trace_text` says what was mended.

    `TraceError` where there is none.
    """
    return read_trace_text(text).trace


def read_trace_text(text: str) -> WrittenTrace:
    """Read a trace from model output: lines ``slot: assertion; assertion``, or a JSON object of
    lists, with prose and code fences around.

    Lines before the first slot are dropped; a line without a slot name continues the slot above it,
    until a blank line (after it only bullets do). Each slot keeps its first four assertions, and
    the first statement of a repeated slot counts. A missing slot stays empty. Broken JSON (trailing
    commas, single quotes, cut off in the middle) is mended by the library json-repair. Each of
    these is a repair.

    Raises
    ------
    TraceError
        If no slot at all is found, or all are empty.
    """
    repairs: list[str] = []
    opening = _OBJECT.search(text)
    found = _from_json(text, opening.start(), repairs) if opening else _from_lines(text, repairs)
    slots = {slot: tuple(items[:MAX_ASSERTIONS]) for slot, items in found.items() if items}
    if not slots:
        raise TraceError(
            f"no trace in {text[:80]!r}: expected lines such as 'states: raw -> fried' for the"
            f" slots {', '.join(SLOTS)}"
        )
    repairs += [
        f"slot {slot!r}: kept {MAX_ASSERTIONS} of {len(items)} assertions"
        for slot, items in found.items()
        if len(items) > MAX_ASSERTIONS
    ]
    repairs += [f"slot {slot!r}: missing" for slot in SLOTS if slot not in slots]
    if [slot for slot in found if slot in slots] != [slot for slot in SLOTS if slot in slots]:
        repairs.append("slots in another order")
    trace, form = ReasoningTrace(**slots), "json" if opening else "lines"
    if not repairs and not _as_asked(text.strip(), trace, form):
        repairs.append("spacing or punctuation")
    return WrittenTrace(trace, form, tuple(dict.fromkeys(repairs)))


def _as_asked(text: str, trace: ReasoningTrace, form: str) -> bool:
    """Whether ``text`` says ``trace`` in just the asked form."""
    if form == "lines":
        return text == trace.text()
    try:
        return TraceSchema.model_validate_json(text).model_dump() == trace.to_dict()
    except ValidationError:
        return False


def _assertion(item: str) -> str:
    """One assertion without list marks and quotes around its parts, its arrow written ``->``."""
    return f" {ARROW} ".join(
        part for piece in ARROWS.split(item) if (part := _EDGES.sub("", piece))
    )


def _from_lines(text: str, repairs: list[str]) -> dict[str, list[str]]:
    """The slots of a text of lines, each with all its assertions."""
    found: dict[str, list[str]] = {}
    current, begun, paragraph_over = None, False, False
    for line in text.strip().splitlines():
        match = _SLOT_LINE.match(line)
        if match:
            name = match.group(1).lower()
            current, paragraph_over, begun = ALIASES.get(name, name), False, True
            if name in ALIASES:
                repairs.append(f"slot {name!r} read as {current!r}")
            if not line.startswith(f"{name}:"):
                repairs.append("markup around slot names")
            line = match.group(2)
            if current in found:  # the model has started over; the first statement counts
                repairs.append(f"slot {current!r}: repeated, the first statement kept")
                current = None
                continue
            found[current] = []
        elif not line.strip():
            paragraph_over = True
            continue
        elif _FENCE.match(line):
            repairs.append("code fence dropped")
            continue
        elif current is None or (paragraph_over and not _BULLET.match(line)):
            repairs.append(
                "prose around the trace dropped"
                if current is not None or not begun
                else "lines of a repeated slot dropped"
            )
            current = None
            continue
        else:
            repairs.append(f"slot {current!r}: continued on further lines")
        if any(arrow.group() != f" {ARROW} " for arrow in ARROWS.finditer(line)):
            repairs.append("arrows rewritten")
        found[current] += [
            item for part in line.split(";") if (item := _assertion(_BULLET.sub("", part)))
        ]
    return found


def _from_json(text: str, start: int, repairs: list[str]) -> dict[str, list[str]]:
    """The slots of a text that holds a JSON object from ``start`` on."""
    import json_repair

    try:
        data, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError:
        data, end = json_repair.loads(text[start:]), len(text)
        data = (
            next((part for part in data if isinstance(part, dict)), None)
            if isinstance(data, list)
            else data
        )
        repairs.append("broken JSON mended")
    except RecursionError as error:
        raise TraceError(f"no trace in {text[:80]!r}: JSON nested too deep") from error
    if "```" in text[:start]:
        repairs.append("code fence dropped")
    if (text[:start] + text[end:]).replace("```json", "").replace("```", "").strip():
        repairs.append("prose around the trace dropped")
    found: dict[str, list[str]] = {}
    for key, value in data.items() if isinstance(data, dict) else ():
        name = str(key).strip().lower()
        slot = ALIASES.get(name, name)
        if slot not in SLOTS:
            repairs.append(f"unknown slot {name[:40]!r} dropped")
            continue
        if slot != key:
            repairs.append(f"slot {str(key)[:40]!r} read as {slot!r}")
        if not isinstance(value, list):
            repairs.append(f"slot {slot!r}: a list was expected")
            value = [value]
        items = [
            new
            for item in value
            for line in _json_item(item).splitlines()
            for part in line.split(";")
            if (new := _assertion(part))
        ]
        if items != value:
            repairs.append(f"slot {slot!r}: assertions rewritten")
        found.setdefault(slot, []).extend(items)
    return found


def _json_item(item: object) -> str:
    """One item of a JSON list as an assertion: text as it is, ``{"before": .., "after": ..}`` with
    an arrow, numbers as text.
    """
    if isinstance(item, dict):
        values = [item[key] for key in ("before", "after") if key in item] or list(item.values())
        return f" {ARROW} ".join(str(value) for value in values)
    return "" if item is None else str(item)
