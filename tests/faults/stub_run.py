"""A long work without a model, to be killed: ``python stub_run.py VIDEOS`` describes every video by
its name, once for each line ``STORE KILL_AT`` that it reads, in a process of its own, and answers
each with the exit code and the number of touches (`kill_switch`).

Descriptions depend on the video's id alone, so that any two finished stores must hold the same.
"""

import hashlib
import os
import signal
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from kill_switch import KillSwitch
from served import Served

from covrr_utils.backbones.description import Description, Record
from covrr_utils.store import batches, prefetch
from covrr_utils.store.collection import Store
from covrr_utils.video.clips import Clip, Sampling
from covrr_utils.video.readers import decode

KEY = {"stub": 1}

TWO = Sampling(num_frames=2)


def description(name: str) -> Description:
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
    states = rng.standard_normal((5, 8)).astype(np.float32)
    return Description(
        name, list("abcde"), np.arange(5), states, np.zeros(5, np.float32), True, np.zeros(5, bool)
    )


def compute(items):
    assert all(clip.frames.shape[1:] == (128, 128, 3) for _, clip in items)
    return [Record(name, description(name)) for name, _ in items], []


def contents(store: Path) -> dict[str, tuple[str, bytes]]:
    """What a store holds, by id: the text and the bytes of the states."""
    records = Store(store).collection("gallery", KEY).records()
    return {
        name: (record.text, record.description.states.tobytes()) for name, record in records.items()
    }


class Decoded:
    """A decoder whose clips are decoded already: what is to be killed is the writing."""

    clips: dict[Path, object] = {}

    def submit(self, path: Path, sampling: Sampling) -> Future:
        answer: Future = Future()
        answer.set_result(self.clips[path])
        return answer


def describe_all(store: Path, videos: Path, decoder=None) -> None:
    """Fill the store with a description of every video, three at a time."""
    # the metadata's class takes seconds to import
    prefetch.as_clip = lambda decoded, id_: Clip(id_, decoded.frames, None)
    if decoder is not None:
        batches.shared = decoder
    files = {path.stem: path for path in sorted(videos.glob("*.mp4"))}
    batches.fill(
        Store(store).collection("gallery", KEY),
        [prefetch.Work(name, name, name) for name in files],
        files.__getitem__,
        TWO,
        [compute],
        3,
        "stub",
    )


class Stub(Served):
    """The other end: starts works and waits for each."""

    def __init__(self, videos: Path):
        super().__init__(__file__, str(videos))

    def run(self, store: Path, kill_at: int = 0) -> tuple[int, int]:
        """Fill a store, killed at a touch; the exit code (-9 where killed), and how many touches of
        the store a work took that was not.
        """
        return self.answer(f"{kill_at} {store}\n")


def main(videos: str) -> None:
    for path in Path(videos).glob("*.mp4"):
        Decoded.clips[path] = decode(path, TWO)
    for line in sys.stdin:
        at, _, store = line.rstrip("\n").partition(" ")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            switch = KillSwitch(Path(store), int(at))
            describe_all(Path(store), Path(videos), Decoded)
            os.write(writing, str(switch.touches).encode())
            os._exit(0)
        os.close(writing)
        touches = os.read(reading, 20).decode() or "0"  # nothing comes from one that was killed
        os.close(reading)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), touches, flush=True)


KILLED = -signal.SIGKILL

if __name__ == "__main__":
    main(sys.argv[1])
