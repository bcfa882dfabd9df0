"""Label files as they are published, read into triplets: every row counts, and what is malformed
says where and what was expected.

    webvid-csv      txt1, txt2, sim_txt, pth1, pth2, edit, scores           (WebVid-CoVR)
    dense-csv       pth1, pth2, edit and perhaps an index or txt1           (Dense-WebVid-CoVR)
    covr-r-json     a list, or an object, of rows                           (CoVR-R on WebVid)
    sections-json   [{"webvid": [rows]}, {"ss2": [rows]}]                   (CoVR-R, WebVid and
                                                                            Something-Something v2)
    challenge-json  as sections-json or covr-r-json, without any target     (challenge sets)

The layout is told by the content, never by the name of the file. The id of a video is its path
inside the dataset, without extension; with several sections it begins with the section's name
(``webvid/folder/name``, ``ss2/41``), for names repeat across datasets.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.triplets import (
    LabelError,
    Triplet,
    first_repeated,
    in_one_line,
    in_section,
    triplet_from_row,
)
from covrr_utils.files import reason

WEBVID_CSV, DENSE_CSV, COVR_R_JSON, SECTIONS_JSON, CHALLENGE_JSON = LAYOUTS = (
    "webvid-csv",
    "dense-csv",
    "covr-r-json",
    "sections-json",
    "challenge-json",
)

CSV_COLUMNS = {
    WEBVID_CSV: ("txt1", "txt2", "sim_txt", "pth1", "pth2", "edit", "scores"),
    DENSE_CSV: ("pth1", "pth2", "edit"),
}

CSV_KEYS = {"pth1": "video_source", "pth2": "video_target", "edit": "modification_text"}

Sections = list[tuple[str, list]]


def read_labels(path: Path, layout: str | None = None) -> list[Triplet]:
    """The triplets of a label file, in its order; ``layout`` (one of `LAYOUTS`) overrides what the
    content says.

    Row ids repeat across sections, so with several sections the id of a triplet is ``section/id``;
    an id that repeats inside a section gets ``#2``, ``#3``. A pair that occurs twice is two
    triplets. Characters are kept as they are, but for spaces around ids and edits.

    Raises
    ------
    LabelError
        For anything else than a label file of that layout.
    """
    where = paths.relative(path)
    layout, sections = label_sections(path, layout)
    columns = CSV_COLUMNS.get(layout, ())
    names = {CSV_KEYS[column]: column for column in columns if column in CSV_KEYS} or None
    several, triplets = len(sections) > 1, []
    for section, rows in sections:
        used: set[str] = set()
        times: dict[str, int] = {}
        for number, row in enumerate(rows):
            place = f"{where}, {f'section {section!r}, ' if section else ''}row {number}"
            triplet = triplet_from_row(row, number, section, place, layout != CHALLENGE_JSON, names)
            name = triplet.id
            while name in used:  # counted on from the last time, so that time grows with the rows
                times[triplet.id] = times.get(triplet.id, 1) + 1
                name = f"{triplet.id}#{times[triplet.id]}"
            used.add(name)
            triplet = replace(triplet, id=name)
            triplets.append(in_section(triplet) if several else triplet)
    return triplets


def label_sections(path: Path, layout: str | None = None) -> tuple[str, Sections]:
    """The layout of a label file and its raw rows, as ``(section, rows)`` pairs; a file without
    sections has one, named "".

    csv columns carry the names of the json keys here (``pth1`` is ``video_source``).

    Raises
    ------
    LabelError
        If it is no label file, or not one of the layout asked for.
    """
    where = paths.relative(path)
    if layout is not None and layout not in LAYOUTS:
        raise LabelError(f"{where}: unknown label layout {layout!r}; known: {', '.join(LAYOUTS)}")
    text = read_text(path)
    if layout in CSV_COLUMNS or (layout is None and not text.lstrip().startswith(("[", "{"))):
        detected, sections = _csv(text, where, layout)
    else:
        detected, sections = _json_sections(text, where)
    if not any(rows for _, rows in sections):
        raise LabelError(f"{where}: no rows; expected at least one triplet")
    if layout not in (None, detected):
        raise LabelError(
            f"{where}: the content has the layout {detected}, not {layout}; leave the layout out,"
            f" or name another of {', '.join(LAYOUTS)}"
        )
    return detected, sections


def read_json(path: Path) -> object:
    """The content of a json file; a key that occurs twice in one object is an error, for one of the
    two would be lost.
    """
    return _parsed(read_text(path), paths.relative(path))


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8, with or without a byte-order mark; `LabelError` when it
    cannot be had.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise LabelError(f"{paths.relative(path)}: no such file") from None
    except UnicodeDecodeError as error:
        raise LabelError(
            f"{paths.relative(path)}: cannot be read as UTF-8 text ({error}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise LabelError(
            f"{paths.relative(path)}: cannot be read ({reason(error)}); give a file that you may"
            " read"
        ) from error


def _parsed(text: str, where: str) -> object:
    def pairs(items: Sequence[tuple[str, object]]) -> dict:
        if (twice := first_repeated(key for key, _ in items)) is not None:
            raise LabelError(
                f"{where}: key {twice!r} occurs twice in one object; rename one of them"
            )
        return dict(items)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except LabelError:
        raise
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{where}: not valid JSON ({error})") from error


def _json_sections(text: str, where: str) -> tuple[str, Sections]:
    data = _parsed(text, where)
    if isinstance(data, dict) and all(isinstance(row, dict) for row in data.values()):
        data = list(data.values())
    elif isinstance(data, dict):
        data = [data]
    if not isinstance(data, list):
        raise LabelError(
            f"{where}: expected a list of rows or of sections, or an object of rows, found"
            f" {type(data).__name__}"
        )
    sectioned = any(_is_sections(part) for part in data)
    for number, part in enumerate(data):
        if sectioned and not _is_sections(part):
            raise LabelError(
                f"{where}, part {number}: expected a section such as {{'webvid': [rows]}} like the"
                f" others, found {str(part)[:80]!r}"
            )
    sections = [item for part in data for item in part.items()] if sectioned else [("", data)]
    if (twice := first_repeated(name for name, _ in sections)) is not None:
        raise LabelError(
            f"{where}: section {twice!r} occurs more than once; join its rows or rename one of them"
        )
    for name, _ in sections:
        if sectioned and (
            not name.strip()
            or name != name.strip()
            or "/" in name
            or "\\" in name
            or not name.isprintable()
            or name in (".", "..")
        ):
            raise LabelError(f"{where}: section {name!r}: expected a plain name such as 'webvid'")
    rows = [row for _, rows in sections for row in rows]
    targets = any(isinstance(row, dict) and "video_target" in row for row in rows)
    queries = all(
        isinstance(row, dict) and {"video_source", "modification_text"} <= set(row) for row in rows
    )
    if rows and queries and not targets:
        return CHALLENGE_JSON, sections
    return SECTIONS_JSON if sectioned else COVR_R_JSON, sections


def _is_sections(part: object) -> bool:
    return (
        isinstance(part, dict)
        and bool(part)
        and all(isinstance(rows, list) for rows in part.values())
    )


def _csv(text: str, where: str, layout: str | None) -> tuple[str, Sections]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        if (twice := first_repeated(name for name in columns if name)) is not None:
            raise LabelError(f"{where}: column {twice!r} occurs more than once in the header")
        detected = next(
            (key for key, all_ in CSV_COLUMNS.items() if set(all_) <= set(columns)), None
        )
        expected = CSV_COLUMNS[layout or detected or DENSE_CSV]
        if missing := [name for name in expected if name not in columns]:
            raise LabelError(
                f"{where}: column {missing[0]!r} is missing; expected {', '.join(expected)}, found"
                f" {in_one_line(columns) or 'no header'}"
            )
        for number, cells in enumerate(line for line in reader if line):
            if len(cells) != len(columns):
                raise LabelError(
                    f"{where}, row {number} (line {reader.line_num}): {len(cells)} cells, but the"
                    f" header has {len(columns)} columns; a comma or a line break inside a cell"
                    " must be quoted"
                )
            row: dict[str, object] = {
                CSV_KEYS.get(column, column): cell for column, cell in zip(columns, cells) if column
            }
            if "scores" in row:
                place = f"{where}, row {number} (line {reader.line_num})"
                row["scores"] = _scores(str(row["scores"]), place)
            rows.append(row)
    except csv.Error as error:
        raise LabelError(f"{where}, line {reader.line_num}: not valid CSV ({error})") from error
    return detected or DENSE_CSV, [("", rows)]


def _scores(cell: str, where: str) -> list[float]:
    """The similarity scores of a row, a JSON list; an empty cell (two rows of the published file)
    is an empty list.
    """
    if not cell.strip():
        return []
    try:
        scores = json.loads(cell)
    except (ValueError, RecursionError):
        scores = None
    if not isinstance(scores, list) or not all(
        type(score) in (int, float) and math.isfinite(score) for score in scores
    ):
        raise LabelError(
            f"{where}: column 'scores': expected a list of numbers or an empty cell, found"
            f" {cell[:80]!r}"
        )
    return scores
