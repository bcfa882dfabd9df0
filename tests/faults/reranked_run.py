"""A reranking, to be killed: ``python reranked_run.py BENCHMARK KILL_AT`` scores the first three
candidates
of every query, keeps the result, and prints how many touches (`kill_switch`) of the runs folder
that took. What has to be described is described before.
"""

import sys

from kill_switch import KillSwitch

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run


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


if __name__ == "__main__":
    run = reranking(sys.argv[1])
    run.queries("two_stage")
    run.gallery()
    switch = KillSwitch(paths.runs_dir(), int(sys.argv[2]))
    run.evaluate("two_stage")
    print(switch.touches)
