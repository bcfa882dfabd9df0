"""How well a mini backbone sees and reasons: ``python -m covrr_utils.mini.accuracy mini-3m
[--benchmark mini-val]``.

In the mini world the truth is known, so accuracy is counted attribute by attribute: in gallery
descriptions against what each clip shows, in traces against what holds after the edit. What is not
stated, and what could not be computed, counts as wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.mini.build import shots_of
from covrr_utils.mini.captions import read_description, read_trace, slot_accuracy
from covrr_utils.mini.world import ATTRIBUTES, Shot


def gallery_accuracy(run: Run) -> dict[str, float]:
    """Per attribute, the share of gallery descriptions that state it rightly; ``mean`` is their
    mean over the eight attributes.
    """
    shots, gallery = _shots(run), run.gallery()
    stated = [
        read_description(gallery[video].text) if video in gallery else {}
        for video in run.benchmark.gallery
    ]
    return _with_mean(slot_accuracy(stated, [shots[video] for video in run.benchmark.gallery]))


def trace_accuracy(run: Run, strategy: str = "two_stage") -> dict[str, float]:
    """Per attribute, the share of a strategy's traces whose value after the edit is the target's;
    ``mean`` as above.
    """
    queries = run.queries(strategy)
    traces = [queries[t.id].trace if t.id in queries else None for t in run.benchmark.triplets]
    stated = [read_trace(trace) if trace else {} for trace in traces]
    return _with_mean(slot_accuracy(stated, _target_shots(run)))


def query_accuracy(run: Run, strategy: str) -> dict[str, float]:
    """Per attribute, the share of a strategy's descriptions after the edit that state what the
    target shows.
    """
    queries = run.queries(strategy)
    stated = [
        read_description(queries[t.id].text) if t.id in queries else {}
        for t in run.benchmark.triplets
    ]
    return _with_mean(slot_accuracy(stated, _target_shots(run)))


def measured(run: Run) -> dict[str, dict[str, float]]:
    """All of the above: gallery descriptions, traces, descriptions after the edit by strategy."""
    return {
        "gallery descriptions": gallery_accuracy(run),
        "traces": trace_accuracy(run),
        **{
            f"after the edit, {name}": query_accuracy(run, name)
            for name in ("single_stage", "two_stage", "gold_trace")
        },
    }


def _shots(run: Run) -> Mapping[str, Shot]:
    return shots_of(
        "test" if run.benchmark.name == "mini" else run.benchmark.name.removeprefix("mini-")
    )


def _target_shots(run: Run) -> list[Shot]:
    """What the target of every triplet shows, in the order of the triplets."""
    shots = _shots(run)
    return [shots[t.target] for t in run.benchmark.triplets if t.target is not None]


def _with_mean(accuracy: dict[str, float]) -> dict[str, float]:
    return {**accuracy, "mean": sum(accuracy[name] for name in ATTRIBUTES) / len(ATTRIBUTES)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m covrr_utils.mini.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("backbone", help="embedded backbone or checkpoint folder")
    parser.add_argument("--benchmark", default="mini", choices=["mini", "mini-val"])
    arguments = parser.parse_args()
    rows = measured(Run(RunConfig(benchmark=arguments.benchmark, backbone=arguments.backbone)))
    print(
        json.dumps(
            {name: {k: round(v, 4) for k, v in row.items()} for name, row in rows.items()}, indent=1
        )
    )


if __name__ == "__main__":
    main()
