"""What documents and cards report is what whole runs measure.

These runs fill the store from which the chapters are served, so this file is begun first.
"""

import re

import pandas as pd
import pytest
from tables import TOLERANCE, table_of

from covrr_utils import paths
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run


def test_the_results_are_what_a_run_measures():
    run = Run(RunConfig(device="cpu"))
    rows = table_of("docs/results.md", "**Measured here, mini**")
    assert set(rows) == {"single_stage", "two_stage", "gold_trace"}
    for strategy, cells in rows.items():
        result = run.evaluate(strategy, save=False)
        for cell, k in zip(cells, result.recall):
            assert float(cell.split()[0]) == pytest.approx(100 * result.recall[k], abs=TOLERANCE), (
                strategy,
                k,
            )
        for cell, implicit in zip(cells[4:6], (True, False)):
            chosen = [
                r
                for r, t in zip(result.ranks, run.benchmark.triplets)
                if ("implicit" in t.tags) == implicit
            ]
            assert float(cell.split()[0]) == pytest.approx(
                100 * sum(r == 1 for r in chosen) / len(chosen), abs=2 * TOLERANCE
            )


def test_the_results_report_every_size():
    rows = {
        re.match(r"\[(.+?)\]", name)[1]: cells
        for name, cells in table_of("docs/results.md", "**By size**").items()
    }
    assert set(rows) == set(list_backbones())
    for name, (
        parameters,
        descriptions,
        traces,
        single_stage,
        two_stage,
        first_ten,
    ) in rows.items():
        run = Run(RunConfig(backbone=name, device="cpu"))
        assert int(parameters.replace(",", "")) == run.backbone.parameters()
        said = pd.read_csv(paths.backbones_dir() / name / "accuracy.csv").set_index(
            ["split", "of"]
        )["mean"]
        for cell, of in ((descriptions, "gallery descriptions"), (traces, "traces")):
            assert float(cell) == pytest.approx(said["mini", of], abs=5.1e-4), (name, of)
        for cell, strategy, k in (
            (single_stage, "single_stage", "1"),
            (two_stage, "two_stage", "1"),
            (first_ten, "two_stage", "10"),
        ):
            result = run.evaluate(strategy, save=False)
            numbers = [float(number) for number in re.findall(r"[\d.]+", cell)]
            measured = [100 * value for value in (result.recall[k], *result.interval[k])]
            assert numbers == pytest.approx(measured, abs=TOLERANCE), (name, strategy, k)


@pytest.mark.parametrize("name", sorted(list_backbones()))
def test_the_accuracies_of_the_cards_are_what_a_run_measures(name):
    from covrr_utils.mini.accuracy import measured

    run = Run(RunConfig(benchmark="mini-val", backbone=name, device="cpu"))
    said = pd.read_csv(paths.backbones_dir() / name / "accuracy.csv").set_index(["split", "of"])
    for of, shares in measured(run).items():
        for attribute, share in shares.items():
            assert said.loc[("mini-val", of), attribute] == pytest.approx(
                share, abs=TOLERANCE / 100
            ), (of, attribute)
