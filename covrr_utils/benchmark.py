"""Triplets, the declared gallery, gold traces and tags: a benchmark as read from its label files.

A benchmark is a descriptor ``<name>.benchmark.json`` beside its labels. The gallery is part of the benchmark (FACTS: no two peers agree
on it otherwise), and the id of a video is its path inside the dataset, without extension (basenames of different folders collide).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from covrr_utils import paths
from covrr_utils.traces import ReasoningTrace, TraceError

DESCRIPTOR_KEYS = ("name", "kind", "labels", "gallery", "gallery_name", "videos", "extension", "exclude_reference", "description")
REQUIRED = ("video_source", "video_target", "modification_text")
KNOWN_EXTRAS = ("tags", "gold_trace", "distractors")


class LabelError(ValueError):
    """A label file that does not say what it should; the message names file, row and key."""


class UnknownBenchmark(ValueError):
    """A benchmark name or path that leads nowhere."""


@dataclass(frozen=True)
class Triplet:
    """A reference video, an edit in words, and the target video that shows the reference after the edit."""

    id: str
    reference: str
    edit: str
    target: str
    section: str
    tags: tuple[str, ...] = ()
    gold_trace: ReasoningTrace | None = None
    distractors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """How many assertions of the gold trace change; 0 without a gold trace."""
        return sum(before != after for _, before, after in self.gold_trace.rows()) if self.gold_trace else 0

    def named_distractors(self) -> dict[str, str]:
        """Hard distractors by kind, numbered where a kind has several: ``{"literal": id, "near 1": id, "near 2": id}``."""
        named = {}
        for kind, videos in self.distractors.items():
            named |= {kind if len(videos) == 1 else f"{kind} {number}": video for number, video in enumerate(videos, 1)}
        return named


@dataclass(frozen=True)
class Benchmark:
    """Triplets with the gallery they are ranked against."""

    name: str
    kind: str  # "mini" or "real": the two kinds of measured number
    triplets: tuple[Triplet, ...]
    gallery: tuple[str, ...]
    gallery_name: str
    videos_root: Path
    extension: str
    exclude_reference: bool
    description: str = ""

    def video_path(self, video: str) -> Path:
        """Where the file of video id ``video`` lies (it need not exist)."""
        return self.videos_root / f"{video}{self.extension}"

    def videos(self) -> list[str]:
        """All distinct video ids: the gallery, then the references that are not in it."""
        return list(dict.fromkeys([*self.gallery, *(triplet.reference for triplet in self.triplets)]))

    def head(self, count: int | None) -> Benchmark:
        """The first ``count`` triplets against the same gallery (None: all of them)."""
        return self if count is None else replace(self, triplets=self.triplets[:count])


def benchmarks() -> dict[str, Path]:
    """Name -> descriptor of every benchmark below ``data/``."""
    return dict(sorted((path.name.removesuffix(".benchmark.json"), path) for path in paths.data_dir().glob("*/*.benchmark.json")))


def load_benchmark(name: str | Path) -> Benchmark:
    """Read a benchmark by name (see `benchmarks`) or by the path of its descriptor.

    Raises
    ------
    UnknownBenchmark
        If there is no such benchmark.
    LabelError
        If descriptor, labels or gallery are malformed.
    """
    known = benchmarks()
    path = known.get(str(name), Path(name))
    if not path.is_file() or not path.name.endswith(".benchmark.json"):
        raise UnknownBenchmark(
            f"unknown benchmark {str(name)!r}; embedded: {', '.join(known) or 'none'}; the path of a <name>.benchmark.json works as well"
        )
    where = paths.relative(path)
    descriptor = _read_json(path)
    if not isinstance(descriptor, dict) or set(descriptor) != set(DESCRIPTOR_KEYS):
        found = sorted(descriptor) if isinstance(descriptor, dict) else type(descriptor).__name__
        raise LabelError(f"{where}: expected an object with exactly the keys {', '.join(DESCRIPTOR_KEYS)}; found {found}")
    if descriptor["kind"] not in ("mini", "real"):
        raise LabelError(f"{where}: key 'kind': expected 'mini' or 'real', found {descriptor['kind']!r}")
    if not isinstance(descriptor["exclude_reference"], bool):
        raise LabelError(f"{where}: key 'exclude_reference': expected true or false, found {descriptor['exclude_reference']!r}")
    gallery = _read_json(path.parent / descriptor["gallery"])
    gallery_file = paths.relative(path.parent / descriptor["gallery"])
    if not isinstance(gallery, list) or not gallery:
        raise LabelError(f"{gallery_file}: expected a non-empty list of video ids, found {type(gallery).__name__}")
    gallery = tuple(video_id(value, f"{gallery_file}, entry {number}") for number, value in enumerate(gallery))
    if len(set(gallery)) != len(gallery):
        twice = next(video for video in gallery if gallery.count(video) > 1)
        raise LabelError(f"{gallery_file}: video {twice!r} occurs more than once; a gallery lists each video once")
    triplets = tuple(read_labels(path.parent / descriptor["labels"]))
    inside = set(gallery)
    for triplet in triplets:
        if triplet.target not in inside:
            raise LabelError(
                f"{paths.relative(path.parent / descriptor['labels'])}: target {triplet.target!r} of triplet {triplet.id} is not in the "
                f"gallery {gallery_file}; add it there or name another gallery in {where}"
            )
        if descriptor["exclude_reference"] and triplet.target == triplet.reference:
            raise LabelError(
                f"{paths.relative(path.parent / descriptor['labels'])}: triplet {triplet.id} has {triplet.target!r} as reference and as target, "
                f"but {where} leaves the reference out of the ranking; correct the row, or set 'exclude_reference' to false"
            )
    return Benchmark(
        descriptor["name"], descriptor["kind"], triplets, gallery, descriptor["gallery_name"], path.parent / descriptor["videos"],
        descriptor["extension"], descriptor["exclude_reference"], descriptor["description"],
    )


def read_labels(path: Path) -> Iterator[Triplet]:
    """Triplets of a label file in the CoVR-R layout: sections ``[{"name": [rows]}, ...]`` or a plain list of rows.

    Row ids repeat across sections (FACTS), so with more than one section the id of a triplet is ``section/id``.

    Other layouts (csv, challenge files) are read by functions beside this one, chosen by content here.
    """
    where, data = paths.relative(path), _read_json(path)
    if not isinstance(data, list):
        raise LabelError(f"{where}: expected a list of rows or of sections, found {type(data).__name__}")
    sectioned = bool(data) and all(isinstance(part, dict) and len(part) == 1 and isinstance(next(iter(part.values())), list) for part in data)
    sections = [item for part in data for item in part.items()] if sectioned else [("", data)]
    names = [name for name, _ in sections]
    if twice := [name for name in names if names.count(name) > 1]:
        raise LabelError(f"{where}: section {twice[0]!r} occurs more than once; join its rows or rename one of them")
    if not any(rows for _, rows in sections):
        raise LabelError(f"{where}: no rows; expected at least one triplet")
    for section, rows in sections:
        seen: dict[str, int] = {}
        for number, row in enumerate(rows):
            place = f"{where}, {f'section {section!r}, ' if section else ''}row {number}"
            triplet = _triplet(row, number, section, place)
            if len(sections) > 1:
                triplet = replace(triplet, id=f"{section}/{triplet.id}")
            if triplet.id in seen:
                raise LabelError(f"{place}: key 'id': {triplet.id!r} was already used by row {seen[triplet.id]}; ids must differ in a section")
            seen[triplet.id] = number
            yield triplet


def video_id(value: object, where: str) -> str:
    """A video id as text: a relative path without ``..``; integers (SSv2) become text."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise LabelError(f"{where}: expected a video id such as 'folder/name', found {value!r}")
    text = str(value).strip()
    if PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts or "\\" in text or "\0" in text:
        raise LabelError(f"{where}: {text!r} leads outside the video folder; expected a relative path without '..'")
    return text


def _triplet(row: object, number: int, section: str, where: str) -> Triplet:
    if not isinstance(row, dict):
        raise LabelError(f"{where}: expected an object with the keys {', '.join(REQUIRED)}, found {type(row).__name__}")
    if missing := [key for key in REQUIRED if key not in row]:
        raise LabelError(f"{where}: key {missing[0]!r} is missing; found {', '.join(map(str, row)) or 'no keys'}")
    edit = row["modification_text"]
    if not isinstance(edit, str) or not edit.strip():
        raise LabelError(f"{where}: key 'modification_text': expected the edit as text, found {edit!r}")
    id_ = row.get("id", number)
    if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
        raise LabelError(f"{where}: key 'id': expected a text or a whole number, found {id_!r}")
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise LabelError(f"{where}: key 'tags': expected a list of texts, found {tags!r}")
    distractors = row.get("distractors", {})
    if not isinstance(distractors, dict) or not all(isinstance(videos, list) for videos in distractors.values()):
        raise LabelError(f"{where}: key 'distractors': expected an object of lists of video ids, found {distractors!r}")
    try:
        gold = ReasoningTrace.from_dict(row["gold_trace"]) if "gold_trace" in row else None
    except TraceError as error:
        raise LabelError(f"{where}: key 'gold_trace': {error}") from error
    return Triplet(
        id=str(id_).strip(),
        reference=video_id(row["video_source"], f"{where}: key 'video_source'"),
        edit=edit.strip(),
        target=video_id(row["video_target"], f"{where}: key 'video_target'"),
        section=section,
        tags=tuple(tags),
        gold_trace=gold,
        distractors={kind: tuple(video_id(v, f"{where}: key 'distractors'") for v in videos) for kind, videos in distractors.items()},
        extra={key: value for key, value in row.items() if key not in (*REQUIRED, *KNOWN_EXTRAS, "id")},
    )


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabelError(f"{paths.relative(path)}: no such file, though its benchmark names it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LabelError(f"{paths.relative(path)}: not valid JSON ({error})") from error
