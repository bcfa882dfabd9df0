"""Ranking a large gallery, such as ``python benchmarks/ranking.py --galleries 2100 1000000 --width
1024 --csv growth.csv --figure growth.png``.

Random vectors of half precision are written to a file and searched as a memory map: the best 50 and
the rank of every query's target. Prints, for each size of the gallery, the seconds beside those of
the matrix product alone (the same blocks, converted and multiplied, nothing else) and of faiss's
flat search; the memory that the process had at most; and that ranks and best videos are those of
ranking all at once, for the first queries.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from timing import Timed, in_turn, table

from covrr_utils import files
from covrr_utils.retrieval.blocks import converted
from covrr_utils.retrieval.flat import faiss_best
from covrr_utils.retrieval.ranking import rank_of_target, similarities, top
from covrr_utils.retrieval.search import search
from covrr_utils.spreadsheet import csv_bytes

BEST = 50

NOISE = 20.0  # of a query, in lengths of its target: some targets come first and some do not

PRODUCT, BLOCKS, FAISS = "matrix product alone", "in blocks", "faiss, flat"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each size of the gallery, and draw them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galleries", type=int, nargs="+", default=[100_000])
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--checked", type=int, default=8, help="queries ranked in both ways")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path, help="where to write what was measured")
    parser.add_argument("--figure", type=Path, help="where to draw the growth")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    timed: dict[int, dict[str, Timed]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.npy"
        _write(path, max(options.galleries), options.width, rng)
        for size in options.galleries:
            gallery = np.load(path, mmap_mode="r")[:size]
            timed[size] = _timed(gallery, options, rng)
    rows = _rows(timed, options)
    if options.csv:
        files.write_atomically(options.csv, csv_bytes(rows))
    if options.figure:
        _draw(rows, options)


def _timed(
    gallery: np.ndarray, options: argparse.Namespace, rng: np.random.Generator
) -> dict[str, Timed]:
    """Three ways of searching one gallery, checked and timed."""
    size, width = gallery.shape
    targets = rng.integers(0, size, options.queries).tolist()
    noise = rng.standard_normal((options.queries, width), np.float32)
    queries = gallery[targets].astype(np.float32) + NOISE * noise
    left_out = [{(target + 1) % size} for target in targets]
    few = slice(options.checked)
    ways: dict[str, Callable[[], object]] = {
        PRODUCT: lambda: _multiply(queries, gallery),
        BLOCKS: lambda: search(queries, gallery, targets, left_out, BEST),
        FAISS: lambda: faiss_best(queries, gallery, left_out, BEST),
    }
    grown = _most_memory(ways[BLOCKS])  # first, as memory that was freed is not given back
    _check(queries[few], gallery, targets[few], left_out[few])
    timed = in_turn(ways, options.rounds)
    print(table(timed, f"{size:,} x {width:,}, float16 on disk, {options.queries} queries"))
    print(f"memory beside the map: at most {grown / 1e6:.0f} MB")
    return timed


def _write(path: Path, size: int, width: int, rng: np.random.Generator) -> None:
    """Random vectors of half precision."""
    written = np.lib.format.open_memmap(path, "w+", np.float16, (size, width))
    for start in range(0, size, 4096):
        part = written[start : start + 4096]
        part[:] = rng.standard_normal(part.shape, np.float32)
    written.flush()


def _check(
    queries: np.ndarray, gallery: np.ndarray, targets: Sequence[int], left_out: Sequence[set[int]]
) -> None:
    """Ranks and best videos must be those of all cosines at once, and faiss's the same."""
    cosines = similarities(queries, gallery)
    ranked = search(queries, gallery, targets, left_out, BEST)
    nearest = faiss_best(queries, gallery, left_out, BEST)
    for row, target, out, ours, (places, _) in zip(cosines, targets, left_out, ranked, nearest):
        assert ours.rank == rank_of_target(row, target, out), "blocks rank otherwise"
        assert ours.places.tolist() == top(row, BEST, out).tolist(), "blocks name other videos"
        assert np.allclose(row[places], row[ours.places], atol=1e-6), "faiss names other videos"
    print(f"{len(gallery):,}: ranks {[one.rank for one in ranked]}, as all at once")


def _multiply(queries: np.ndarray, gallery: np.ndarray) -> None:
    """The blocks of the gallery, converted to float32 and multiplied with the queries."""
    single = queries.astype(np.float32)
    for _, _, vectors in converted(gallery):
        single @ vectors.T


def _most_memory(way: Callable[[], object]) -> int:
    """The bytes by which the process grew meanwhile at most, without what is shared with files."""
    process, most, done = psutil.Process(), 0, threading.Event()

    def private() -> int:
        memory = process.memory_info()
        return memory.rss - getattr(memory, "shared", 0)

    before = private()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, private() - before)
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    way()
    done.set()
    watcher.join()
    return most


def _rows(timed: dict[int, dict[str, Timed]], options: argparse.Namespace) -> pd.DataFrame:
    """What was measured: a row for each size and way."""
    setting = {"width": options.width, "queries": options.queries, "rounds": options.rounds}
    return pd.DataFrame(
        [
            {
                "videos": size,
                "name": name,
                "seconds": statistics.median(way.processor),
                "low": min(way.processor),
                "high": max(way.processor),
                "wall": statistics.median(way.wall),
            }
            | setting
            for size, ways in timed.items()
            for name, way in ways.items()
        ]
    ).round(4)


def _draw(rows: pd.DataFrame, options: argparse.Namespace) -> None:
    """Processor time against the size of the gallery, both in logarithms."""
    from covrr_utils.plotting import style
    from covrr_utils.plotting.growth import growth

    style.use()
    title = (
        f"Ranking grows in step with the gallery ({options.queries} queries,"
        f" {options.width:,} numbers a vector)"
    )
    files.write_atomically(options.figure, style.exact_png(growth(rows, title), 150))


if __name__ == "__main__":
    main()
