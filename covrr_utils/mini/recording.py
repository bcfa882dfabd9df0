"""Records what a mini backbone writes about the mini benchmarks, and the vectors of that on mini:
``python -m covrr_utils.mini.recording mini-1m`` writes two files into ``data/measured/sizes``, see
`covrr_utils.experiments.recorded`. What the store holds is not computed again.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from safetensors.numpy import save

from covrr_utils.backbones.description import Outcomes
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.recorded import POOLED, recorded_file, vectors_of
from covrr_utils.experiments.run import Run
from covrr_utils.experiments.stored import Described
from covrr_utils.files import write_atomically
from covrr_utils.mini.recipes import RECIPES

GALLERY = "gallery"

STRATEGIES = ("single_stage", "two_stage", "gold_trace")

BY_GRAMMAR = "two_stage, lines"  # a grammar stands behind the comma

VALIDATED = (GALLERY, *STRATEGIES)  # of mini-val: what the accuracies of the cards are made of

WITH_VECTORS = (GALLERY, "single_stage", "two_stage")  # of mini: what is ranked


def entries_of(backbone: str) -> list[tuple[str, str]]:
    """What is recorded of a backbone: benchmark, and ``gallery`` or strategy. Of the default
    backbone that is only what `make run` does not measure anyhow.
    """
    whole = (GALLERY, *STRATEGIES, BY_GRAMMAR)
    of_mini = (BY_GRAMMAR,) if backbone == RunConfig().backbone else whole
    return [("mini", what) for what in of_mini] + [("mini-val", what) for what in VALIDATED]


def descriptions_of(run: Run, what: str) -> Outcomes[Described]:
    """The descriptions that an entry of `entries_of` names."""
    strategy, _, grammar = what.partition(", ")
    if strategy == GALLERY:
        return run.gallery()
    described = (run.variant(grammar=grammar) if grammar else run).queries(strategy)
    return Outcomes(described, described.failures)


def rows_of(benchmark: str, what: str, described: Outcomes[Described]) -> list[dict]:
    """A head with the key of the store, and a row for each description.

    Raises
    ------
    ValueError
        If one failed: what is recorded is whole.
    """
    for failure in described.failures.values():
        raise ValueError(f"{failure.id} of {benchmark} failed ({failure.cause}): {failure.message}")
    items = list(described.values())
    head = {"benchmark": benchmark, "of": what, "key": items[0].record.collection.folder.name}
    return [head] + [
        {
            "id": item.id,
            "stored": item.record.stored,
            "text": item.text,
            "ended": item.ended,
            "extra": item.record.extra | {"seconds": round(item.record.extra["seconds"], 4)},
        }
        for item in items
    ]


def record(backbone: str) -> None:
    """Write the two files of a backbone."""
    rows: list[dict] = []
    matrices = {}
    runs = {
        name: Run(RunConfig(benchmark=name, backbone=backbone)) for name in ("mini", "mini-val")
    }
    for benchmark, what in entries_of(backbone):
        run = runs[benchmark]
        described = descriptions_of(run, what)
        head, *others = rows_of(benchmark, what, described)
        rows += [head, *others]
        if benchmark == "mini" and what in WITH_VECTORS:
            vectors = run.pooled(described, *POOLED)
            matrices[head["key"]] = np.stack([vectors[id_] for id_ in described])
    path = recorded_file(backbone)
    lines = "".join(
        json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows
    )
    write_atomically(path, lines.encode())
    write_atomically(vectors_of(path), save(matrices))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m covrr_utils.mini.recording", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES), help="which backbones")
    for name in parser.parse_args().names:
        record(name)


if __name__ == "__main__":
    main()
