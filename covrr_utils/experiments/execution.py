"""One notebook, executed by papermill in a kernel that ends with whoever started it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from covrr_utils import paths
from covrr_utils.experiments.identity import identity
from covrr_utils.experiments.jobs import Execution, Job
from covrr_utils.experiments.kernels import in_threads, kernels, stop_if_left
from covrr_utils.experiments.records import WRITTEN, finished, record
from covrr_utils.experiments.workbook import notebook_path
from covrr_utils.files import Locked, delete, locked, say, writing

KERNEL_NAME = "python3"  # as the notebooks are committed

_one = threading.Lock()  # of the threads that import papermill


def perform(
    job: Job, force: bool = False, threads: int | None = None, forked: bool = False
) -> Execution:
    """Execute a job, as `execute` does, and keep what it made; what is done already is not executed
    again, unless with ``force``. Another process with the same job is waited for.

    Raises
    ------
    FileError
        If what the notebook left cannot be written.
    """
    with _alone(job.folder):
        before = identity(job)
        if not force and (done := finished(job, before)):
            return done
        execution = execute(job.notebook, job.parameters, job.folder, job.figures, threads, forked)
        return record(job, execution, before, identity(job))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder of a job meanwhile; who has to wait says so."""
    lock = folder / ".lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, wait=False))
        except Locked:
            say(f"{paths.relative(folder)}: another process executes this notebook; waiting for it")
            stack.enter_context(locked(lock))
        yield


def execute(
    notebook: str,
    parameters: Mapping[str, object],
    folder: Path,
    figures: Path | None = None,
    threads: int | None = None,
    forked: bool = False,
) -> Execution:
    """Execute ``notebooks/<notebook>.ipynb`` with ``parameters`` into ``folder/<notebook>.ipynb``;
    its figures go to ``figures``.

    The notebook itself checks the parameters (`RunConfig.from_notebook`): a misspelt one makes it
    fail with the valid names. ``threads``: how many the kernel may compute with (default: its own
    choice, and always that of a set ``OMP_NUM_THREADS``). ``forked``: the kernel is a copy of a
    process that stays, with everything loaded: for whoever executes several.

    Raises
    ------
    UnknownNotebook
        If there is no such notebook.
    """
    source = notebook_path(notebook)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / f"{notebook}.ipynb", folder / f".{notebook}.running.ipynb"
    written = folder / WRITTEN
    delete(written)
    variables = {
        "COVRR_RUNS": str(paths.runs_dir()),
        "COVRR_FIGURES": str(figures or paths.figures_dir()),
        "COVRR_WRITTEN": str(written),
    }
    if threads is not None:
        variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
    begun = time.perf_counter()
    work = partial(_papermill, source, beside, parameters, variables, forked)
    if threading.current_thread() is threading.main_thread():
        with in_threads(1) as begin:
            error = begin(work).result()
    else:
        error = work()
    os.replace(beside, target)
    return Execution(notebook, target, time.perf_counter() - begun, error)


def _papermill(
    source: Path,
    target: Path,
    parameters: Mapping[str, object],
    variables: Mapping[str, str],
    forked: bool,
) -> str | None:
    """Execute ``source`` into ``target``, in a kernel with these environment variables, which reads
    neither settings nor history of the user's IPython; why it failed, None if it did not.

    The folder of the kernel is given to nbclient: papermill itself would change that of the whole
    process, where others may be executed at the same time.
    """
    with _one, _without_iris():
        import papermill
        from nbclient.exceptions import DeadKernelError
        from papermill.exceptions import PapermillExecutionError

    # it knows no parameters but those in the notebook's own cell; `RunConfig` knows all
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="covrr-", ignore_cleanup_errors=True) as ipython:
        try:
            papermill.execute_notebook(
                _to_the_letter(source),
                _to_the_letter(target),
                parameters=dict(parameters),
                kernel_name=KERNEL_NAME,
                progress_bar=False,
                kernel_manager_class=kernels({**variables, "IPYTHONDIR": ipython}, forked),
                resources={"metadata": {"path": str(paths.notebooks_dir())}},
                # else kernels write across the bar that they listen on localhost
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except PapermillExecutionError as failure:
            return f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
        except DeadKernelError:
            stop_if_left()
            return (
                "the kernel died: most often the memory was not enough; a smaller BATCH_SIZE or"
                " fewer --workers take less"
            )
    return None


@contextmanager
def _without_iris() -> Iterator[None]:
    """Imports meanwhile do without a parser of IRIs, which no schema of notebooks asks for: making
    it when jsonschema is imported takes a process longer than all else that it imports here.
    """
    parser = "rfc3987_syntax"
    if parser in sys.modules:
        yield
        return
    sys.modules[parser] = None  # type: ignore[assignment]  # how imports are told to fail
    try:
        yield
    finally:
        del sys.modules[parser]


def _to_the_letter(path: Path) -> str:
    """A path as papermill takes it: braces are doubled, as it puts parameters into single ones."""
    return str(path).replace("{", "{{").replace("}", "}}")
