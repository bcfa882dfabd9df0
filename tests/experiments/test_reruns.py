import json
import os
import time
from pathlib import Path

import pandas as pd
import pytest

from covrr_utils import paths
from covrr_utils.backbones.registry import list_backbones
from covrr_utils.cli import main
from covrr_utils.experiments import jobs as planning
from covrr_utils.experiments import reruns
from covrr_utils.experiments.config import UnknownParameter
from covrr_utils.experiments.jobs import plan_jobs
from covrr_utils.experiments.reruns import rerun
from covrr_utils.experiments.workbook import UnknownNotebook

MEASURE = """
import json, os
queries = [
    {"triplet": "1", "rank": 2, "cause": None, "top": ["x", "t"]},
    {"triplet": "2", "rank": None, "cause": "video: missing", "top": []},
]
result = {
    "strategy": BACKBONE, "pooling": "mean", "scheme": "word", "source": "predicts",
    "queries": [query | {"reference": "r", "target": "t"} for query in queries],
}
path = os.path.join(os.environ["COVRR_FIGURES"], "..", "one.json")
figure = os.path.join(os.environ["COVRR_FIGURES"], "one.csv")
os.makedirs(os.environ["COVRR_FIGURES"], exist_ok=True)
open(figure, "w").close()
with open(path, "w") as file:
    json.dump(result, file)
with open(os.environ["COVRR_WRITTEN"], "a") as file:
    file.write(path + "\\n" + figure + "\\n")
"""


@pytest.fixture
def workbook(make_workbook, runs):
    """A workbook of quick notebooks: one measures, one fails for backbone ``b``, one kills its
    kernel. The runs folder of the test.
    """
    make_workbook(
        {
            "10_measures": MEASURE,
            "11_fails": "assert BACKBONE != 'b', 'not this one'",
            "12_dies": "import os; os._exit(1)",
        }
    )
    return runs


def test_a_rerun_leaves_everything_and_goes_on_after_a_failure(workbook, capsys):
    arguments = ["rerun", "--backbones", "a", "b", "--notebooks", "11_fails", "10_measures"]
    assert main.main(arguments) == 1, "the exit code says that one failed"
    said = capsys.readouterr()
    assert (
        said.out.count("executed") == 3
        and said.out.count("FAILED") == 1
        and "AssertionError: not this one" in said.err
    )
    folder = workbook / "mini" / "b" / "10_measures"
    made = {
        "10_measures.ipynb",
        "parameters.json",
        "result.json",
        "queries.csv",
        "done.json",
        "figures",
        "one.json",
        ".lock",
    }
    assert {path.name for path in folder.iterdir()} == made
    assert json.loads((folder / "parameters.json").read_text()) == {
        "BENCHMARK": "mini",
        "BACKBONE": "b",
    }
    assert json.loads((folder / "result.json").read_text())["results"] == [
        {"strategy": "b", "pooling": "mean", "scheme": "word", "source": "predicts"}
    ]
    table = pd.read_csv(folder / "queries.csv")
    assert table["rank"].fillna(-1).tolist() == [2, -1] and table["cause"].fillna("").tolist() == [
        "",
        "video: missing",
    ]
    failed = workbook / "mini" / "b" / "11_fails"
    assert (failed / "11_fails.ipynb").is_file() and not (failed / "done.json").exists(), (
        "left for inspection, not called done"
    )

    assert main.main(arguments) == 1
    said = capsys.readouterr().out
    assert said.count("done before") == 3 and said.count("FAILED") == 1, (
        "what is done is not executed again, what failed is"
    )


def test_done_means_the_same_parameters_source_and_code(workbook, monkeypatch):
    (job,) = plan_jobs(["a"], ["mini"], ["10_measures"])
    (first,) = rerun([job])
    assert first.ok and not first.reused
    (again,) = rerun([job])
    assert again.reused and again.path == first.path
    (forced,) = rerun([job], force=True)
    assert not forced.reused
    path = paths.notebooks_dir() / "10_measures.ipynb"
    path.write_text(path.read_text().replace("import json, os", "import json, os  # changed"))
    (changed,) = rerun([job])
    assert changed.ok and not changed.reused


def test_a_notebook_whose_figure_is_gone_is_executed_again(workbook):
    (job,) = plan_jobs(["a"], ["mini"], ["10_measures"])
    next(rerun([job]))
    (job.figures / "one.csv").unlink()
    (rebuilt,) = rerun([job])
    assert rebuilt.ok and not rebuilt.reused and (job.figures / "one.csv").is_file()


def test_an_interrupted_rerun_goes_on_where_it_stopped(workbook, monkeypatch):
    jobs = plan_jobs(["a", "b"], ["mini"], ["10_measures"])
    executions = rerun(jobs)
    next(executions)
    executions.close()
    assert [execution.reused for execution in rerun(jobs)] == [True, False]


def test_a_kernel_that_dies_is_reported_and_the_others_go_on(workbook):
    died, measured = rerun(plan_jobs(["a"], ["mini"], ["12_dies", "10_measures"]))
    assert died.error.startswith("the kernel died") and died.path.is_file()
    assert measured.ok


def test_two_workers_leave_what_one_leaves(workbook, monkeypatch, tmp_path):
    jobs = plan_jobs(["a", "b"], ["mini"], ["11_fails", "10_measures"])
    ended = list(rerun(jobs, workers=2))
    assert sorted(
        (execution.path.parent.parent.name, execution.name, execution.ok) for execution in ended
    ) == [
        ("a", "10_measures", True),
        ("a", "11_fails", True),
        ("b", "10_measures", True),
        ("b", "11_fails", False),
    ]
    for backbone in ("a", "b"):
        folder = workbook / "mini" / backbone / "10_measures"
        assert (
            json.loads((folder / "result.json").read_text())["results"][0]["strategy"] == backbone
        ), "each saw its own environment"
        assert (folder / "figures" / "one.csv").is_file()
    again = [execution.reused for execution in rerun(jobs, workers=2)]
    assert again.count(True) == 3
    with pytest.raises(ValueError, match="workers is 0; expected 1 or more"):
        next(rerun(jobs, workers=0))


MEETS = """
import os, pathlib, time
lane = pathlib.Path(os.environ["COVRR_WRITTEN"]).parent.parent
(lane / "here-{name}").touch()
while not (lane / "here-{other}").exists():
    time.sleep(0.02)
assert os.environ["COVRR_WRITTEN"].split(os.sep)[-2] == "{name}", "an environment of its own"
assert pathlib.Path.cwd().name == "notebooks"
"""


def test_notebooks_that_are_not_ordered_go_side_by_side(make_workbook, runs):
    """Each waits for the other, and one that fails stops none."""
    names = ("10_one", "11_other")
    cells = {
        name: MEETS.replace("{name}", name).replace("{other}", other)
        for name, other in (names, names[::-1])
    }
    make_workbook(cells | {"12_fails": "assert False"})
    folder = Path.cwd()
    jobs = plan_jobs(["a"], ["mini"], ["12_fails", *names])
    ended = {execution.name: execution.ok for execution in rerun(jobs, workers=2, ordered=False)}
    assert ended == {"12_fails": False, "10_one": True, "11_other": True}
    assert Path.cwd() == folder and "COVRR_WRITTEN" not in os.environ


def test_whoever_leaves_ends_what_runs_and_nothing_is_recorded_of_it(make_workbook, runs):
    waits = MEETS.replace("{name}", "10_waits").replace("{other}", "nobody")
    make_workbook({"10_waits": waits, "11_quick": ""})
    lane = runs / "mini" / "a"
    jobs = plan_jobs(["a"], ["mini"], ["10_waits", "11_quick"])
    executions = rerun(jobs, workers=2, ordered=False)
    assert next(executions).name == "11_quick"
    while not (lane / "here-10_waits").exists():
        time.sleep(0.02)
    executions.close()
    assert not (lane / "10_waits" / "result.json").exists(), "no error that it did not have"
    assert not (lane / "10_waits" / "10_waits.ipynb").exists()


def test_a_notebook_waits_for_what_it_builds_on():
    jobs = plan_jobs(
        ["mini-1m", "mini-3m"], ["mini"], ["00_start_here", "04_retrieval", "10_ablation_backbone"]
    )
    small, small_04, large, large_04, gathered = jobs
    assert reruns._next(jobs, []) is small
    assert reruns._next([small_04, large, large_04, gathered], [small]) is large, (
        "another backbone need not wait"
    )
    assert reruns._next([small_04, large_04, gathered], [small, large]) is None
    assert reruns._next([gathered], [large_04]) is None, (
        "what compares backbones waits for all of them"
    )
    assert reruns._next([gathered], []) is gathered
    assert reruns._next([small_04, large], [small], ordered=False) is small_04
    assert reruns._next([gathered], [small_04], ordered=False) is None


def test_workers_share_the_cores(workbook, monkeypatch):
    monkeypatch.setattr(reruns.os, "cpu_count", lambda: 8)
    jobs = plan_jobs(["a", "b", "c"], ["mini"], ["10_measures"])
    gathered = reruns.Job(
        "10_ablation_backbone",
        {},
        workbook / "mini" / planning.GATHERED / "10_ablation_backbone",
        workbook,
    )
    assert reruns._share(jobs, 2) == 4 and reruns._share(jobs, 16) == 2, (
        "no more shares than there are backbones left"
    )
    lane = plan_jobs(["a"], ["mini"], ["10_measures", "11_fails"])
    assert reruns._share(lane, 2) == 8 and reruns._share(lane, 2, ordered=False) == 4
    assert reruns._share(lane, 1) is None, "alone, a kernel chooses by itself"
    assert reruns._share([jobs[2], gathered], 2) == 8 and reruns._share([gathered], 2) == 8, (
        "the last has all cores"
    )
    monkeypatch.setattr(reruns.os, "cpu_count", lambda: 1)
    assert reruns._share(jobs, 2) == 1


def test_mistakes_are_found_before_anything_runs(workbook):
    with pytest.raises(
        UnknownNotebook, match="unknown notebook '13_x'; known: 10_measures, 11_fails, 12_dies"
    ):
        plan_jobs(["a"], ["mini"], ["10_measures", "13_x"])
    with pytest.raises(UnknownParameter, match="unknown parameter SEDE; did you mean SEED?"):
        plan_jobs(["a"], ["mini"], ["10_measures"], {"SEDE": 1})
    with pytest.raises(ValueError, match="unknown pooling 'avg'"):
        plan_jobs(["a"], ["mini"], ["10_measures"], {"POOLING": "avg"})
    assert not workbook.exists()


def test_only_the_published_parameters_touch_the_published_figures():
    jobs = {
        (job.folder.parent.name, job.notebook): job
        for job in plan_jobs(list(list_backbones()), ["mini"])
    }
    assert (
        jobs["mini-3m", "06_ablation_pooling"].figures
        == paths.committed_figures_dir()
        == jobs["all", "11_paper_figures"].figures
    )
    assert (
        jobs["mini-1m", "06_ablation_pooling"].figures
        == jobs["mini-1m", "06_ablation_pooling"].folder / "figures"
    )
    for name in ("10_ablation_backbone", "11_paper_figures"):
        assert jobs["all", name].parameters["BACKBONES"] == list(list_backbones())
    (some,) = plan_jobs(["mini-1m"], ["mini"], ["10_ablation_backbone"])
    assert some.figures != paths.committed_figures_dir(), "a comparison of fewer is another figure"
    (limited,) = plan_jobs(["mini-3m"], ["mini"], ["04_retrieval"], {"LIMIT": 5})
    assert limited.figures != paths.committed_figures_dir()
    assert set(planning.PER_BACKBONE) | set(planning.GATHERING) <= {
        path.stem for path in paths.notebooks_dir().glob("*.ipynb")
    }
