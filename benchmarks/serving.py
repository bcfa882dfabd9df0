"""Descriptions and queries through a server that fails now and then, against the same in this
process: are the texts the same, how far are the states apart, and is anything lost?

    python benchmarks/serving.py --queries 400
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import numpy as np
from stand_in import Faults, serving

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--queries", type=int, default=400)
    options.add_argument("--backbone", default="mini-3m")
    options.add_argument("--strategy", default="two_stage")
    options.add_argument("--in-flight", type=int, default=32)
    options.add_argument("--seconds", type=float, default=240.0, help="for one whole answer")
    options.add_argument("--hangs", type=int, default=1)
    asked = options.parse_args()
    usual = {"backbone": asked.backbone, "device": "cpu", "limit": asked.queries}
    local = Run(RunConfig(**usual))
    begun = time.perf_counter()
    expected = local.queries(asked.strategy)
    print(f"in this process: {len(expected)} queries, {time.perf_counter() - begun:.0f} s")
    faults = Faults(dropped=0.05, busy=0.02, failing=0.02, hangs=asked.hangs)
    with tempfile.TemporaryDirectory() as runs, serving(local.backbone, faults) as server:
        os.environ["COVRR_RUNS"] = runs
        config = RunConfig(
            **usual, engine=server.address, in_flight=asked.in_flight, answer_seconds=asked.seconds
        )
        served, begun = Run(config, local.backbone), time.perf_counter()
        queries = served.queries(asked.strategy)
        print(f"through the server: {len(queries)} queries, {time.perf_counter() - begun:.0f} s")
        counts = ", ".join(f"{count} {what}" for what, count in sorted(faults.counts.items()))
        print(f"requests: {counts}")
        same = sum(queries[id_].text == query.text for id_, query in expected.items())
        traces = sum(queries[id_].written == query.written for id_, query in expected.items())
        apart = max(
            float(np.abs(query.description.states - expected[id_].description.states).max())
            for id_, query in queries.items()
        )
        print(f"{same} of {len(expected)} descriptions and {traces} traces equal")
        print(f"states at most {apart:.2g} apart (both as float16)")
        print(f"lost: {len(queries.failures) - len(expected.failures)}")


if __name__ == "__main__":
    main()
