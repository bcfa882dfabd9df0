"""A run on a Ray cluster of two nodes on this machine, one CPU each, against the same run in one
process: are ranks, texts and states the same, is anything lost or stored twice, also where a worker
is killed or a node is removed in the middle?

    python benchmarks/cluster.py --benchmark mini --lose nothing worker node

A worker is killed with -9. A node is removed without grace: all its processes at once. Both happen
as soon as so many files of the store are written (``--after``). A machine that is busy with other
work may be too slow for Ray, which gives its own processes 15 to 30 seconds to
start.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from covrr_utils.backbones.description import Description
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.results import Result
from covrr_utils.experiments.run import Run
from covrr_utils.store.journal import Announced, Journal

NOTHING, WORKER, NODE = LOSSES = ("nothing", "worker", "node")

STARTS = 3  # of Ray that are tried

Stored = dict[tuple[str, str], Description]  # by what it describes and id


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what became of each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--benchmark", default="mini-val")
    parser.add_argument("--backbone", default="mini-1m")
    parser.add_argument("--strategy", default="two_stage")
    parser.add_argument("--limit", type=int, help="only the first N triplets")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rerank", help="a second look too, such as likelihood")
    parser.add_argument("--lose", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--after", type=int, default=6, help="files of the store")
    options = parser.parse_args(arguments)
    config = RunConfig(
        benchmark=options.benchmark,
        backbone=options.backbone,
        device="cpu",
        limit=options.limit,
        batch_size=options.batch_size,
        rerank=options.rerank,
    )
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVRR_RUNS"] = str(Path(folder) / "one")
        begun = time.perf_counter()
        expected = _done(config, options.strategy)
        print(f"one process: {len(expected[1]):,} stored, {time.perf_counter() - begun:.0f} s")
        for loss in options.lose:
            runs = Path(folder) / loss
            os.environ["COVRR_RUNS"] = str(runs)
            with two_nodes() as (cluster, second):
                watch = {
                    NOTHING: lambda: None,
                    WORKER: lambda: _kill_a_worker(cluster),
                    NODE: lambda: cluster.remove_node(second, allow_graceful=False),
                }[loss]
                begun = time.perf_counter()
                with losing(watch, runs / "store", options.after):
                    spread = config.replace(
                        engine="ray", ray_address=cluster.address, ray_workers=2
                    )
                    got = _done(spread, options.strategy)
                seconds = time.perf_counter() - begun
            print(f"two nodes, {loss} lost, {seconds:.0f} s: {_compared(expected, got, runs)}")


@contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A Ray cluster of two nodes of one CPU each, and the second node, which may be removed."""
    from ray.cluster_utils import Cluster

    for left in reversed(range(STARTS)):
        cluster = Cluster()
        try:
            cluster.add_node(include_dashboard=False)
            second = cluster.add_node()
            break
        except Exception as error:  # Ray raises plain exceptions here
            cluster.shutdown()
            if not left:
                raise
            print(f"Ray did not start ({error}); once more")
    try:
        yield cluster, second
    finally:
        cluster.shutdown()


@contextmanager
def losing(what: Callable[[], None], store: Path, after: int) -> Iterator[None]:
    """Meanwhile, as soon as ``after`` shards lie in a store, lose something.

    Raises
    ------
    RuntimeError
        If all was over before.
    """
    over = threading.Event()
    lost: list[bool] = []

    def watch() -> None:
        while not over.wait(0.05):
            if len(list(store.rglob("*.safetensors"))) >= after:
                what()
                lost.append(True)
                return

    watcher = threading.Thread(target=watch)
    with ExitStack() as stack:
        stack.callback(watcher.join)
        stack.callback(over.set)
        watcher.start()
        yield
    if not lost:
        raise RuntimeError(f"fewer than {after} files were written, so nothing was lost in time")


def _kill_a_worker(cluster: Any) -> None:
    """End one process of the cluster that has loaded the model, at once."""
    raylets = {
        info.process.pid
        for node in cluster.list_all_nodes()
        for info in node.all_processes["raylet"]
    }
    for pid in raylets:
        for child in psutil.Process(pid).children():
            if "ray::Worker" in " ".join(child.cmdline()):
                child.kill()
                return
    raise RuntimeError("no worker is there")


def _done(config: RunConfig, strategy: str) -> tuple[Result, Stored]:
    """A result, and all that was stored for it."""
    run = Run(config)
    try:
        result = run.evaluate(strategy, save=False)
        outcomes = {"gallery": run.gallery(), strategy: run.queries(strategy)}
        return result, {
            (name, id_): described[id_].description
            for name, described in outcomes.items()
            for id_ in described
        }
    finally:
        run.release()


def _compared(expected: tuple[Result, Stored], got: tuple[Result, Stored], runs: Path) -> str:
    """Whether both runs gave the same, and what was lost or stored twice on the way."""
    (result, stored), (other, spread) = expected, got
    both = stored.keys() & spread.keys()
    same = {
        "texts": sum(stored[id_].text == spread[id_].text for id_ in both),
        "states": sum(np.array_equal(stored[id_].states, spread[id_].states) for id_ in both),
    }
    ranks = sum(one == two for one, two in zip(result.ranks, other.ranks, strict=True))
    ids = [
        (path.parent, id_)
        for path in runs.rglob("journal.jsonl")
        for line in Journal(path).news()
        if isinstance(line, Announced)
        for id_ in line.ids
    ]
    return (
        f"{ranks} of {len(result.ranks)} ranks, {same['texts']:,} texts and {same['states']:,}"
        f" states of {len(stored):,} equal bit for bit; lost: {len(stored) - len(both)}, stored"
        f" twice: {len(ids) - len(set(ids))}"
    )


if __name__ == "__main__":
    main()
