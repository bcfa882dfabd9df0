"""Frames that wait for the model are bounded by their bytes, and whatever one video does costs that
video alone.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from covrr_utils.store import prefetch
from covrr_utils.store.prefetch import Prefetch, Work
from covrr_utils.video import kept as kept_frames
from covrr_utils.video.clips import Clip, ClipError, Decoded, NoRoom, Sampling
from covrr_utils.video.kept import KeptFrames
from covrr_utils.video.scaling import PixelBudget

TWO = Sampling(num_frames=2)

CLIP = 2 * 10 * 10 * 3  # bytes of one clip's frames below


class FakeDecoder:
    """Decodes in one thread, as the real one; ``fates`` are errors by name, each met once or, in a
    list, so many times.
    """

    def __init__(self, fates=None):
        self.fates = fates or {}
        self.threads, self.asked = ThreadPoolExecutor(1), []
        self.allowed, self.lock = threading.Semaphore(0), threading.Lock()
        self.free = True

    def submit(self, path: Path, sampling: Sampling) -> Future:
        return self.threads.submit(self.decode, path.name)

    def decode(self, name):
        self.asked.append(name)
        if not self.free:
            self.allowed.acquire()
        fate = self.fates.get(name)
        if isinstance(fate, list):
            fate = fate.pop() if fate else None
        if fate is not None:
            raise fate
        return Decoded(np.zeros((2, 10, 10, 3), np.uint8), np.arange(2), 2, 1.0, "test", (10, 10))

    def settle(self):
        """Wait until nothing is being decoded or was submitted meanwhile."""
        while True:
            count = len(self.asked)
            self.threads.submit(lambda: None).result()
            self.threads.submit(lambda: None).result()
            if len(self.asked) == count:
                return


@pytest.fixture
def clips(monkeypatch):
    """``clips(decoder, number, window)``: the prefetch of so many videos, named by number."""
    monkeypatch.setattr(prefetch, "as_clip", lambda decoded, id_: Clip(id_, decoded.frames, None))
    opened = []

    def start(decoder, number, window=100, path_of=Path, **options):
        work = [Work(str(n), str(n), str(n)) for n in range(number)]
        opened.append(Prefetch(decoder, work, path_of, TWO, window, **options).__enter__())
        return opened[-1]

    yield start
    for each in opened:
        each.__exit__()


def ids(batch):
    return [id_ for id_, _ in batch.ready]


def test_batches_come_in_order_and_whole(clips):
    taken = clips(FakeDecoder(), 10, window=6)
    assert [ids(taken.batch(4)) for _ in range(3)] == [list("0123"), list("4567"), list("89")]
    assert taken.batch(4).work == []


def test_no_more_is_decoded_ahead_than_the_bytes_allow(clips, monkeypatch):
    monkeypatch.setattr(prefetch, "AHEAD_BYTES", 3 * CLIP)
    decoder = FakeDecoder()
    taken = clips(decoder, 20)
    decoder.settle()
    assert len(decoder.asked) == 3
    taken.batch(2)
    decoder.settle()
    assert len(decoder.asked) == 5


def test_no_more_is_decoded_ahead_than_the_window_allows(clips):
    decoder = FakeDecoder()
    taken = clips(decoder, 20, window=6)
    decoder.settle()
    assert len(decoder.asked) == 6
    taken.batch(2)
    decoder.settle()
    assert len(decoder.asked) == 8


def test_a_batch_whose_frames_weigh_too_much_is_smaller(clips):
    taken = clips(FakeDecoder(), 5, weight=2 * CLIP)
    assert [ids(taken.batch(4)) for _ in range(3)] == [list("01"), list("23"), list("4")]
    assert ids(clips(FakeDecoder(), 5, weight=1).batch(4)) == ["0"], "one clip alone always goes"


@pytest.mark.parametrize("error", [MemoryError(), NoRoom("no room is left")])
def test_frames_without_room_wait_until_the_others_are_gone(clips, error):
    decoder = FakeDecoder({"2": [error]})
    taken = clips(decoder, 5)
    assert ids(taken.batch(4)) == ["0", "1"], "what is there goes to the model first"
    batch = taken.batch(4)
    assert ids(batch) == list("234") and batch.failures == []
    assert taken.window == 1, "from now on nothing waits"


@pytest.mark.parametrize("error", [MemoryError(), NoRoom("no room is left")])
def test_frames_that_do_not_fit_alone_are_a_failure(clips, error):
    taken = clips(FakeDecoder({"1": error}), 3)
    first, second = taken.batch(4), taken.batch(4)
    assert ids(first) == ["0"] and ids(second) == ["2"]
    (failure,) = second.failures
    assert (failure.id, failure.stage, failure.cause) == ("1", "video", "too large")


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        (ClipError("truncated", "0: is cut off"), "truncated", "0: is cut off"),
        (OSError(5, "Input/output error"), "read error", "OSError: [Errno 5] Input/output error"),
        (ZeroDivisionError("a rate of 0"), "not decodable", "ZeroDivisionError: a rate of 0"),
        (RuntimeError(), "not decodable", "RuntimeError: "),
    ],
)
def test_any_error_of_one_video_is_that_videos_failure(clips, error, cause, said):
    batch = clips(FakeDecoder({"1": error}), 3).batch(3)
    assert ids(batch) == ["0", "2"] and [item.id for item in batch.work] == list("012")
    assert [(f.id, f.cause, f.message) for f in batch.failures] == [("1", cause, said)]


def test_videos_that_have_no_path_are_failures_however_many(clips):
    def path_of(video):
        if video != "700":
            raise ClipError("missing", f"{video}: no such file")
        return Path(video)

    batch = clips(FakeDecoder(), 900, window=900, path_of=path_of).batch(900)
    assert ids(batch) == ["700"] and len(batch.failures) == 899


def test_nothing_is_submitted_once_it_is_closed(clips):
    decoder = FakeDecoder()
    decoder.free = False
    taken = clips(decoder, 20)
    taken.__exit__()
    for _ in range(20):
        decoder.allowed.release()
    decoder.settle()
    assert len(decoder.asked) == 1


def test_what_is_asked_for_again_is_decoded_once(clips, monkeypatch):
    """The first that fit and are wanted; and a failure is no frames."""
    monkeypatch.setattr(kept_frames, "KEPT_BYTES", 2 * CLIP)
    decoder, kept = FakeDecoder({"1": ClipError("truncated", "1: is cut off")}), KeptFrames("01345")
    first = clips(decoder, 6, kept=kept).batch(6)
    again = clips(decoder, 6, kept=kept).batch(6)
    assert ids(first) == ids(again) == list("02345")
    assert again.ready[0][1].frames is first.ready[0][1].frames
    assert decoder.asked == [*"012345", *"1245"]
    kept.clear()
    clips(decoder, 2, kept=kept).batch(2)
    assert decoder.asked[10:] == ["0", "1"]


def test_frames_are_kept_for_one_way_of_taking_them():
    kept, decoded = KeptFrames(["a"]), Decoded(np.zeros((2, 4, 4, 3)), [], 2, 1.0, "test", (4, 4))
    kept.keep("a", TWO, decoded)
    assert kept.get("a", Sampling(num_frames=2)) is decoded
    scaled = Sampling(num_frames=2, budget=PixelBudget(9999, 1, None, 32, 2))
    assert kept.get("a", Sampling(num_frames=3)) is kept.get("a", scaled) is None


def test_kept_frames_make_room_where_memory_runs_out(clips):
    kept = KeptFrames("0123")
    taken = clips(FakeDecoder({"2": [MemoryError()]}), 4, kept=kept)
    assert ids(taken.batch(4)) == ["0", "1"]
    assert kept.get("0", TWO) is None
    assert ids(taken.batch(4)) == ["2", "3"]
