"""Ranking a large gallery: ``python benchmarks/ranking.py [--gallery 100000] [--width 4096]``.

Random vectors of half precision are written to a file and searched as a memory map. Prints seconds,
the memory that the process had at most, and that ranks and best videos are those of ranking all at
once, for the first queries.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from timing import in_turn, table

from covrr_utils.retrieval.ranking import rank_of_target, similarities, top
from covrr_utils.retrieval.search import search

BEST = 50


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gallery", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--checked", type=int, default=8, help="queries ranked in both ways")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path, shape = Path(folder) / "gallery.npy", (options.gallery, options.width)
        written = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        for start in range(0, options.gallery, 4096):
            part = written[start : start + 4096]
            part[:] = rng.standard_normal(part.shape, np.float32)
        written.flush()
        del written
        gallery = np.load(path, mmap_mode="r")
        targets = rng.integers(0, options.gallery, options.queries).tolist()
        noise = rng.standard_normal((options.queries, options.width), np.float32)
        queries = gallery[targets].astype(np.float32) + 20 * noise
        left_out = [{(target + 1) % options.gallery} for target in targets]
        few = slice(options.checked)

        def in_blocks() -> list[tuple[int, list[int]]]:
            found = search(queries[few], gallery, targets[few], left_out[few], BEST)
            return [(each.rank, each.places.tolist()) for each in found]

        def at_once() -> list[tuple[int, list[int]]]:
            cosines = similarities(queries[few], gallery)
            return [
                (rank_of_target(row, target, out), top(row, BEST, out).tolist())
                for row, target, out in zip(cosines, targets[few], left_out[few], strict=True)
            ]

        assert in_blocks() == at_once(), "blocks rank otherwise than all at once"
        ways = {"all at once": at_once, "in blocks": in_blocks}
        what = f"{options.gallery:,} x {options.width:,}, float16 on disk"
        print(table(in_turn(ways, options.rounds), f"{what}, {options.checked} queries"))
        whole = {"in blocks": lambda: search(queries, gallery, targets, left_out, BEST)}
        print(table(in_turn(whole, options.rounds), f"{what}, {options.queries} queries"))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"\nmemory at most {most / 1e9:.2f} GB, of it the file {2 * np.prod(shape) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
