"""Reading a trace out of what a model has written, with everything that had to be mended named.

Models are asked for lines, or for JSON. What they write instead is read all the same: headings,
lists, tables, tags, YAML, broken JSON, other languages' punctuation. Reading takes time linear in
the length of the text (`covrr_utils.traces.objects` says where a text is cut for that).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from covrr_utils.traces.assertions import clean
from covrr_utils.traces.draft import Draft
from covrr_utils.traces.lines import from_lines
from covrr_utils.traces.objects import dict_of, from_json
from covrr_utils.traces.tables import from_table
from covrr_utils.traces.tags import from_tags
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError, TraceSchema

_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)

_ENTITY = re.compile(r"&(?:gt|lt|amp|quot|rarr|rArr|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,6});")

READERS: tuple[Callable[[str], Draft | None], ...] = (from_json, from_table, from_tags, from_lines)


@dataclass(frozen=True)
class WrittenTrace:
    """A trace as read from model output. ``form`` is ``lines``, ``json``, ``table`` or ``tags``;
    ``repairs`` says what had to be mended, empty for a valid text.
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
    """Read a trace from model output: lines ``slot: assertion; assertion``, a JSON object of lists,
    or any other form that models give it, with prose and code fences around.

    A text in just the asked form is taken as it stands. Any other is read in every form that it
    may have, and the reading that finds the most slots counts. Each slot keeps its first four
    assertions, and the first statement of a repeated slot counts. A slot of which nothing can be
    read stays empty, and is named as missing. Each of these is a repair.

    Raises
    ------
    TraceError
        If no slot at all is found, or all are empty.
    """
    bare = text.strip()
    flawless = _lines_as_asked(bare) or _json_as_asked(bare)
    if flawless:
        return flawless
    after_thoughts = _THOUGHT.split(text)[-1]
    if after_thoughts != text:
        try:
            written = read_trace_text(after_thoughts)
        except TraceError:
            pass  # what was thought is all there is
        else:
            return WrittenTrace(
                written.trace, written.form, ("thoughts before the trace dropped", *written.repairs)
            )
    draft = _best_reading(text)
    trace = draft.trace()
    repairs = draft.repairs or ["spacing or punctuation"]
    return WrittenTrace(trace, draft.form, tuple(dict.fromkeys(repairs)))


def _best_reading(text: str) -> Draft:
    """The reading that finds the most slots; the first of them, where several do."""
    best, slots, reason = None, 0, None
    for variant in _variants(text):
        for reader in READERS:
            try:
                draft = reader(variant)
            except TraceError as error:
                reason = error
                continue
            number = len(draft.assertions()) if draft else 0
            if number > slots:
                best, slots = draft, number
            if slots == len(SLOTS):
                break
            if draft and draft.outside is not None:
                variant = draft.outside
    if best is None:
        raise reason or TraceError(
            f"no trace in {text[:80]!r}: expected lines such as 'states: raw -> fried' for the"
            f" slots {', '.join(SLOTS)}"
        )
    return best


def _variants(text: str) -> Iterator[str]:
    """The text, with the signs that HTML writes in letters; and as it was before it was escaped."""
    plain = html.unescape(text) if _ENTITY.search(text) else text
    yield plain
    if "\\n" in plain or '\\"' in plain:
        yield plain.replace("\\n", "\n").replace('\\"', '"')


def _lines_as_asked(text: str) -> WrittenTrace | None:
    """The trace of a text of the five lines, to the letter; None for any other text."""
    lines = text.splitlines()
    if [line.partition(":")[0] for line in lines] != list(SLOTS):
        return None
    items = [line.partition(":")[2].split(";") for line in lines]
    slots = [[part for item in parts if (part := clean(item))] for parts in items]
    if not any(slots) or max(map(len, slots)) > 4:
        return None
    trace = ReasoningTrace(**{slot: tuple(parts) for slot, parts in zip(SLOTS, slots)})
    if trace.text() != text:
        return None
    missing = tuple(f"slot {slot!r}: missing" for slot, parts in zip(SLOTS, slots) if not parts)
    return WrittenTrace(trace, "lines", missing)


def _json_as_asked(text: str) -> WrittenTrace | None:
    """The trace of a text that is the asked JSON object, to the letter; None for any other text."""
    if not text.startswith("{"):
        return None
    draft = Draft("json")
    try:
        data = json.loads(text, object_pairs_hook=dict_of(draft))
        slots = TraceSchema.model_validate(data).model_dump()
    except (ValidationError, ValueError, RecursionError):
        return None
    as_read = {
        slot: [clean(part) for item in items for part in item.split(";")]
        for slot, items in slots.items()
    }
    if (
        draft.repairs
        or as_read != slots
        or any("\n" in i for items in slots.values() for i in items)
    ):
        return None
    return WrittenTrace(ReasoningTrace.from_dict(slots), "json")
