"""Runs to be killed, each made by a copy of a process that has imported what takes long."""

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import copies
from kill_switch import KillSwitch

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

KILLED = -signal.SIGKILL

# the smallest one whose numbers do not depend on how batches are cut: of mini-1m, whose widths are
# no multiple of 32, PyTorch computes the last elements of a batch by other instructions
BACKBONE = "mini-3m"


def reranking(benchmark: str) -> Run:
    """A run that reranks the first three candidates, two videos at a time."""
    config = RunConfig(
        benchmark=benchmark,
        backbone=BACKBONE,
        device="cpu",
        batch_size=2,
        scorers=["bm25"],
        rerank="likelihood",
        rerank_depth=3,
    )
    return Run(config)


def rerank(benchmark: str, at: int) -> KillSwitch:
    """Score the first three candidates of every query and keep the result; what has to be described
    is described before.
    """
    run = reranking(benchmark)
    run.queries("two_stage")
    run.gallery()
    switch = KillSwitch(paths.runs_dir(), at)
    run.evaluate("two_stage")
    return switch


def whole(benchmark: str, at: int) -> KillSwitch:
    """Describe the gallery, ask two strategies, and keep the results."""
    config = RunConfig(
        benchmark=benchmark, backbone=BACKBONE, batch_size=4, device="cpu", samples=2, limit=4
    )
    switch = KillSwitch(paths.runs_dir(), at)
    run = Run(config)
    for strategy in ("two_stage", "self_consistency"):
        run.evaluate(strategy)
    return switch


WORKS = {work.__name__: work for work in (rerank, whole)}


def _make(work: str, benchmark: str, runs: str, kill_at: int, told: Connection) -> None:
    os.environ["COVRR_RUNS"] = runs
    told.send(WORKS[work](benchmark, kill_at).touches)


def make(work: str, benchmark: Path, runs: Path, kill_at: int = 0) -> tuple[int, int]:
    """Make a run of `WORKS`, killed at a touch (`kill_switch`) of its runs folder; the exit code
    (-9 where killed), and how many touches one took that was not.
    """
    told, telling = copies.OF_A_WARM_ONE.Pipe(duplex=False)
    process = copies.start(_make, work, str(benchmark), str(runs), kill_at, telling)
    telling.close()
    process.join()
    code = process.exitcode
    assert code is not None
    return code, 0 if code else told.recv()
