"""What documents and cards report is what whole runs measure.

These runs fill the store from which the chapters are served, so this file is begun first.
"""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from filling import filling_run
from tables import TOLERANCE, table_of

from covrr_utils import paths
from covrr_utils.backbones.description import Outcomes
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.descriptions import Descriptions
from covrr_utils.experiments.evaluation import rank
from covrr_utils.experiments.keys import content_name
from covrr_utils.experiments.recorded import POOLED, RecordedRecord, recorded_run
from covrr_utils.experiments.run import Run
from covrr_utils.mini.accuracy import measured
from covrr_utils.mini.recording import GALLERY, WITH_VECTORS, descriptions_of, entries_of
from covrr_utils.retrieval.scores import by_cosine
from covrr_utils.store.collection import Collection


@cache
def recorded(name, split="mini"):
    """One run for all tests below: it looks at every video once."""
    return recorded_run(RunConfig(benchmark=split, backbone=name, device="cpu"))


def test_the_results_are_what_a_run_measures():
    filling = filling_run()
    filling.gallery(), filling.queries("two_stage")
    run = Run(RunConfig(device="cpu"), filling.backbone)
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
        run = recorded(name)
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


@pytest.mark.parametrize("split", ["mini", "mini-val"])
@pytest.mark.parametrize("name", sorted(list_backbones()))
def test_the_accuracies_of_the_cards_are_those_of_what_was_written(name, split):
    run = recorded(name, split)
    stated = pd.read_csv(paths.backbones_dir() / name / "accuracy.csv").set_index(["split", "of"])
    for of, shares in measured(run).items():
        for attribute, share in shares.items():
            assert stated.loc[(split, of), attribute] == pytest.approx(
                share, abs=TOLERANCE / 100
            ), (of, attribute)


@pytest.mark.parametrize("split", ["mini", "mini-val"])
@pytest.mark.parametrize("name", sorted(list_backbones()))
def test_what_is_recorded_is_what_the_models_write(name, split):
    """Every 24th gallery video and every 24th triplet are asked again: the same texts, the
    same vectors, and with these the same ranks.
    """
    before, whole = recorded(name, split), recorded(name, split).benchmark
    few = replace(whole, gallery=whole.gallery[::24], triplets=whole.triplets[::24])
    again = Run(before.config, descriptions=Descriptions(before.config, few))
    written, queries = [], {}
    for _, what in (entry for entry in entries_of(name) if entry[0] == split):
        old, new = descriptions_of(before, what), descriptions_of(again, what)
        assert len(old) == len(whole.gallery if what == GALLERY else whole.triplets)
        assert set(new) <= set(old) and not new.failures
        assert all(isinstance(item.record, RecordedRecord) for item in old.values())
        written += [(content(old[id_]), content(item)) for id_, item in new.items()]
        if split == "mini" and what in WITH_VECTORS:
            kept, now = before.pooled(old, *POOLED), again.pooled(new, *POOLED)
            same = [id_ for id_ in new if content(old[id_]) == content(new[id_])]
            for id_ in same:  # their states are kept with three decimal digits
                assert np.abs(kept[id_] - now[id_]).max() < 1e-4, (what, id_)
            if what != GALLERY:
                queries[what] = Outcomes({id_: now[id_] for id_ in same}, {})
    # another processor rounds differently: one text in a hundred may change, and a rank
    assert np.mean([one == other for one, other in written]) >= 0.99
    for strategy, vectors in queries.items():
        scores = by_cosine(vectors, before.pooled_gallery(*POOLED))
        ranked = rank(replace(whole, triplets=few.triplets), scores, before.method(strategy))
        said = dict(zip((t.id for t in whole.triplets), before.evaluate(strategy).ranks))
        rows = [row for row in ranked.queries if row["triplet"] in vectors]
        assert sum(row["rank"] == said[row["triplet"]] for row in rows) >= len(few.triplets) - 1


def content(item):
    """What the model wrote, beside how long it took."""
    return item.text, item.ended, {**item.record.extra, "seconds": None, "tokens": None}


def test_what_is_not_recorded_is_computed_or_said(runs):
    run = recorded_run(RunConfig(backbone="mini-1m", device="cpu"))
    with pytest.raises(ValueError, match="token states of 'test/0000' are not recorded; a Run in"):
        run.gallery()["test/0000"].description  # noqa: B018
    with pytest.raises(ValueError, match="under max, word and predicts are not recorded; a Run in"):
        run.evaluate("two_stage", pooling="max")
    assert run.evaluate("two_stage").ranks and not list(runs.rglob("results"))
    with pytest.MonkeyPatch.context() as patched:  # the store has it under its name in a folder
        patched.setattr(Collection, "__contains__", lambda collection, name: name == in_a_folder)
        in_a_folder = content_name(run.descriptions.content("test/0001"))
        again = run.descriptions.videos(["test/0000", "test/0001"], "two videos")
    assert all(isinstance(item.record, RecordedRecord) for item in again.values())
    shorter = recorded_run(RunConfig(backbone="mini-1m", device="cpu", max_new_tokens=7))
    described = shorter.descriptions.videos(["test/0000"], "one video")["test/0000"]
    assert not isinstance(described.record, RecordedRecord) and not described.ended
    assert len(described.description.states) == 7
