"""A whole run by workers in processes of their own equals that of one process bit for bit, also
where a worker is killed in the middle.
"""

import sys

import numpy as np
import pytest
from processes import ProcessRay

from covrr_utils.experiments import engines
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

STRATEGY = "single_stage"


def done_by(config, runs, monkeypatch, **options):
    """A result and all that was stored for it: texts, token ids and states, by id."""
    monkeypatch.setenv("COVRR_RUNS", str(runs))
    run = Run(config.replace(**options))
    try:
        result = run.evaluate(STRATEGY, save=False)
        second = run.variant(rerank="likelihood", rerank_depth=3).evaluate(STRATEGY, save=False)
        everything = [run.gallery(), run.queries(STRATEGY)]
        everything.append(run.descriptions.alone(run.gallery(), "reading"))
        stored = {
            (number, id_): described[id_].description
            for number, described in enumerate(everything)
            for id_ in described
        }
        return result, second, stored
    finally:
        run.release()


@pytest.mark.slow
def test_workers_make_what_one_process_makes_though_one_is_killed(
    small_benchmark, tmp_path, monkeypatch, faults
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = RunConfig(
        benchmark=str(small_benchmark),
        backbone="mini-1m",
        device="cpu",
        batch_size=2,
        max_new_tokens=12,
        embedding="alone",
    )
    expected, second, alone = done_by(config, tmp_path / "one", monkeypatch)

    def kill_at_the_fourth(ray, number):
        if number == 4:
            ray.started[0].kill()

    ray = ProcessRay(kill_at_the_fourth)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(engines, "find_spec", lambda name: ray)
    try:
        result, looked, spread = done_by(
            config, tmp_path / "many", monkeypatch, engine="ray", ray_workers=2
        )
    finally:
        ray.end()
    assert len(ray.started) >= 3, "a worker took the place of the one that was killed"
    assert [row["rank"] for row in result.queries] == [row["rank"] for row in expected.queries]
    assert [row["scores"] for row in result.queries] == [row["scores"] for row in expected.queries]
    assert [row["rank"] for row in looked.queries] == [row["rank"] for row in second.queries]
    for one, other in zip(looked.queries, second.queries, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)
    assert looked.reranking["pairs_per_query"] == second.reranking["pairs_per_query"] == 3
    assert spread.keys() == alone.keys() and len(spread) > 60
    for id_, description in spread.items():
        assert description.text == alone[id_].text
        np.testing.assert_array_equal(description.token_ids, alone[id_].token_ids)
        np.testing.assert_array_equal(description.states, alone[id_].states)
    faults("a worker's process is killed in the middle of a run", 1, 1)
