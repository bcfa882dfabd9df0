"""How cost grows with the number of clips and the size of the gallery: ``python
benchmarks/growth.py``.

Twice the clips should take twice the time to describe, and a gallery of twice the size twice the
time to rank; the last column shows seconds a clip, or a gallery video, in multiples of the first
row.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import numpy as np
from describe import ours
from timing import aligned, in_turn, spread

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.retrieval.search import search


def grown(
    title: str, sizes: Sequence[int], work: Callable[[int], Callable[[], object]], rounds: int
) -> str:
    """A table of the seconds that work of each size takes."""
    timed = in_turn({str(size): work(size) for size in sizes}, rounds)
    each = [statistics.median(timed[str(size)].processor) / size for size in sizes]
    rows = [
        [f"{size:,}", spread(timed[str(size)].processor), f"{seconds / each[0]:.2f}"]
        for size, seconds in zip(sizes, each, strict=True)
    ]
    return f"\n{title}\n" + aligned([["", "processor s", "each, x first"], *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--galleries", type=int, nargs="+", default=[5_000, 10_000, 20_000, 40_000])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=96, help="new tokens at most")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    benchmark, backbone = load_benchmark("mini"), Backbone.load("mini-3m", "cpu")
    files = [benchmark.video_path(video) for video in benchmark.gallery[: max(options.clips)]]
    print(
        grown(
            "clips described",
            options.clips,
            lambda count: lambda: ours(backbone, files[:count], options.tokens),
            options.rounds,
        )
    )
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((max(options.galleries), options.width), np.float32)
    queries = rng.standard_normal((options.queries, options.width), np.float32)
    targets = rng.integers(0, min(options.galleries), options.queries).tolist()
    left_out: list[set[int]] = [set()] * options.queries
    print(
        grown(
            f"videos ranked for {options.queries} queries",
            options.galleries,
            lambda count: lambda: search(queries, gallery[:count], targets, left_out, 50),
            options.rounds,
        )
    )


if __name__ == "__main__":
    main()
