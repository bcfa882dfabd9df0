"""Long work, batch by batch: what is finished is stored at once, what fails is recorded with its
cause, and nothing stops the rest.

- clips are decoded ahead, in a process of its own (`covrr_utils.store.prefetch`), which stays for
  the next work
- several batches are computed at once where there are several ways to compute, each in a thread
- a batch that does not fit into memory, has states that are not finite, or lacks an answer of a
  server, is halved, down to the one item that is at fault
- Ctrl-C, a full disk or a killed process lose at most the batches in flight; the same command goes
  on from there
"""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, NotAnswered, NotFinite, Record
from covrr_utils.backbones.memory import free_memory, out_of_memory
from covrr_utils.files import DiskFull
from covrr_utils.store.collection import Collection
from covrr_utils.store.prefetch import BATCH_BYTES, Batch, Items, Prefetch, Work
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import shared
from covrr_utils.video.kept import KeptFrames

WORTH_SAYING = 120.0  # seconds of work that is left: below, a progress bar says enough

RESERVE = 64 * 1024**2  # bytes of disk that are not to be filled

Compute = Callable[[Items], tuple[list[Record], list[Failure]]]

Outcome = tuple[list[Record], list[Failure], int]  # and how many items at once turned out to fit


def fill(
    collection: Collection,
    work: Sequence[Work],
    path_of: Callable[[str], Path],
    sampling: Sampling,
    computes: Sequence[Compute],
    size: int,
    desc: str,
    kept: KeptFrames | None = None,
) -> None:
    """Compute what ``work`` lists and ``collection`` lacks, ``size`` at a time, with a progress
    bar.

    ``path_of`` gives a video's file or raises `ClipError`; each of the ``computes`` turns (id,
    clip) pairs into records and failures, all alike, one batch at a time. A record has the id of
    its item, or the name under which it is stored. What is stored under one name is computed once.
    Frames that are ``kept`` are not decoded again.

    Raises
    ------
    DiskFull
        If the disk is full, or what is left will not fit on it.
    KeyboardInterrupt
        As it came, after a word on what is stored and how to go on.
    """
    lacking = set(collection.missing(item.stored for item in work))
    missing = list({item.stored: item for item in work if item.stored in lacking}.values())
    if not missing:
        return
    done, lanes = 0, len(computes)
    window, weight = (lanes + 2) * size, BATCH_BYTES // lanes
    with (
        Prefetch(shared(), missing, path_of, sampling, window, weight, kept) as clips,
        Lanes(computes) as side_by_side,
        tqdm(total=len(missing), desc=desc, mininterval=1) as bar,
    ):
        started: deque[tuple[Batch, Callable[[], Outcome]]] = deque()
        try:
            begun = time.perf_counter()
            while done < len(missing):
                while clips.left and len(started) < lanes:
                    batch = clips.batch(size)
                    started.append((batch, side_by_side.start(batch.ready)))
                batch, outcome = started.popleft()
                records, failed, fits = outcome()
                stored = {item.id: item.stored for item in batch.work}
                failures = batch.failures + failed + keep(collection, records, stored)
                del batch, outcome  # their frames make room for the next batch
                collection.record_failures(
                    replace(failure, id=stored[failure.id]) for failure in failures
                )
                size, done = min(size, fits), done + len(stored)
                bar.update(len(stored))
                if done == len(stored) < len(missing):
                    seconds = (time.perf_counter() - begun) / lanes
                    _estimate(collection, done, len(missing) - done, seconds, desc)
        except KeyboardInterrupt:
            tqdm.write(
                f"{desc}: stopped. {done} of {len(missing)} are done and stored; run the same again"
                " to go on from there.",
                file=sys.stderr,
            )
            raise


class Lanes:
    """Batches on their way, in turn through each of the ``computes``: in this thread where there is
    one, else each in a thread of its own. Use it in a ``with`` block, which ends when they have.
    """

    def __init__(self, computes: Sequence[Compute]):
        self._computes = itertools.cycle(computes)
        alone = len(computes) == 1
        threads = [] if alone else [ThreadPoolExecutor(1, "batches") for _ in computes]
        self._threads, self._turns = threads, itertools.cycle(threads)

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, *exception: object) -> None:
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)

    def start(self, items: Items) -> Callable[[], Outcome]:
        """Start to compute; the function that is given back waits for the outcome."""
        compute = next(self._computes)
        if not self._threads:
            return lambda: _halving(compute, items)
        return next(self._turns).submit(_halving, compute, items).result


def _halving(compute: Compute, items: Items) -> Outcome:
    """Compute, in halves where the whole does not go; also how many items at once turned out to
    fit.
    """
    if not items:
        return [], [], sys.maxsize
    try:
        return *compute(items), sys.maxsize
    except NotFinite as error:
        fits, cause, message = sys.maxsize, "states not finite", str(error)
    except NotAnswered as error:
        fits, cause, message = sys.maxsize, "no answer", str(error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        fits, cause = max(len(items) // 2, 1), "out of memory"
    free_memory()
    if len(items) == 1:
        return [], [Failure(items[0][0], "model", cause, message)], fits
    middle = len(items) // 2
    first, first_failed, first_fits = _halving(compute, items[:middle])
    second, second_failed, second_fits = _halving(compute, items[middle:])
    return first + second, first_failed + second_failed, min(fits, first_fits, second_fits)


def keep(
    collection: Collection, records: Sequence[Record], stored: Mapping[str, str]
) -> list[Failure]:
    """Write one shard, each record under ``stored[record.id]``, or under its own id where that says
    nothing of it: an item of work may give several records. One whose states float16 cannot hold
    becomes a failure, the others are written.

    What another process has stored meanwhile is left as it is.
    """
    named = [
        Record(stored.get(record.id, record.id), record.description, record.extra)
        for record in records
        if stored.get(record.id, record.id) not in collection
    ]
    try:
        collection.add(named)
    except NotFinite as error:
        if len(records) == 1:
            return [Failure(records[0].id, "model", "states not finite", str(error))]
        return [failure for record in records for failure in keep(collection, [record], stored)]
    return []


def _estimate(collection: Collection, done: int, left: int, seconds: float, desc: str) -> None:
    """After the first batch: say how long the rest takes and how much disk it needs, and stop if
    the disk has not got it.
    """
    size = sum(path.stat().st_size for path in collection.folder.glob("*.safetensors")) / max(
        len(collection), 1
    )
    needed, free = size * left, shutil.disk_usage(collection.folder).free
    if needed + RESERVE > free:
        raise DiskFull(
            f"{desc}: the {left} that are left need about {needed / 1e9:.1f} GB in"
            f" {paths.relative(collection.folder)}, and {free / 1e9:.1f} GB are free. What is done"
            " is stored; make room, or set COVRR_RUNS to a folder on a larger disk, and run the"
            " same command again"
        )
    if left * seconds / done > WORTH_SAYING:
        minutes = left * seconds / done / 60
        tqdm.write(
            f"{desc}: about {minutes:.0f} min and {needed / 1e6:.0f} MB for the {left} that are"
            " left; it can be interrupted",
            file=sys.stderr,
        )
