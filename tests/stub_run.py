"""A long work without a model, to be killed: ``python tests/stub_run.py STORE VIDEOS PAUSE``
describes every video by its name.

Descriptions depend on the video's id alone, so that any two finished stores must hold the same.
"""

import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from covrr_utils.backbones.description import Description, Record
from covrr_utils.store import batches, prefetch
from covrr_utils.store.collection import Store
from covrr_utils.video.clips import Clip, Sampling


def description(name: str) -> Description:
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
    states = rng.standard_normal((5, 8)).astype(np.float32)
    return Description(
        name, list("abcde"), np.arange(5), states, np.zeros(5, np.float32), True, np.zeros(5, bool)
    )


def main(store: str, videos: str, pause: str) -> None:
    # the metadata's class takes seconds to import
    prefetch.as_clip = lambda found, id_: Clip(id_, found.frames, None)
    files = {path.stem: path for path in sorted(Path(videos).glob("*.mp4"))}

    def compute(items):
        time.sleep(float(pause))
        assert all(clip.frames.shape[1:] == (128, 128, 3) for _, clip in items)
        return [Record(name, description(name)) for name, _ in items], []

    work = [prefetch.Work(name, name, name) for name in files]
    batches.fill(
        Store(Path(store)).collection("gallery", {"stub": 1}),
        work,
        files.__getitem__,
        Sampling(num_frames=2),
        compute,
        3,
        "stub",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
