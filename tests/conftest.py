"""Shared fixtures: a tiny random checkpoint, a small benchmark cut out of the embedded one, a
private runs folder.
"""

import typechecking  # noqa: F401  (first: it checks the modules that are imported after it)

# isort: split
import gc
import json
import os
import shutil
import signal

import numpy as np
import pytest
from tiny import TINY

from covrr_utils import paths
from covrr_utils.experiments import forked_kernels
from covrr_utils.experiments.forked_kernels import provisioner

# begun first, the longest before the others: no worker is left with one of them at the end, and the
# chapters, which come last, find the store filled
FIRST = (
    "test_measurements.py",
    "test_mini_judge.py",
    "test_project.py",
    "test_killed_runs.py",
    "test_training.py",
    "test_book.py",
)

FAULTS = pytest.StashKey[list[tuple[str, int, int, int]]]()


def pytest_configure(config):
    config.stash[FAULTS] = []
    # the kernels in which nbval executes chapters
    os.environ["JUPYTER_DEFAULT_PROVISIONER_NAME"] = provisioner(forked=True)
    # a shell that starts a job in the background makes it deaf to Ctrl-C, and all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


def pytest_collection_finish(session):
    """What was imported until now stays: memory is freed sooner where nobody looks through it."""
    gc.freeze()


def pytest_unconfigure(config):
    gc.unfreeze()  # some libraries complain about what is left at the end


def pytest_terminal_summary(terminalreporter, config):
    """The faults that tests injected, how many of them the work survived, and how many finished
    results were lost.
    """
    rows = config.stash[FAULTS]
    if not rows:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'fault':56s} injected survived lost")
    for what, *counts in rows:
        terminalreporter.write_line(f"{what:56s} {counts[0]:8d} {counts[1]:8d} {counts[2]:4d}")


@pytest.fixture
def faults(request):
    """``faults(what, injected, survived, lost)`` adds a row to the table of faults at the end of
    the test report.
    """
    return lambda what, injected, survived, lost=0: request.config.stash[FAULTS].append(
        (what, injected, survived, lost)
    )


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A checkpoint folder like any other, with random weights."""
    from covrr_utils.mini.model import VOCABULARY, new_model
    from covrr_utils.mini.stream import corpus
    from covrr_utils.mini.tokenizer import build_processor, build_tokenizer

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    tokenizer = build_tokenizer(corpus(50), VOCABULARY)
    new_model(TINY, tokenizer).save_pretrained(folder)
    build_processor(tokenizer, fps=4.0, pixels=128 * 128 * 8).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    from covrr_utils.backbones.backbone import Backbone

    return Backbone.load(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def headless_folder(tiny, tmp_path_factory):
    """The tiny checkpoint without its output head, as embedders are saved."""
    folder = tmp_path_factory.mktemp("embedders") / "tiny"
    tiny.model.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    return folder


@pytest.fixture
def described(monkeypatch):
    """How many prompts the model was asked to describe, call by call."""
    from covrr_utils.backbones.backbone import Backbone

    counts, describe = [], Backbone.describe

    def counting(self, prompts, *rest, **options):
        counts.append(len(prompts))
        return describe(self, prompts, *rest, **options)

    monkeypatch.setattr(Backbone, "describe", counting)
    return counts


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty runs folder of the test's own; the figures of its notebooks stay out of the
    repository.
    """
    monkeypatch.setenv("COVRR_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COVRR_FIGURES", str(tmp_path / "figures"))
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def make_kernels_light():
    """``make_kernels_light(monkeypatch)``: kernels are copies of a process, one for all tests, that
    has imported what quick notebooks need. The one of the chapters takes long to begin, and goes on
    meanwhile.
    """
    begun = []

    def make(patched):
        libraries = ("ipykernel.kernelapp", "ipykernel.ipkernel")
        patched.setattr(forked_kernels, "LIBRARIES", libraries)
        patched.setattr(forked_kernels, "_begun", begun)

    yield make
    for original in begun:
        original.end()


@pytest.fixture
def make_workbook(tmp_path, monkeypatch, runs, make_kernels_light):
    """``make_workbook({name: code})`` makes a workbook of quick notebooks beside the embedded data,
    for this process and for those that it starts; the folder of the workbook. Kernels are light.
    """
    import nbformat

    make_kernels_light(monkeypatch)

    def make(notebooks, parameters="BENCHMARK = 'mini'\nBACKBONE = 'committed'\nSEED = 0"):
        root = tmp_path / "root"
        (root / "notebooks").mkdir(parents=True)
        (root / "data").symlink_to(paths.data_dir())
        for name, code in notebooks.items():
            cells = [nbformat.v4.new_code_cell(source) for source in (parameters, code)]
            cells[0].metadata["tags"] = ["parameters"]
            notebook = nbformat.v4.new_notebook(cells=cells)
            notebook.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
        monkeypatch.setattr(paths, "ROOT", root)
        monkeypatch.setenv("COVRR_ROOT", str(root))
        return root

    return make


def write_small_benchmark(folder):
    """The first six triplets of mini-val with copies of their own videos; its descriptor."""
    rows = json.loads((paths.mini_dir() / "val.json").read_text())[0]["mini"][:6]
    videos = sorted(
        {
            video
            for row in rows
            for video in (
                row["video_source"],
                row["video_target"],
                *sum(row["distractors"].values(), []),
            )
        }
    )
    (folder / "videos" / "val").mkdir(parents=True)
    for video in videos:
        shutil.copy(
            paths.mini_dir() / "videos" / f"{video}.mp4", folder / "videos" / f"{video}.mp4"
        )
    (folder / "labels.json").write_text(json.dumps([{"mini": rows}]))
    (folder / "gallery.json").write_text(json.dumps(videos))
    descriptor = json.loads((paths.mini_dir() / "mini-val.benchmark.json").read_text())
    descriptor |= {
        "name": "small",
        "labels": "labels.json",
        "gallery": "gallery.json",
        "gallery_name": "small gallery",
    }
    path = folder / "small.benchmark.json"
    path.write_text(json.dumps(descriptor))
    return path


@pytest.fixture
def small_benchmark(tmp_path):
    """A benchmark of six triplets and thirty videos: tests may damage it."""
    return write_small_benchmark(tmp_path / "small")


@pytest.fixture
def few_triplets(small_benchmark):
    """Three triplets of it without hard distractors, and their own videos as the gallery."""
    folder = small_benchmark.parent
    rows = json.loads((folder / "labels.json").read_text())[0]["mini"][:3]
    rows = [row | {"distractors": {}} for row in rows]
    videos = sorted({row[name] for row in rows for name in ("video_source", "video_target")})
    (folder / "labels.json").write_text(json.dumps([{"mini": rows}]))
    (folder / "gallery.json").write_text(json.dumps(videos))
    return small_benchmark


@pytest.fixture(scope="session")
def described_runs(tmp_path_factory):
    """A runs folder in which mini-3m has described the small benchmark's gallery, and its queries
    by both stages and by one.
    """
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run

    folder = tmp_path_factory.mktemp("described")
    benchmark = write_small_benchmark(folder / "small")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COVRR_RUNS", str(folder / "runs"))
        run = Run(RunConfig(benchmark=str(benchmark), batch_size=8, device="cpu"))
        run.gallery()
        for strategy in ("two_stage", "single_stage"):
            run.queries(strategy)
    return folder / "runs"


@pytest.fixture
def filled_runs(runs, described_runs):
    """The test's own runs folder, in which the small benchmark is described already."""
    shutil.copytree(described_runs, runs)
    return runs


@pytest.fixture
def make_description():
    """Descriptions with given tokens and random states."""
    from covrr_utils.backbones.description import Description

    def make(tokens, width=5, seed=0):
        rng = np.random.default_rng(seed)
        return Description(
            "".join(token for token in tokens if not token.startswith("<|")),
            list(tokens),
            np.arange(len(tokens)),
            rng.standard_normal((len(tokens), width)).astype(np.float32),
            -rng.random(len(tokens)).astype(np.float32),
            True,
            np.array([token.startswith("<|") for token in tokens]),
        )

    return make
