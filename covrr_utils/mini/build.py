"""Builds the mini benchmark: ``python -m covrr_utils.mini.build`` writes ``data/mini/`` from
nothing but a seed.

Two splits, ``test`` and ``val``, each with its own videos, triplets and declared gallery. Labels
have the layout of the real CoVR-R file, with our own fields beside it. Every triplet brings
three hard distractors into the gallery (`covrr_utils.judging.kinds` says what the kinds mean):

- an implicit edit: ``literal``, ``effect_only`` and ``other_object``
- an explicit edit, whose own words tell the target: ``other_object`` and two ``near``
- in place of one that would show what the reference, the target or another shows: ``near``
"""

from __future__ import annotations

import argparse
import io
import json
import random
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.files import write_atomically, write_json
from covrr_utils.mini.captions import gold_trace
from covrr_utils.mini.edits import Edit, literal, random_pair
from covrr_utils.mini.render import FPS, SIZE, render
from covrr_utils.mini.world import (
    ATTRIBUTES,
    CAMERAS,
    COLOURS,
    KINDS,
    LIGHTS,
    PLACES,
    Shot,
    random_shot,
    settle,
)

# triplets, gallery size, seed
SPLITS = {"test": (400, 2100, 20260320), "val": (100, 560, 20260321)}

IMPLICIT_SHARE = 0.6

HARD_DISTRACTORS = 3


@dataclass(frozen=True)
class MiniTriplet:
    """One triplet before rendering: the shots in place of the videos."""

    reference: Shot
    edit: Edit
    sentence: str
    target: Shot
    distractors: tuple[tuple[str, Shot], ...]

    @property
    def tags(self) -> list[str]:
        changed = {
            name
            for name in ATTRIBUTES
            if getattr(self.reference, name) != getattr(self.target, name)
        }
        tags = {"state": {"state"}, "temporal": {"action", "tempo"}, "camera": {"camera"}}
        slots = [tag for tag, names in tags.items() if names & changed]
        return slots + (["implicit"] if self.edit.implicit else ["explicit"])


def distractors(
    reference: Shot, edit: Edit, target: Shot, rng: random.Random
) -> tuple[tuple[str, Shot], ...]:
    """At least `HARD_DISTRACTORS` distinct shots, each unlike reference and target, that a keyword
    match would take.
    """
    mined: list[tuple[str, Shot]] = []

    def add(kind: str, shot: Shot) -> None:
        if shot not in {reference, target} | {other for _, other in mined}:
            mined.append((kind, shot))

    if edit.implicit:
        named = literal(reference, edit)
        add("literal", settle(named))
        direct = {
            name: getattr(reference, name)
            for name in ATTRIBUTES
            if getattr(named, name) != getattr(reference, name)
        }
        add("effect_only", settle(replace(target, **direct)))
    kind = rng.choice([kind for kind in KINDS if kind != target.kind])
    add("other_object", settle(replace(target, kind=kind, state=rng.choice(KINDS[kind]))))
    values = {
        "state": KINDS[target.kind],
        "colour": COLOURS,
        "place": PLACES,
        "light": LIGHTS,
        "camera": CAMERAS,
    }
    while len(mined) < HARD_DISTRACTORS:
        name = rng.choice(sorted(values))
        add("near", settle(replace(target, **{name: rng.choice(values[name])})))
    return tuple(mined)


def plan(split: str) -> tuple[list[MiniTriplet], list[Shot]]:
    """The triplets of a split and its gallery shots, all distinct, in the order of their ids.

    No rendering.
    """
    count, size, seed = SPLITS[split]
    rng = random.Random(seed)
    triplets: list[MiniTriplet] = []
    taken: set[Shot] = set()
    while len(triplets) < count:
        reference, edit, target = random_pair(rng, implicit=len(triplets) < IMPLICIT_SHARE * count)
        if reference in taken or target in taken:
            continue
        sentence = rng.choice(edit.wordings(reference))
        triplets.append(
            MiniTriplet(
                reference, edit, sentence, target, distractors(reference, edit, target, rng)
            )
        )
        taken |= {reference, target}
    shots: dict[Shot, None] = {}
    for triplet in triplets:
        shots.update(
            dict.fromkeys(
                [triplet.reference, triplet.target, *(shot for _, shot in triplet.distractors)]
            )
        )
    while len(shots) < size:
        shots[random_shot(rng)] = None
    ordered = list(shots)
    rng.shuffle(ordered)
    return triplets, ordered


def held_out_shots() -> frozenset[Shot]:
    """Every shot that any clip of either split shows; none may occur in a training stream."""
    return frozenset(shot for split in SPLITS for shot in plan(split)[1])


def clip_seed(split: str, number: int) -> int:
    """The renderer's seed for clip ``number`` of a split."""
    return SPLITS[split][2] * 10_000 + number


def write_video(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Encode uint8 frames (T, H, W, 3) as H.264; one thread and no timestamps, so the same frames
    give the same file.
    """
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            "libx264",
            rate=Fraction(FPS),
            options={"crf": "28", "preset": "veryslow", "threads": "1"},
        )
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    write_atomically(path, file.getvalue())


def label_row(number: int, triplet: MiniTriplet, ids: dict[Shot, str]) -> dict:
    """One label row in the layout of the real CoVR-R file, our own fields after it."""
    trace = gold_trace(triplet.reference, triplet.target)
    kinds: dict[str, list[str]] = {}
    for kind, shot in triplet.distractors:
        kinds.setdefault(kind, []).append(ids[shot])
    return {
        "id": number,
        "video_source": ids[triplet.reference],
        "video_target": ids[triplet.target],
        "modification_text": triplet.sentence,
        "description_source": triplet.reference.description(),
        "description_target": triplet.target.description(),
        "reasoned_target_video_description__main": trace.text(),
        "tags": triplet.tags,
        "gold_trace": trace.to_dict(),
        "distractors": kinds,
        "edit_id": triplet.edit.id,
        "edit_kind": "implicit" if triplet.edit.implicit else "explicit",
        "object": triplet.reference.kind,
    }


def build(folder: Path) -> None:
    """Write both splits below ``folder``: labels, galleries, shots (what each clip shows),
    descriptors and videos.
    """
    for split in SPLITS:
        triplets, shots = plan(split)
        ids = {shot: f"{split}/{number:04d}" for number, shot in enumerate(shots)}
        (folder / "videos" / split).mkdir(parents=True, exist_ok=True)
        name = "mini" if split == "test" else f"mini-{split}"
        write_json(
            folder / f"{split}.json",
            [{"mini": [label_row(n, t, ids) for n, t in enumerate(triplets)]}],
        )
        write_json(folder / f"{split}_gallery.json", list(ids.values()), indent=None)
        write_json(
            folder / f"{split}_shots.json",
            {ids[shot]: astuple(shot) for shot in shots},
            indent=None,
        )
        descriptor = {
            "name": name,
            "kind": "mini",
            "labels": f"{split}.json",
            "gallery": f"{split}_gallery.json",
            "gallery_name": f"all clips of mini {split}",
            "videos": "videos",
            "extension": ".mp4",
            "exclude_reference": True,
            "description": (
                f"The rendered mini benchmark, {split} split: {len(triplets)} triplets,"
                f" {len(shots)} clips."
            ),
        }
        write_json(folder / f"{name}.benchmark.json", descriptor)
        for number, shot in enumerate(tqdm(shots, desc=f"render {split}")):
            write_video(
                folder / "videos" / f"{ids[shot]}.mp4", render(shot, clip_seed(split, number))
            )


def shots_of(split: str) -> dict[str, Shot]:
    """What every clip of a split shows, by video id, as the builder wrote it beside the labels."""
    rows = json.loads((paths.mini_dir() / f"{split}_shots.json").read_text(encoding="utf-8"))
    return {video: Shot(*values) for video, values in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m covrr_utils.mini.build", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--to", type=Path, default=paths.mini_dir(), help="folder to write (default: data/mini)"
    )
    build(parser.parse_args().to)


if __name__ == "__main__":
    main()
