"""Two equal commands at the same time; and a notebook is done only while all it made lies there."""

import json

import pytest
from copies import Command

from covrr_utils.experiments.identity import identity
from covrr_utils.experiments.jobs import plan_jobs
from covrr_utils.experiments.records import finished
from covrr_utils.experiments.reruns import rerun

MEASURES = """
import json, os, pathlib, time
folder = pathlib.Path(os.environ["COVRR_WRITTEN"]).parent
with open(folder.parent / "executions", "a") as file:
    file.write("one\\n")
while not (folder.parent / "go").exists():
    time.sleep(0.02)
result = {"strategy": "s", "pooling": "mean", "scheme": "word", "source": "predicts"}
query = {"triplet": "1", "rank": 2, "cause": None, "reference": "r", "target": "t", "top": ["x"]}
with open(folder / "one.json", "w") as file:
    json.dump(result | {"queries": [query]}, file)
with open(os.environ["COVRR_WRITTEN"], "a") as file:
    file.write(f"{folder / 'one.json'}\\n")
"""

MADE = ("10_measures.ipynb", "one.json", "parameters.json", "result.json", "queries.csv")


def test_two_equal_reruns_execute_once_and_keep_everything(make_workbook, runs, tmp_path):
    """The notebook waits for a word, which is given when the second rerun says that it waits."""
    make_workbook({"10_measures": MEASURES})
    lane, rerun = runs / "mini" / "a", ["rerun", "--backbones", "a", "--notebooks", "10_measures"]
    first = Command(tmp_path / "first", *rerun)
    first.wait_until((lane / "executions").exists)
    second = Command(tmp_path / "second", *rerun)
    waits = "another process executes this notebook; waiting for it"
    second.wait_until(lambda: waits in second.stderr)
    (lane / "go").touch()
    assert first.end() == 0 == second.end()
    assert "executed" in first.stdout and "done before" in second.stdout
    assert (lane / "executions").read_text() == "one\n"
    (result,) = json.loads((lane / "10_measures" / "result.json").read_text())["results"]
    assert result["strategy"] == "s"


@pytest.fixture
def job(make_workbook, runs):
    """A notebook that was executed."""
    make_workbook({"10_measures": MEASURES})
    (job,) = plan_jobs(["a"], ["mini"], ["10_measures"])
    job.folder.mkdir(parents=True)
    (job.folder.parent / "go").touch()
    (execution,) = rerun([job])
    assert execution.ok
    return job


def test_done_is_checked_against_what_lies_there(job):
    now = identity(job)
    assert finished(job, now) and {path.name for path in job.folder.glob("[!.]*")} == {
        *MADE,
        "done.json",
    }
    for name in MADE:
        path = job.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        assert finished(job, now) is None, f"{name} was changed"
        path.unlink()
        assert finished(job, now) is None, f"{name} was removed"
        path.write_bytes(whole)
        assert finished(job, now), f"{name} lies there again"
