"""Questions to a folder of many videos: ``python benchmarks/search.py --videos 2000 100000``.

The folder holds one clip of the mini world, and otherwise files that are empty: their descriptions
are sentences of the mini world by chance, their token states random, stored as `covrr index` would
have stored them. What is timed is real: loading, and the answers to texts and to a clip with an
edit, each asked for the first time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from timing import aligned, spread

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import Description, Record
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.folders import Seen, VideoFolder
from covrr_utils.experiments.index import FolderDescriptions, index
from covrr_utils.experiments.keys import content_name, reading_key, text_name, video_key
from covrr_utils.experiments.questions import Question
from covrr_utils.experiments.search import FolderSearch
from covrr_utils.store.collection import Collection

SHARD = 512  # descriptions that are written together

TOKENS = 3  # of each of these descriptions: their states are pooled before anything is asked

SENTENCES = (
    ("The", "red green blue yellow white black orange purple", "mug lamp box ball cat book boat"),
    ("is", "lit broken open empty full wet clean upright"),
    ("It", "rests rolls falls turns bounces slides"),
    ("The scene is the", "kitchen garden desk beach street garage", "by_day at_night"),
    ("The camera is", "still closer farther higher lower"),
    ("The tempo is", "slow steady quick"),
)

TEXTS = ("a red mug that falls at night", "The lamp is lit.", "a boat near the beach", "the cat")

EDITS = ("The sun comes up.", "It falls over.", "Switch the lamp on.", "The camera moves closer.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the seconds of loading and of every answer, for each size of the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[2_000, 100_000])
    parser.add_argument("--backbone", default="mini-1m")
    parser.add_argument("--vectors", default="float32")
    options = parser.parse_args(arguments)
    backbone = Backbone.load(options.backbone, device="cpu")
    config = RunConfig(backbone=options.backbone, device="cpu", vectors=options.vectors)
    rows = []
    for count in options.videos:
        with folder_of(count, config, backbone) as root:
            rows.append(_timed(root, config, backbone))
    heads = ["videos", "", "to load", "a text", "a clip and an edit", "the model's part"]
    print(aligned([heads, *(row for two in rows for row in two)]))


def _timed(root: Path, config: RunConfig, backbone: Backbone) -> list[list[str]]:
    """Two rows: seconds on the wall, and of the processor."""
    begun = time.perf_counter(), time.process_time()
    searching = FolderSearch(VideoFolder(root), config, backbone)
    searching.load()
    searching.ask(Question(text="the first question"))
    loading = time.perf_counter() - begun[0], time.process_time() - begun[1]
    clip = root / "clip.mp4"
    texts = [_seconds(searching, Question(text=text)) for text in TEXTS]
    edits = [_seconds(searching, Question(clip, edit)) for edit in EDITS]
    again = [_seconds(searching, Question(clip, edit)) for edit in EDITS]
    return [
        [
            f"{len(searching.folder.seen):,}" if not number else "",
            ("wall s", "processor s")[number],
            f"{loading[number]:.2f}",
            spread([seconds[number] for seconds in texts], ".2f"),
            spread([seconds[number] for seconds in edits], ".2f"),
            spread([one[number] - two[number] for one, two in zip(edits, again)], ".2f"),
        ]
        for number in range(2)
    ]


def _seconds(searching: FolderSearch, question: Question) -> tuple[float, float]:
    """How long an answer takes: on the wall, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    searching.ask(question)
    return time.perf_counter() - wall, time.process_time() - processor


@contextmanager
def folder_of(count: int, config: RunConfig, backbone: Backbone) -> Iterator[Path]:
    """An indexed folder of so many videos."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["COVRR_RUNS"] = str(Path(place) / "runs")
        root = Path(place) / "videos"
        root.mkdir()
        clip = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[0]
        shutil.copy(clip, root / "clip.mp4")
        for number in range(count - 1):
            (root / f"{number:07}.mp4").touch()
        _describe(root, config, backbone)
        yield root


def _describe(root: Path, config: RunConfig, backbone: Backbone) -> None:
    """Store a description of every file, each with its text as it is read alone."""
    rng = np.random.default_rng(0)
    folder = VideoFolder(root)
    for number, (video, path) in enumerate(folder.files.items()):
        status = path.stat()
        content = None if status.st_size else f"{number:016x}"
        folder.seen[video] = Seen(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, content or "clip"
        )
    folder.kind = "mini"
    folder.save()
    known = FolderDescriptions(folder, config, backbone)
    given = config, known.identity, known.generation
    gallery = known.store.collection("gallery", video_key(*given))
    readings = known.store.collection("readings", reading_key(*given))
    width = backbone.read(["a text"])[0].states.shape[1]
    described = []
    for seen in folder.seen.values():
        described.append((content_name(str(seen.content)), _text(rng)))
    _fill(gallery, described, width, rng)
    _fill(readings, list({text_name(text): text for _, text in described}.items()), width, rng)
    index(folder, config, backbone)


def _text(rng: np.random.Generator) -> str:
    """Sentences of the mini world by chance."""
    return " ".join(
        " ".join([first, *(rng.choice(words.split()).replace("_", " ") for words in choices)]) + "."
        for first, *choices in SENTENCES
    )


def _fill(
    collection: Collection, texts: Sequence[tuple[str, str]], width: int, rng: np.random.Generator
) -> None:
    """Store these texts, by name, with random states."""
    for start in range(0, len(texts), SHARD):
        collection.add(
            Record(
                name,
                Description(
                    text=text,
                    tokens=[" word"] * TOKENS,
                    token_ids=np.arange(TOKENS),
                    states=rng.standard_normal((TOKENS, width), np.float32),
                    logprobs=np.zeros(TOKENS, np.float32),
                    ended=True,
                    special=np.zeros(TOKENS, bool),
                ),
            )
            for name, text in texts[start : start + SHARD]
        )


if __name__ == "__main__":
    main()
