"""A whole run, to be killed: ``python whole_run.py BENCHMARK KILL_AT`` describes the gallery, asks
two strategies, keeps the results, and prints how many touches (`kill_switch`) of the runs folder
that took.
"""

import sys

from kill_switch import KillSwitch

from covrr_utils import paths
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

if __name__ == "__main__":
    benchmark, at = sys.argv[1:]
    config = RunConfig(
        benchmark=benchmark, backbone="mini-3m", batch_size=2, device="cpu", samples=2
    )
    switch = KillSwitch(paths.runs_dir(), int(at))
    run = Run(config)
    for strategy in ("two_stage", "self_consistency"):
        run.evaluate(strategy)
    print(switch.touches)
