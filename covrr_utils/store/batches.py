"""Long work, batch by batch: what is finished is stored at once, what fails is recorded with its
cause, and nothing stops the rest.

- clips are decoded ahead, in a process of its own (`covrr_utils.store.prefetch`)
- a batch that does not fit into memory, or has states that are not finite, is halved, down to the
  one item that is at fault
- Ctrl-C, a full disk or a killed process lose at most the batch in flight; the same command goes on
  from there
"""

from __future__ import annotations

import gc
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, NotFinite, Record
from covrr_utils.files import DiskFull
from covrr_utils.store.collection import Collection
from covrr_utils.store.prefetch import Items, Prefetch, Work
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import Decoder, shared

WORTH_SAYING = 120.0  # seconds of work that is left: below, a progress bar says enough

RESERVE = 64 * 1024**2  # bytes of disk that are not to be filled

Compute = Callable[[Items], tuple[list[Record], list[Failure]]]


def fill(
    collection: Collection,
    work: Sequence[Work],
    path_of: Callable[[str], Path],
    sampling: Sampling,
    compute: Compute,
    size: int,
    desc: str,
) -> None:
    """Compute what ``work`` lists and ``collection`` lacks, ``size`` at a time, with a progress
    bar.

    ``path_of`` gives a video's file or raises `ClipError`; ``compute`` turns (id, clip) pairs into
    records and failures. A record has the id of its item, or the name under which it is stored.
    What is stored under one name is computed once. A clip that is the only one is decoded in the
    process for single clips, which may have started already.

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
    done = 0
    with (
        Decoder() if len(missing) > 1 else nullcontext(shared()) as decoder,
        Prefetch(decoder, missing, path_of, sampling, 3 * size) as clips,
        tqdm(total=len(missing), desc=desc, mininterval=1) as bar,
    ):
        try:
            while done < len(missing):
                begun, batch = time.perf_counter(), clips.batch(size)
                records, failed, fits = _halving(compute, batch.ready)
                stored = {item.id: item.stored for item in batch.work}
                failures = batch.failures + failed + keep(collection, records, stored)
                del batch  # the frames of two batches are never held at once
                collection.record_failures(
                    replace(failure, id=stored[failure.id]) for failure in failures
                )
                size, done = min(size, fits), done + len(stored)
                bar.update(len(stored))
                if done == len(stored) < len(missing):
                    seconds = time.perf_counter() - begun
                    _estimate(collection, done, len(missing) - done, seconds, desc)
        except KeyboardInterrupt:
            tqdm.write(
                f"{desc}: stopped. {done} of {len(missing)} are done and stored; run the same again"
                " to go on from there.",
                file=sys.stderr,
            )
            raise


def _halving(compute: Compute, items: Items) -> tuple[list[Record], list[Failure], int]:
    """Compute, in halves where the whole does not go; also how many items at once turned out to
    fit.
    """
    if not items:
        return [], [], sys.maxsize
    try:
        return *compute(items), sys.maxsize
    except NotFinite as error:
        fits, cause, message = sys.maxsize, "states not finite", str(error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        fits, cause = max(len(items) // 2, 1), "out of memory"
    _free_memory()
    if len(items) == 1:
        return [], [Failure(items[0][0], "model", cause, message)], fits
    middle = len(items) // 2
    first, first_failed, first_fits = _halving(compute, items[:middle])
    second, second_failed, second_fits = _halving(compute, items[middle:])
    return first + second, first_failed + second_failed, min(fits, first_fits, second_fits)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, CUDA's, or the CPU allocator's."""
    message = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "out of memory" in message
        or "can't allocate memory" in message
        or "not enough memory" in message
    )


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


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
