"""Whole runs and reruns of notebooks that are killed end, when they are repeated, in the results
that an undisturbed run has. A run by workers in processes of their own equals that of one process
bit for bit, also where a worker is killed in the middle.
"""

import json
import os
import random
import shutil
import signal
import sys

import nbformat
import numpy as np
import pytest
from copies import OF_A_WARM_ONE, WARM, Command
from forked_runs import BACKBONE, KILLED, make, reranking
from processes import ProcessRay

from covrr_utils import paths
from covrr_utils.experiments import engines
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

KILLS = int(os.environ.get("COVRR_KILLS", "2"))


def results(runs):
    """What every result below ``runs`` says, apart from the time that it took."""
    stored = {
        path.name: json.loads(path.read_text()) for path in sorted(runs.glob("*/*/results/*.json"))
    }
    for data in stored.values():
        assert data.pop("seconds_per_query") > 0
    return stored


@pytest.fixture(scope="module", autouse=True)
def warm_models():
    """Processes begin with the model libraries loaded."""
    OF_A_WARM_ONE.set_forkserver_preload([*WARM, "warm_models", "processes"])
    yield
    OF_A_WARM_ONE.set_forkserver_preload(WARM)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_in_the_same_results(few_triplets, tmp_path, faults):
    """kill -9 of a whole run (gallery, two strategies, evaluation) at random moments;
    ``COVRR_KILLS`` says how many.
    """

    def run(name, kill_at=0):
        return make("whole", few_triplets, tmp_path / name, kill_at)

    code, touches = run("whole")
    whole = results(tmp_path / "whole")
    rng, same, killed, stores = random.Random(11), 0, 0, 0
    while killed < KILLS:
        stores += 1
        for _ in range(2):  # two kills, then to the end
            killed += run(str(stores), rng.randint(1, touches // 2 - 1))[0] == KILLED
        assert run(str(stores))[0] == 0
        same += results(tmp_path / str(stores)) == whole
    faults("kill -9 of a whole run", killed, killed if same == stores else 0)
    assert code == 0 and len(whole) == 2 and same == stores and killed == 2 * stores > 0


@pytest.mark.slow
def test_a_reranking_killed_at_any_moment_ends_in_the_same_results(
    few_triplets, tmp_path, monkeypatch, faults
):
    """kill -9 at random moments while pairs are scored and stored."""
    described = tmp_path / "described"
    monkeypatch.setenv("COVRR_RUNS", str(described))
    reranking(str(few_triplets)).queries("two_stage")
    reranking(str(few_triplets)).gallery()

    def run(runs, kill_at=0):
        if not runs.exists():
            shutil.copytree(described, runs)
        return make("rerank", few_triplets, runs, kill_at)

    def outcome(runs):
        """Without what pairs cost, which depends on the batches they were scored in."""
        (data,) = results(runs).values()
        reranked = data.pop("reranking")
        return data, reranked["pairs_per_query"], reranked["unscored_pairs"]

    _, touches = run(tmp_path / "whole")
    rng, killed = random.Random(12), 0
    for _ in range(KILLS):
        code, _ = run(tmp_path / "stopped", rng.randint(1, touches // (2 * KILLS)))
        killed += code == KILLED
    assert run(tmp_path / "stopped")[0] == 0 and killed == KILLS
    whole, stopped = outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")
    faults("kill -9 of a reranking", killed, killed if whole == stopped else 0)
    assert whole == stopped and whole[1:] == (3, 0)


def notebook(folder, name, code):
    cells = [
        nbformat.v4.new_code_cell("BENCHMARK = 'mini'\nBACKBONE = 'x'"),
        nbformat.v4.new_code_cell(code),
    ]
    cells[0].metadata["tags"] = ["parameters"]
    written = nbformat.v4.new_notebook(cells=cells)
    written.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(written, folder / f"{name}.ipynb")


@pytest.mark.slow
def test_a_killed_rerun_goes_on_where_it_stopped(tmp_path, monkeypatch, faults):
    root, folder = tmp_path / "root", tmp_path / "root" / "notebooks"
    folder.mkdir(parents=True)
    for link in ("data", "figures"):
        (root / link).symlink_to(paths.ROOT / link)
    notebook(folder, "10_quick", "print(1)")
    # it waits until it is killed with the rerun, whose end it notices by its parent
    waits = "import os, time\nparent = os.getppid()\n"
    waits += "while not os.path.exists('go') and os.getppid() == parent:\n    time.sleep(0.1)"
    notebook(folder, "11_slow", waits)
    monkeypatch.setenv("COVRR_ROOT", str(root))
    monkeypatch.setenv("COVRR_RUNS", str(tmp_path / "runs"))
    rerun = ["rerun", "--backbones", "x", "--notebooks", "10_quick", "11_slow"]
    command = Command(tmp_path / "killed", *rerun)
    command.wait_until(lambda: list((tmp_path / "runs").glob("*/*/10_quick/done.json")))
    os.killpg(command.pid, signal.SIGKILL)
    command.end()
    (folder / "go").touch()
    again = Command(tmp_path / "again", *rerun)
    assert again.end() == 0, again.stderr[-500:]
    assert again.stdout.count("done before") == 1 and again.stdout.count("executed") == 1
    faults("kill -9 of a rerun of notebooks", 1, 1)


def test_the_same_run_gives_the_same_bytes_apart_from_times(few_triplets, tmp_path, monkeypatch):
    stored = []
    for number in range(2):
        monkeypatch.setenv("COVRR_RUNS", str(tmp_path / str(number)))
        run = Run(
            RunConfig(
                benchmark=str(few_triplets),
                backbone="mini-1m",
                batch_size=8,
                device="cpu",
                samples=2,
            )
        )
        for strategy in ("two_stage", "self_consistency"):
            run.evaluate(strategy)
        texts = results(tmp_path / str(number))
        stored.append([json.dumps([name, data]) for name, data in texts.items()])
    assert stored[0] == stored[1] and len(stored[0]) == 2


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
    few_triplets, tmp_path, monkeypatch, faults
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = RunConfig(
        benchmark=str(few_triplets),
        backbone=BACKBONE,
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
    assert spread.keys() == alone.keys() and len(spread) > 12
    for id_, description in spread.items():
        assert description.text == alone[id_].text
        np.testing.assert_array_equal(description.token_ids, alone[id_].token_ids)
        np.testing.assert_array_equal(description.states, alone[id_].states)
    faults("a worker's process is killed in the middle of a run", 1, 1)
