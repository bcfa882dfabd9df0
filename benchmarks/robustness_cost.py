"""What keeping everything costs: ``python benchmarks/robustness_cost.py [--clips 2100] [--rounds
2]``.

Describes the same gallery clips side by side, in turns: *bare*, decoded in this process and kept in
memory; and *kept*, through the decoding process, the batches and the store. Prints seconds and
their ratio, round by round and by the medians. Then writes a store of 100,000 records to see that a
shard costs at the end what it cost at the beginning, and how much memory reading it takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np


def bare(run, videos: list[str]) -> float:
    from covrr_utils.backbones.generation import Prompt
    from covrr_utils.reasoning import prompts

    begun, kept = time.perf_counter(), []
    for start in range(0, len(videos), run.config.batch_size):
        asked = [
            Prompt(run.clip(video), prompts.describe())
            for video in videos[start : start + run.config.batch_size]
        ]
        kept += run.backbone.describe(asked, run.generation)
    return time.perf_counter() - begun


def kept(run, videos: list[str]) -> float:
    from covrr_utils.store.collection import Store

    with tempfile.TemporaryDirectory() as folder:
        run.descriptions.store = Store(Path(folder))
        begun = time.perf_counter()
        described = run.descriptions.videos(videos, "kept")
        seconds = time.perf_counter() - begun
        assert len(described) == len(videos) and not described.failures
    return seconds


def growth(records: int, shard: int = 500) -> None:
    import psutil

    from covrr_utils.backbones.description import Description, Record
    from covrr_utils.store.collection import Store

    def record(number: int) -> Record:
        states = np.full((20, 64), number % 100, np.float32)
        return Record(
            str(number),
            Description(
                "t",
                ["t"] * 20,
                np.arange(20),
                states,
                np.zeros(20, np.float32),
                True,
                np.zeros(20, bool),
            ),
        )

    with tempfile.TemporaryDirectory() as folder:
        collection, times = Store(Path(folder)).collection("gallery", {}), []
        for start in range(0, records, shard):
            batch = [record(number) for number in range(start, start + shard)]
            begun = time.perf_counter()
            collection.add(batch)
            times.append(time.perf_counter() - begun)
        tenth = len(times) // 10
        first, last = (1000 * statistics.median(part) for part in (times[:tenth], times[-tenth:]))
        print(
            f"{records:,} records in shards of {shard}: a shard took {first:.1f} ms at the"
            f" beginning, {last:.1f} ms at the end"
        )
        process = psutil.Process(os.getpid())
        begun, before = time.perf_counter(), process.memory_info()
        stored = Store(Path(folder)).collection("gallery", {})
        total = sum(float(found.description.states[0, 0]) for found in stored.records().values())
        after = process.memory_info()
        held = (after.rss - getattr(after, "shared", 0)) - (
            before.rss - getattr(before, "shared", 0)
        )
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
        seconds = time.perf_counter() - begun
        print(
            f"read all of it in {seconds:.0f} s: {size / 1e6:.0f} MB on disk, {held / 1e6:.0f} MB"
            f" more held (checksum {total:.0f})"
        )


def main() -> None:
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--records", type=int, default=100_000)
    arguments = parser.parse_args()
    run = Run(RunConfig())
    videos = list(run.benchmark.gallery[: arguments.clips])
    bare(run, videos[:64])  # once to warm up
    rounds = []
    for number in range(arguments.rounds):
        pair = (
            (bare(run, videos), kept(run, videos))
            if number % 2 == 0
            else tuple(reversed((kept(run, videos), bare(run, videos))))
        )
        rounds.append(pair)
        print(
            f"round {number + 1}: bare {pair[0]:.2f} s, kept {pair[1]:.2f} s, ratio"
            f" {pair[1] / pair[0]:.3f}"
        )
    print(
        f"median ratio {statistics.median(b / a for a, b in rounds):.3f} over {arguments.rounds}"
        f" rounds of {len(videos)} clips"
    )
    growth(arguments.records)


if __name__ == "__main__":
    main()
