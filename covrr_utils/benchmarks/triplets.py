"""`Triplet`: a row of a label file, checked: a reference video, an edit in words, a target video,
and what else the row says.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TypeVar

from covrr_utils.traces.trace import ReasoningTrace, TraceError

REQUIRED = ("video_source", "video_target", "modification_text")

KNOWN_EXTRAS = ("id", "tags", "gold_trace", "distractors")

VIDEO_SUFFIXES = (
    *(".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv"),
    *(".ogv", ".3gp"),
)

SUFFIX = re.compile(rf"({'|'.join(map(re.escape, VIDEO_SUFFIXES))})$", re.IGNORECASE)

SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: cannot be written as UTF-8


T = TypeVar("T", bound=Hashable)


class LabelError(ValueError):
    """A label file does not say what it should; the message names file, row and key or column."""


@dataclass(frozen=True)
class Triplet:
    """A reference video, an edit in words, and the target video that shows the reference after the
    edit (None in a challenge file).
    """

    id: str
    reference: str
    edit: str
    target: str | None
    section: str
    tags: tuple[str, ...] = ()
    gold_trace: ReasoningTrace | None = None
    distractors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """How many assertions of the gold trace change; 0 without a gold trace."""
        return (
            sum(before != after for _, before, after in self.gold_trace.rows())
            if self.gold_trace
            else 0
        )

    def named_distractors(self) -> dict[str, str]:
        """Hard distractors by kind, numbered where a kind has several: ``{"literal": id, "near 1":
        id, "near 2": id}``.
        """
        named: dict[str, str] = {}
        for kind, videos in self.distractors.items():
            named |= {
                kind if len(videos) == 1 else f"{kind} {number}": video
                for number, video in enumerate(videos, 1)
            }
        return named


def first_repeated(items: Iterable[T]) -> T | None:
    """The first item that occurred before, None if all differ; time grows with their number."""
    seen: set[T] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def in_one_line(names: Iterable[object]) -> str:
    """Names for a message: on one line, unprintable ones escaped, cut after 200 characters."""
    texts = (str(name) for name in names)
    return ", ".join(text if text.isprintable() else repr(text) for text in texts)[:200]


def video_id(value: object, where: str) -> str:
    """A video id as text: a relative path without ``..`` and without a video's file extension;
    integers (SSv2) become text.

    Raises
    ------
    LabelError
        For anything else; ``where`` begins the message.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise LabelError(f"{where}: expected a video id such as 'folder/name', found {value!r}")
    text = str(value).strip()
    if text.startswith("/") or "\\" in text or ".." in text.split("/"):
        raise LabelError(
            f"{where}: {text!r} leads outside the video folder; expected a relative path without"
            " '..'"
        )
    if not text.isprintable():
        raise LabelError(
            f"{where}: {text!r} holds characters that cannot be printed; expected a video id such"
            " as 'folder/name'"
        )
    plain = _without_suffix(text)
    if plain.endswith(("/", ".")) or not plain:
        raise LabelError(f"{where}: {text!r} names no video; expected an id such as 'folder/name'")
    return plain


@lru_cache(maxsize=2**16)  # most videos are named several times
def _without_suffix(text: str) -> str:
    """A path without repeated slashes, parts that are ``.`` and a video's file extension."""
    return SUFFIX.sub("", str(PurePosixPath(text)))


def triplet_from_row(
    row: object,
    number: int,
    section: str,
    where: str,
    targets: bool = True,
    names: Mapping[str, str] | None = None,
) -> Triplet:
    """The triplet of row ``number``; ``where`` begins every message, ``names`` says how keys are
    called in the file (csv columns).

    Raises
    ------
    LabelError
        If a key is missing or holds something else than it should.
    """

    def key(name: str) -> str:
        return (
            f"{where}: key {name!r}"
            if names is None
            else f"{where}: column {names.get(name, name)!r}"
        )

    required = REQUIRED if targets else tuple(name for name in REQUIRED if name != "video_target")
    if not isinstance(row, dict):
        raise LabelError(
            f"{where}: expected an object with the keys {', '.join(required)}, found"
            f" {type(row).__name__}"
        )
    if missing := [name for name in required if name not in row]:
        raise LabelError(f"{key(missing[0])} is missing; found {in_one_line(row) or 'no keys'}")
    edit = row["modification_text"]
    if not isinstance(edit, str) or not edit.strip() or SURROGATE.search(edit):
        raise LabelError(f"{key('modification_text')}: expected the edit as text, found {edit!r}")
    id_ = row.get("id", row.get("index", number))
    if (
        isinstance(id_, bool)
        or not isinstance(id_, str | int)
        or not str(id_).strip().isprintable()
        or not str(id_).strip()
    ):
        raise LabelError(f"{key('id')}: expected a text or a whole number, found {id_!r}")
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise LabelError(f"{key('tags')}: expected a list of texts, found {tags!r}")
    distractors = row.get("distractors", {})
    if not isinstance(distractors, dict) or not all(
        isinstance(videos, list) for videos in distractors.values()
    ):
        raise LabelError(
            f"{key('distractors')}: expected an object of lists of video ids, found {distractors!r}"
        )
    try:
        gold = ReasoningTrace.from_dict(row["gold_trace"]) if "gold_trace" in row else None
    except TraceError as error:
        raise LabelError(f"{key('gold_trace')}: {error}") from error
    return Triplet(
        id=str(id_).strip(),
        reference=video_id(row["video_source"], key("video_source")),
        edit=edit.strip(),
        target=video_id(row["video_target"], key("video_target")) if targets else None,
        section=section,
        tags=tuple(tags),
        gold_trace=gold,
        distractors={
            kind: tuple(video_id(v, key("distractors")) for v in videos)
            for kind, videos in distractors.items()
        },
        extra={name: value for name, value in row.items() if name not in REQUIRED + KNOWN_EXTRAS},
    )


def in_section(triplet: Triplet) -> Triplet:
    """The triplet with its section's name before all its ids."""

    def inside(name: str) -> str:
        return f"{triplet.section}/{name}"

    distractors = {kind: tuple(map(inside, videos)) for kind, videos in triplet.distractors.items()}
    target = None if triplet.target is None else inside(triplet.target)
    return replace(
        triplet,
        id=inside(triplet.id),
        reference=inside(triplet.reference),
        target=target,
        distractors=distractors,
    )
