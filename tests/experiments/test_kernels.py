"""Notebooks are executed wherever the checkout lies and whatever kernels the user has."""

import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from PIL import Image

from covrr_utils import paths
from covrr_utils.experiments import forked_kernels
from covrr_utils.experiments.execution import _without_iris, execute
from covrr_utils.experiments.forked_kernels import JUPYTERS, KERNEL, ForkedKernels
from covrr_utils.plotting import style

CHAPTERS = forked_kernels.LIBRARIES, forked_kernels._begun  # before a fixture makes them light


def test_the_kernel_is_this_python_whatever_the_user_has(make_workbook, tmp_path, monkeypatch):
    monkeypatch.setattr(forked_kernels, "_begun", [])
    assert forked_kernels.provisioner(forked=False) == JUPYTERS
    make_workbook({"10_any": f"import sys\nassert sys.executable == {sys.executable!r}"})
    spec = {"argv": ["false", "{connection_file}"], "display_name": "mine", "language": "python"}
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("import sys\nsys.executable = 'mine'\n")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert execute("10_any", {}, tmp_path / "job").error is None
    assert os.environ["JUPYTER_PATH"] == str(tmp_path / "jupyter"), "put back afterwards"


def test_braces_in_a_path_are_not_parameters(make_workbook, tmp_path, monkeypatch, caplog):
    root = make_workbook({"10_any": "assert BACKBONE == '{BACKBONE}'"})
    moved = root.rename(tmp_path / "{BACKBONE} {0} {} {missing}")
    monkeypatch.setattr(paths, "ROOT", moved)
    folder = moved / "runs" / "{SEED}"
    execution = execute("10_any", {"BACKBONE": "{BACKBONE}", "VIDEOS": "elsewhere"}, folder)
    assert execution.error is None and execution.path == folder / "10_any.ipynb"
    assert [path.name for path in folder.iterdir()] == ["10_any.ipynb"]
    assert not caplog.records, "papermill warns of no parameter that the notebook does not declare"


linux = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

COPY = """
import gc, json, os, pathlib, sys
loaded = set(sys.modules)
assert gc.get_freeze_count(), "nothing of it is looked through for garbage"
assert {"torch", "transformers", "seaborn"} <= loaded
assert not any(name.startswith("covrr_utils") for name in loaded)
assert os.path.basename(os.getcwd()) == "notebooks" and os.environ["COVRR_TOLD"] == TOLD
import matplotlib.pyplot as plt
import numpy as np
import torch
assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])
numbers = torch.arange(1024**2, dtype=torch.float64).reshape(1024, 1024) % 7
assert float((numbers @ numbers).sum()) == float(numbers.sum(0) @ numbers.sum(1)), "no dead threads"
pathlib.Path(os.environ["COVRR_WRITTEN"]).with_name("draw.json").write_text(
    json.dumps([np.random.rand(), os.getppid(), os.getpid()])
)
from covrr_utils.plotting import style
style.use()
draw, drawn = plt.Figure.draw, pathlib.Path(os.environ["COVRR_WRITTEN"]).with_name("drawn.txt")
def counting(figure, renderer):
    drawn.write_text(f"{drawn.read_text() if drawn.exists() else ''}.")
    draw(figure, renderer)
plt.Figure.draw = counting
plt.plot([1, 2])
"""


@linux
def test_a_kernel_is_forked_with_its_own_environment_and_everything_loaded(
    make_workbook, tmp_path, monkeypatch
):
    libraries, begun = CHAPTERS
    monkeypatch.setattr(forked_kernels, "LIBRARIES", libraries)
    monkeypatch.setattr(forked_kernels, "_begun", begun)
    make_workbook({"10_any": COPY}, "TOLD = 'nothing'")
    made = []
    for told, threads in (("one", 1), ("two", 2)):
        monkeypatch.setenv("COVRR_TOLD", told)
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        execution = execute("10_any", {"TOLD": told}, tmp_path / told, forked=True)
        assert execution.error is None
        figure = json.loads(execution.path.read_text())["cells"][-1]["outputs"][-1]
        png = Image.open(io.BytesIO(base64.b64decode(figure["data"]["image/png"])))
        assert figure["metadata"] == {"image/png": {"width": png.width / style.SHARPNESS}}
        made.append(json.loads((tmp_path / told / "draw.json").read_text()))
        assert (tmp_path / told / "drawn.txt").read_text() == "..", "once for its edges, and once"
    (draw, original, kernel), (other, same, another) = made
    assert original == same and kernel != another, "two copies of one process"
    assert draw != other, "each draws its own numbers"


AT_EXIT = """
import atexit, gc, os, pathlib
atexit.register(pathlib.Path(os.environ["COVRR_WRITTEN"]).with_name("left").touch)
"""


@linux
def test_the_original_is_made_again_and_a_kernel_that_dies_is_reported(
    make_workbook, tmp_path, monkeypatch
):
    monkeypatch.setattr(forked_kernels, "_begun", [])
    monkeypatch.setattr(forked_kernels, "LIBRARIES", ["ipykernel.kernelapp"])
    make_workbook({"10_any": AT_EXIT, "12_dies": "import os; os.kill(os.getpid(), 9)"})
    assert execute("10_any", {}, tmp_path / "one", forked=True).error is None
    assert (tmp_path / "one" / "left").exists(), "what is registered for the end is done"
    (original,) = forked_kernels._begun
    assert execute("12_dies", {}, tmp_path / "two").error.startswith("the kernel died")
    original.process.kill()
    original.process.wait()
    assert execute("10_any", {}, tmp_path / "three", forked=True).error is None
    assert not forked_kernels._begun, "that kernel has started by itself"
    assert forked_kernels.provisioner(False) == forked_kernels.JUPYTERS


@linux
def test_what_a_library_sets_is_no_other_setting_but_what_a_user_sets_is(
    make_workbook, tmp_path, monkeypatch
):
    """As torch does, where it has no folder for what it compiles: in this process too."""
    (tmp_path / "sets.py").write_text("import os\nos.environ['TORCH_FOLDER'] = 'made'\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setattr(forked_kernels, "_begun", [])
    monkeypatch.setattr(forked_kernels, "LIBRARIES", ["sets", "ipykernel.kernelapp"])
    make_workbook({"10_any": "import os\nassert os.getppid() == PARENT"}, "PARENT = 0")
    forked_kernels.begin_forked_kernels()
    (original,) = forked_kernels._begun
    for folder, parent in ((None, original.process.pid), ("made", original.process.pid)):
        if folder is not None:
            monkeypatch.setenv("TORCH_FOLDER", folder)
        job = tmp_path / f"{folder}"
        assert execute("10_any", {"PARENT": parent}, job, forked=True).error is None
    monkeypatch.setenv("TORCH_FOLDER", "another")
    own = execute("10_any", {"PARENT": os.getpid()}, tmp_path / "another", forked=True)
    assert own.error is None, "this kernel has started by itself"
    assert forked_kernels._begun == [original] and original.process.poll() is None
    forked_kernels.end_forked_kernels()


COMMAND = """
import sys
from covrr_utils.cli.main import main
from covrr_utils.experiments import forked_kernels
forked_kernels.LIBRARIES = ["ipykernel.kernelapp"]
sys.exit(main(["rerun", "--backbones", "a", "--notebooks", "10_waits", "11_any", "12_any"]))
"""

WAITS = """
import os, pathlib, time
folder = pathlib.Path(os.environ["COVRR_RUNS"], "alive")
folder.mkdir(parents=True)
(folder / f"{os.getpid()}-{os.getppid()}").touch()
time.sleep(600)
"""


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_forked_kernels_end_with_the_command(make_workbook, runs, number):
    make_workbook({"10_waits": WAITS, "11_any": "", "12_any": ""})
    with subprocess.Popen([sys.executable, "-c", COMMAND], stderr=subprocess.PIPE) as process:
        while not (alive := list(runs.glob("alive/*-*"))):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        kernel, original = (psutil.Process(int(pid)) for pid in alive[0].name.split("-"))
        assert kernel.cmdline() == original.cmdline(), "it is a copy"
        process.send_signal(number)
        process.communicate(timeout=60)
    limit = time.monotonic() + 60
    for each in (kernel, original):
        while each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < limit
            time.sleep(0.05)


def test_another_python_is_started_as_jupyter_does(monkeypatch):
    kernels, started = ForkedKernels(), []

    async def launch(self, cmd, **kwargs):
        started.append(cmd)
        return {}

    monkeypatch.setattr(ForkedKernels.__base__, "launch_kernel", launch)
    monkeypatch.setattr(forked_kernels, "_begun", [])
    others = (
        ["python9", "-m", KERNEL, "-f", "x"],
        [sys.executable, "-m", "another_kernel", "-f", "x"],
    )
    for command in others:
        asyncio.run(kernels.launch_kernel(command))
    assert started == list(others) and not forked_kernels._begun


def test_imports_do_without_a_parser_of_iris(monkeypatch):
    """And what is imported afterwards has it, also where it was there before."""
    monkeypatch.setitem(sys.modules, "rfc3987_syntax", None)  # put back at the end
    del sys.modules["rfc3987_syntax"]
    with _without_iris():
        with pytest.raises(ImportError):
            import rfc3987_syntax  # noqa: F401
    assert "rfc3987_syntax" not in sys.modules
    parser = sys.modules["rfc3987_syntax"] = object()
    with _without_iris():
        assert sys.modules["rfc3987_syntax"] is parser
    assert sys.modules["rfc3987_syntax"] is parser
