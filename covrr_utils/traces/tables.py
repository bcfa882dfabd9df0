"""Traces written as tables: a row or a column for each slot, before and after side by side."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from covrr_utils.traces.assertions import AFTER, BEFORE, SPACES, label
from covrr_utils.traces.draft import Draft
from covrr_utils.traces.headings import slot_and_side

_BARS = str.maketrans("｜│┃║¦", "|||||")

_RULE = re.compile(r"[\s:=+|─━┼╋-]*$")

_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)

_ROW = re.compile(r"</?(?:tr|table|thead|tbody)\b[^<>]{0,200}>", re.IGNORECASE)

_CELL = re.compile(r"<t[dh]\b[^<>]{0,200}>", re.IGNORECASE)

_CELL_END = re.compile(r"</t[dh]>", re.IGNORECASE)

_NOTHING = {"", "-", "–", "—", "n/a", "none", "/"}

Cells = list[str]


def from_table(text: str) -> Draft | None:
    """The slots of the first table that names one; None where the text has none."""
    if "<td" in text.lower():
        text = _ROW.sub("\n", text.replace("\n", " "))
        text = _CELL.sub("|", _CELL_END.sub("", text))
    lines = [line for line in text.splitlines() if line.strip(SPACES + "`")]
    for rows in (*_piped(lines), *_delimited(lines)):
        draft = Draft("table", ["table taken apart"])
        if sum(_named(cell) is not None for cell in rows[0]) > 1:
            _by_column(draft, rows)
        else:
            _by_row(draft, rows)
        if any(draft.entries.values()):
            if len(rows) < sum(not _RULE.match(line) for line in lines):
                draft.repairs.append("prose around the trace dropped")
            return draft
    return None


def _piped(lines: Sequence[str]) -> Iterator[list[Cells]]:
    """Every table of two or more rows whose cells are divided by bars."""
    block: list[Cells] = []
    for line in (*lines, ""):
        plain = line.translate(_BARS)
        if "|" in plain and not _RULE.match(plain):
            block.append(_cells(plain))
        elif not (line and _RULE.match(plain)):
            if len(block) > 1:
                yield block
            block = []


def _cells(line: str) -> Cells:
    """The cells of a row, without the bars at its ends."""
    bare = line.strip().removeprefix("|").removesuffix("|")
    return [_BREAK.sub(";", cell.strip()) for cell in bare.split("|")]


def _delimited(lines: Sequence[str]) -> Iterator[list[Cells]]:
    """The text as rows of tabs or commas, where its first line names both sides of the edit."""
    for mark in "\t,":
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
        except csv.Error:
            continue
        if len(rows) > 1 and {BEFORE, AFTER} <= {_side(cell) for cell in rows[0]}:
            yield rows


def _named(cell: str) -> str | None:
    """The slot that a cell names."""
    return slot_and_side(cell)[0]


def _side(cell: str) -> str | None:
    """The side of the edit that a column or a row is headed with."""
    named = label(f"{cell}:") if len(cell) < 40 else None
    return named[0] if named else None


def _by_row(draft: Draft, rows: Sequence[Cells]) -> None:
    """A slot for each row: its name in one column, its values in the others."""
    width = max(map(len, rows))
    named = [sum(_named(_cell(row, i)) is not None for row in rows) for i in range(width)]
    column = named.index(max(named))
    header = rows[0] if _named(_cell(rows[0], column)) is None else []
    sides = [_side(cell) for cell in header] + [None] * (width - len(header))
    if not header and width == 3:
        before, after = (i for i in range(3) if i != column)
        sides[before], sides[after] = BEFORE, AFTER
    slot, side = None, None
    for row in rows[1:] if header else rows:
        name = _cell(row, column)
        slot, side = slot_and_side(name) if name else (slot, side)
        if slot is None:
            draft.repairs.append(f"unknown slot {name.lower()[:40]!r} dropped")
            continue
        for i, cell in enumerate(row):
            if i != column and cell.lower() not in _NOTHING:
                draft.add(slot, cell, sides[i] or side)


def _by_column(draft: Draft, rows: Sequence[Cells]) -> None:
    """A slot for each column: its name in the first row, its values below."""
    slots = [_named(cell) for cell in rows[0]]
    for row in rows[1:]:
        side = next((named for cell in row if (named := _side(cell))), None)
        for slot, cell in zip(slots, row):
            if slot and cell.lower() not in _NOTHING:
                draft.add(slot, cell, side)
    for slot, name in zip(slots, rows[0]):
        if slot is None and name and _side(name) is None:
            draft.repairs.append(f"unknown slot {name.lower()[:40]!r} dropped")


def _cell(row: Cells, column: int) -> str:
    """The cell of a row, empty where the row is shorter."""
    return row[column] if column < len(row) else ""
