"""Runs to be killed: ``python forked_runs.py`` makes one for each pair of lines
``WORK KILL_AT BENCHMARK`` and ``RUNS`` that it reads, in a copy of itself that has imported what
takes long, and answers each with the exit code and the number of touches (`kill_switch`) of the
runs folder.
"""

import os
import signal
import sys
from pathlib import Path

from kill_switch import KillSwitch
from served import Served

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

KILLED = -signal.SIGKILL


def reranking(benchmark: str) -> Run:
    """A run that reranks the first three candidates, two videos at a time."""
    config = RunConfig(
        benchmark=benchmark,
        backbone="mini-1m",
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
        benchmark=benchmark, backbone="mini-1m", batch_size=2, device="cpu", samples=2
    )
    switch = KillSwitch(paths.runs_dir(), at)
    run = Run(config)
    for strategy in ("two_stage", "self_consistency"):
        run.evaluate(strategy)
    return switch


WORKS = {work.__name__: work for work in (rerank, whole)}


class ForkedRuns(Served):
    """The other end: has runs made, and waits for each."""

    def __init__(self) -> None:
        super().__init__(__file__)

    def run(self, work: str, benchmark: Path, runs: Path, kill_at: int = 0) -> tuple[int, int]:
        """Make a run of `WORKS`, killed at a touch; the exit code (-9 where killed), and how many
        touches of its runs folder one took that was not.
        """
        return self.answer(f"{work} {kill_at} {benchmark}\n{runs}\n")


def main() -> None:
    import transformers  # what takes longest to import, as far as it starts no thread

    assert transformers.Qwen3VLForConditionalGeneration and transformers.AutoProcessor
    while line := sys.stdin.readline():
        work, at, benchmark = line.rstrip("\n").split(" ", 2)
        os.environ["COVRR_RUNS"] = sys.stdin.readline().rstrip("\n")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            switch = WORKS[work](benchmark, int(at))
            os.write(writing, str(switch.touches).encode())
            sys.exit()
        os.close(writing)
        touches = os.read(reading, 20).decode() or "0"  # nothing comes from one that was killed
        os.close(reading)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), touches, flush=True)


if __name__ == "__main__":
    main()
