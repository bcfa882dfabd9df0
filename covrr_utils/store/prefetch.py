"""Clips are decoded while the model works, in the order of the work, and never more of them than
memory is meant to hold.

The frames that wait are bounded by their bytes, not by their number: thirty-two clips of the mini
world weigh 40 MB, thirty-two minutes of high-definition video more than 100 GB.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from covrr_utils.backbones.description import Failure
from covrr_utils.video.clips import Clip, Decoded, NoRoom, Sampling, as_clip
from covrr_utils.video.decoder import Decoder, submitted, told
from covrr_utils.video.kept import KeptFrames

GIB = 1024**3

AHEAD_BYTES = GIB  # frames that wait for the model; at most one clip more is being decoded

BATCH_BYTES = GIB  # frames of the batches that are computed, unless one clip alone weighs more

Items = Sequence[tuple[str, Clip]]


@dataclass(frozen=True)
class Work:
    """One thing to compute: its id, the id under which it is stored, its video."""

    id: str
    stored: str
    video: str


@dataclass
class Batch:
    """Work that goes to the model together: the clips that are ``ready``, by the work's id, and the
    failures of the others.
    """

    work: list[Work] = field(default_factory=list)
    ready: list[tuple[str, Clip]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What the frames weigh."""
        return sum(clip.frames.nbytes for _, clip in self.ready)


class Prefetch:
    """Decodes the videos of ``work`` one after the other, at most ``window`` items and
    `AHEAD_BYTES` ahead of what is taken, in batches of at most ``weight`` bytes; those that are
    ``kept`` are not decoded again. Use it in a ``with`` block.
    """

    def __init__(
        self,
        decoder: Decoder,
        work: Sequence[Work],
        path_of: Callable[[str], Path],
        sampling: Sampling,
        window: int,
        weight: int = BATCH_BYTES,
        kept: KeptFrames | None = None,
    ):
        self.work, self.window, self.weight = work, window, weight
        self._kept, self._sampling = kept or KeptFrames(), sampling
        self._decoded = lambda video: submitted(decoder, path_of, video, sampling)[1]
        self._lock = threading.Lock()
        self._answers: dict[int, Future[Decoded]] = {}  # submitted and not taken, by number
        self._taken = 0  # so many are taken
        self._begun = 0  # so many are submitted
        self._closed = False

    def __enter__(self) -> Prefetch:
        self._advance()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._closed = True

    @property
    def left(self) -> bool:
        """Whether there is an item that is not taken."""
        return self._taken < len(self.work)

    def batch(self, size: int) -> Batch:
        """The next ``size`` items; fewer at the end, or where their frames would weigh more than
        a batch may.

        Where the frames do not fit into memory, the batch ends before them, and nothing is decoded
        ahead any more; a clip that does not fit alone is a failure.
        """
        batch = Batch()
        while self._taken < len(self.work) and len(batch.work) < size:
            if batch.bytes >= self.weight:
                break
            item = self.work[self._taken]
            try:
                batch.ready.append((item.id, self._next(item)))
            except (NoRoom, MemoryError) as error:
                if batch.ready or self.window > 1:  # what is held may be what takes the room
                    self._start_over()
                    if batch.ready:
                        break
                    continue
                batch.failures.append(Failure(item.id, "video", "too large", str(error)))
            except Exception as error:  # whatever one video does costs that video alone
                fault = told(error)
                batch.failures.append(Failure(item.id, "video", fault.cause, str(fault)))
            batch.work.append(item)
            self._move_on()
        return batch

    def _next(self, item: Work) -> Clip:
        """The clip of the first item that is not taken."""
        self._advance()
        decoded = self._answers[self._taken].result()
        self._kept.keep(item.video, self._sampling, decoded)
        return as_clip(decoded, item.video)

    def _move_on(self) -> None:
        with self._lock:
            del self._answers[self._taken]
            self._taken += 1
        self._advance()

    def _start_over(self) -> None:
        """Let go of everything that is decoded, and from now on decode what is taken next alone."""
        with self._lock:
            self.window = 1
        self._kept.clear()
        for answer in list(self._answers.values()):
            answer.exception()  # waits for the one that is being decoded: its frames are let go too
        with self._lock:
            self._answers.clear()
            self._begun = self._taken

    def _advance(self) -> None:
        """Submit the next video, if there is room for it and none is being decoded."""
        while (answer := self._submitted()) is not None:
            if not answer.done():  # one that is kept, or has no path, is answered at once
                answer.add_done_callback(lambda _: self._advance())
                return

    def _submitted(self) -> Future[Decoded] | None:
        with self._lock:
            number, answers = self._begun, self._answers.values()
            if (
                self._closed
                or number >= min(len(self.work), self._taken + self.window)
                or not all(answer.done() for answer in answers)
                or (answers and sum(map(_weight, answers)) >= AHEAD_BYTES)
            ):
                return None
            self._begun = number + 1
            self._answers[number] = self._submit(self.work[number].video)
            return self._answers[number]

    def _submit(self, video: str) -> Future[Decoded]:
        known = self._kept.get(video, self._sampling)
        if known is None:
            return self._decoded(video)
        answer: Future[Decoded] = Future()
        answer.set_result(known)
        return answer


def _weight(answer: Future[Decoded]) -> int:
    """Bytes of a decoded clip's frames; 0 of an error."""
    failed = answer.cancelled() or answer.exception() is not None
    return 0 if failed else answer.result().frames.nbytes
