"""Every command of the shell, given from another folder with relative paths, on a checkout that
cannot be written, with 256 open files at most, and stopped by SIGTERM in the middle of its work.
"""

import errno
import json
import os
import resource
import shutil
import signal
from importlib import import_module
from pathlib import Path

import nbformat
import psutil
import pytest
from disks import read_only

from covrr_utils import paths
from covrr_utils.benchmarks import checking
from covrr_utils.cli import runs as commands
from covrr_utils.cli.ending import STOPPED, Code
from covrr_utils.cli.main import COMMANDS, main
from covrr_utils.experiments import dry_run, forked_kernels
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

CHAPTER = """
from covrr_utils.benchmarks.benchmark import load_benchmark
loaded = load_benchmark(BENCHMARK, GALLERY, VIDEOS)
assert len(loaded.gallery) == 53 and all(map(loaded.video_path, loaded.gallery))
"""

PARAMETERS = """
BACKBONE: checkpoint
VIDEOS: [clips]
GALLERY: folder
MAX_NEW_TOKENS: 64
NUM_FRAMES: 2
DEVICE: cpu
STRATEGIES: [two_stage]
"""

SMALL = "--backbone checkpoint --device cpu --num-frames 2 --max-new-tokens 8"

# command: its arguments, and the function of the package at whose call it is stopped
GIVEN = {
    "check": ("labels.json --videos clips --gallery folder", "benchmarks.checking.save_report"),
    "run": ("--benchmark labels.json", "store.collection.Collection.add"),
    "rerun": (
        "--benchmarks labels.json --backbones checkpoint --notebooks 00_start_here",
        "experiments.execution.finished",
    ),
    "score": ("--benchmark labels.json", "judging.scoring.save_score"),
    "report": ("--benchmark labels.json --to page.html", "judging.diagnostics.diagnose"),
    "mine": ("--benchmark labels.json --to mined.json", "files.write_json"),
    "submit": ("challenge.json --out answers.json", "experiments.submission.validate"),
    "results": ("", "experiments.results.load_results"),
    "backbones": ("", "backbones.registry.list_backbones"),
    "benchmarks": ("", "benchmarks.benchmark.load_benchmark"),
    "index": (f"clips {SMALL}", "store.collection.Collection.add"),
    "search": (
        f"clips {SMALL} --text lamp --by words --to found.html",
        "plotting.search_page.render",
    ),
    "plan": (f"labels.json --videos clips --gallery folder {SMALL}", "experiments.planning.plan"),
    "verify": ("--clips 1 --device cpu", "experiments.dry_run.random_backbone"),
}

WITH_A_RUN = ("run", "rerun", "score", "report", "mine", "submit")


@pytest.fixture(scope="module")
def caller(tmp_path_factory, tiny_folder):
    """The folder of a user: four triplets, 53 clips, a checkpoint, a parameter file."""
    folder = tmp_path_factory.mktemp("caller")
    rows = json.loads((paths.mini_dir() / "val.json").read_text())[0]["mini"][:4]
    (folder / "labels.json").write_text(json.dumps([{"mini": rows}]))
    asked = [{key: row[key] for key in ("id", "video_source", "modification_text")} for row in rows]
    (folder / "challenge.json").write_text(json.dumps([{"mini": asked}]))
    wanted = {row[side] for row in rows for side in ("video_source", "video_target")}
    embedded = sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))
    others = [video for path in embedded if (video := f"val/{path.stem}") not in wanted]
    (folder / "clips" / "val").mkdir(parents=True)
    for video in [*wanted, *others][:53]:
        clip = paths.mini_dir() / "videos" / f"{video}.mp4"
        shutil.copy(clip, folder / "clips" / f"{video}.mp4")
    shutil.copytree(tiny_folder, folder / "checkpoint")
    (folder / "parameters.yaml").write_text(PARAMETERS)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with the embedded data and one quick chapter."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks").mkdir()
    (root / "data").symlink_to(paths.data_dir())
    declared = "BENCHMARK = 'mini'\nBACKBONE = 'mini-3m'\nVIDEOS = []\nGALLERY = None"
    cells = [nbformat.v4.new_code_cell(source) for source in (declared, CHAPTER)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / "notebooks" / "00_start_here.ipynb")
    return root


@pytest.fixture(scope="module")
def expected(caller):
    """The ranks of an ordinary run, with whole paths."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COVRR_RUNS", str(caller / "ordinary"))
        config = RunConfig(
            benchmark=str(caller / "labels.json"),
            backbone=str(caller / "checkpoint"),
            videos=[str(caller / "clips")],
            gallery="folder",
            max_new_tokens=64,
            num_frames=2,
            device="cpu",
        )
        return Run(config).evaluate("two_stage", save=False).ranks


@pytest.fixture
def elsewhere(caller, checkout, monkeypatch, tiny, make_kernels_light):
    """Stand in the user's folder; few files may be open, and the checkout cannot be written."""
    make_kernels_light(monkeypatch)
    monkeypatch.chdir(caller)
    monkeypatch.setattr(paths, "ROOT", checkout)
    monkeypatch.setenv("COVRR_ROOT", str(checkout))
    monkeypatch.setenv("COVRR_RUNS", "kept")
    monkeypatch.delenv("COVRR_FIGURES", raising=False)
    monkeypatch.setattr(commands, "DEFAULT_NOTEBOOKS", ("00_start_here",))
    monkeypatch.setattr(checking, "WORKERS", 2)
    monkeypatch.setattr(dry_run, "random_backbone", lambda *given, **options: tiny)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with read_only(checkout, errno.EROFS):
            yield caller / "kept"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def arguments(name):
    given = [name, *GIVEN[name][0].split()]
    return [*given, "--parameters", "parameters.yaml"] if name in WITH_A_RUN else given


def stop_at(monkeypatch, place):
    """Let the first call of a function of the package be preceded by SIGTERM."""
    module, _, name = f"covrr_utils.{place}".rpartition(".")
    try:
        owner = import_module(module)
    except ModuleNotFoundError:
        module, _, kind = module.rpartition(".")
        owner = getattr(import_module(module), kind)
    function = getattr(owner, name)

    calls = iter([signal.SIGTERM])

    def stopped(*args, **kwargs):
        for number in calls:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, stopped)


def everything(folder: Path):
    """Every file below a folder and when it was changed."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", GIVEN)
def test_a_command_is_stopped_and_repeated(name, elsewhere, checkout, expected, capsys):
    before = everything(checkout)
    with pytest.MonkeyPatch.context() as patched:
        stop_at(patched, GIVEN[name][1])
        assert main(arguments(name)) == Code.TERMINATED
    said = capsys.readouterr()
    assert said.err.strip().splitlines()[-1] == STOPPED and "Traceback" not in said.err
    children = psutil.Process().children()
    kernels = [child for child in children if forked_kernels.KERNEL in child.cmdline()]
    forked = [kernel for original in forked_kernels._begun for kernel in original.kernels]
    forked = [kernel for kernel in forked if kernel.poll() is None]
    assert kernels == forked == [], "no kernel is left behind"

    assert main(arguments(name)) == Code.DONE, capsys.readouterr().err
    out = capsys.readouterr().out
    assert everything(checkout) == before, "nothing is written into the checkout"
    if name in ("run", "score", "report"):
        (path,) = elsewhere.glob("labels@folder-*/checkpoint-*/results/*.json")
        queries = json.loads(path.read_text())["queries"]
        assert [query["rank"] for query in queries] == expected, "the right result"
    if name == "run":
        assert f"\nFigures: {elsewhere}" in out, "the last line says where its figures are"
    if name in ("run", "rerun"):
        done = list(elsewhere.glob("labels@folder-*/checkpoint-*/00_start_here*/done.json"))
        assert len(done) == 1
    for file in ("page.html", "found.html", "mined.json", "answers.json"):
        if file in GIVEN[name][0]:
            assert (Path(file)).stat().st_size > 0, "a relative output is the caller's"
    if name == "results":
        assert "labels@folder" in out and "53" in out


def test_every_command_is_tried():
    assert set(GIVEN) == set(COMMANDS)
