"""What the documents say is so: cards agree with recipes and checkpoints, the README's results with
a run.
"""

import json
import re

import pandas as pd
import pytest

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.mini.card import card
from covrr_utils.mini.recipes import RECIPES

# percent points: another processor rounds differently, and a rank or two may change
TOLERANCE = 1.0


@pytest.mark.parametrize("name", sorted(list_backbones()))
def test_model_cards_are_what_their_command_writes(name):
    folder = paths.backbones_dir() / name
    measured = pd.read_csv(folder / "accuracy.csv")
    assert (folder / "README.md").read_text() == card(
        name, measured, Backbone.load(name, device="cpu").parameters()
    )
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(50, RECIPES[name].steps + 1, 50)), (
        "the log is that of the whole training"
    )


def test_sizes_are_at_least_three_times_apart():
    sizes = sorted(Backbone.load(name, device="cpu").parameters() for name in list_backbones())
    assert all(larger >= 3 * smaller for smaller, larger in zip(sizes, sizes[1:]))


def table_of(heading: str) -> dict[str, list[str]]:
    """The first table below a line of the README that starts with ``heading``: first cell -> the
    others.
    """
    text = (paths.ROOT / "README.md").read_text()
    rows = re.findall(r"^\|(.+)\|$", text[text.index(heading) :].split("\n\n")[1], re.M)
    return {
        first.strip(): [cell.strip() for cell in cells]
        for first, *cells in (row.split("|") for row in rows[2:])
    }


def test_the_readme_reports_what_a_run_measures():
    run = Run(RunConfig(device="cpu"))
    rows = table_of("**Measured here, mini**")
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


def test_the_readme_reports_every_size():
    rows = {
        re.match(r"\[(.+?)\]", name)[1]: cells for name, cells in table_of("**By size**").items()
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


def test_every_notebook_is_in_the_readme():
    text = (paths.ROOT / "README.md").read_text()
    for path in paths.notebooks_dir().glob("*.ipynb"):
        assert f"(notebooks/{path.name})" in text, path.name
