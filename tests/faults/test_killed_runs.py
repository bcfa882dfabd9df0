"""Whole runs and reruns of notebooks that are killed end, when they are repeated, in the results
that an undisturbed run has.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from forked_runs import KILLED, ForkedRuns, reranking

from covrr_utils import paths
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


@pytest.fixture(scope="module")
def forked():
    with ForkedRuns() as runs:
        yield runs


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_in_the_same_results(
    forked, small_benchmark, tmp_path, faults
):
    """kill -9 of a whole run (gallery, two strategies, evaluation) at random moments;
    ``COVRR_KILLS`` says how many.
    """

    def run(name, kill_at=0):
        return forked.run("whole", small_benchmark, tmp_path / name, kill_at)

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
    forked, small_benchmark, tmp_path, monkeypatch, faults
):
    """kill -9 at random moments while pairs are scored and stored."""
    described = tmp_path / "described"
    monkeypatch.setenv("COVRR_RUNS", str(described))
    reranking(str(small_benchmark)).queries("two_stage")
    reranking(str(small_benchmark)).gallery()

    def run(runs, kill_at=0):
        if not runs.exists():
            shutil.copytree(described, runs)
        return forked.run("rerank", small_benchmark, runs, kill_at)

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
def test_a_killed_rerun_goes_on_where_it_stopped(tmp_path, faults):
    root, folder = tmp_path / "root", tmp_path / "root" / "notebooks"
    folder.mkdir(parents=True)
    for link in ("data", "figures"):
        (root / link).symlink_to(paths.ROOT / link)
    notebook(folder, "10_quick", "print(1)")
    # it waits until it is killed with the rerun, whose end it notices by its parent
    waits = "import os, time\nparent = os.getppid()\n"
    waits += "while not os.path.exists('go') and os.getppid() == parent:\n    time.sleep(0.1)"
    notebook(folder, "11_slow", waits)
    environment = os.environ | {"COVRR_ROOT": str(root), "COVRR_RUNS": str(tmp_path / "runs")}
    command = [sys.executable, "-m", "covrr_utils.cli.main", "rerun", "--backbones", "x"]
    command += ["--notebooks", "10_quick", "11_slow"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list((tmp_path / "runs").glob("*/*/10_quick/done.json")):
        assert process.poll() is None, "it ended before its first notebook was done"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (folder / "go").touch()
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (
        again.returncode == 0
        and again.stdout.count("done before") == 1
        and again.stdout.count("executed") == 1
    ), again.stderr[-500:]
    faults("kill -9 of a rerun of notebooks", 1, 1)


def test_the_same_run_gives_the_same_bytes_apart_from_times(small_benchmark, tmp_path, monkeypatch):
    stored = []
    for number in range(2):
        monkeypatch.setenv("COVRR_RUNS", str(tmp_path / str(number)))
        run = Run(
            RunConfig(
                benchmark=str(small_benchmark),
                backbone="mini-3m",
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
