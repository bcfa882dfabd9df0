"""Notebooks executed by papermill: one by one with other parameters, or all of them for every
backbone and benchmark.

A rerun leaves, for each notebook, ``runs/<benchmark>/<backbone>/<notebook>/`` with the executed
notebook, ``parameters.json``, what it measured (``result.json``, and ``queries.csv`` with one row
per triplet and result) and its figures. A notebook that is done for the same parameters, source,
code and data is not executed again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.experiments.jobs import GATHERED, Job
from covrr_utils.experiments.workbook import code_cells, notebook_path
from covrr_utils.files import content_hash, digest, write_atomically, write_json

WRITTEN = ".written"  # in a job's folder: what its notebook has written so far, one path per line


@dataclass(frozen=True)
class Execution:
    """What became of one notebook: the executed copy (also when it failed, up to the failing cell),
    the time, the error.
    """

    name: str
    path: Path
    seconds: float
    error: str | None = None
    reused: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None


def rerun(jobs: Sequence[Job], force: bool = False, workers: int = 1) -> Iterator[Execution]:
    """Execute the jobs, with a progress bar; what failed is yielded like the rest, and the others
    go on.

    ``force`` executes also what is done already. With several ``workers``, backbones and benchmarks
    go side by side, each in a process of its own; a backbone's notebooks still go one after the
    other, as each builds on what is stored. Seconds per query that are measured meanwhile are those
    of a shared machine.

    Raises
    ------
    ValueError
        For less than one worker.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; expected 1 or more")
    waiting, running = list(jobs), {}
    with tqdm(total=len(waiting), desc="notebooks", unit="notebook") as bar, _pool(workers) as pool:
        while waiting or running:
            job = _next(waiting, running.values()) if len(running) < workers else None
            if job is None:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    bar.update()
                    yield _finish(running.pop(future), future.result())
                continue
            waiting.remove(job)
            if done := None if force else _done(job):
                bar.update()
                yield done
            else:
                threads = (
                    _share([job, *running.values(), *waiting], workers) if workers > 1 else None
                )
                running[
                    pool.submit(
                        execute, job.notebook, job.parameters, job.folder, job.figures, threads
                    )
                ] = job
                bar.set_postfix_str(", ".join(each.label() for each in running.values()))


def _next(waiting: Sequence[Job], running: Collection[Job]) -> Job | None:
    """The first that has to wait for none of those running or planned before it."""
    ready = (
        job
        for number, job in enumerate(waiting)
        if not any(_precedes(other, job) for other in [*running, *waiting[:number]])
    )
    return next(ready, None)


def _share(left: Collection[Job], workers: int) -> int:
    """How many of the cores a kernel may compute on: kernels that all compute on all cores spend
    their time waiting.
    """
    lanes = {job.folder.parent for job in left if job.folder.parent.name != GATHERED}
    return max(1, (os.cpu_count() or 1) // max(1, min(workers, len(lanes))))


def _precedes(other: Job, job: Job) -> bool:
    """Whether ``job`` has to wait for ``other``, planned before it: of the same backbone, or what a
    gathering notebook gathers.
    """
    lane, benchmark = job.folder.parent, job.folder.parent.parent
    return other.folder.parent == lane or (
        lane.name == GATHERED and other.folder.parent.parent == benchmark
    )


class _Here(Executor):
    """Executes in this process, at once."""

    def submit(self, function: Callable, /, *arguments: object) -> Future:
        future: Future = Future()
        future.set_result(function(*arguments))
        return future


@contextmanager
def _pool(workers: int):
    """Where notebooks are executed; what has not begun when an error or an interruption leaves it
    never begins.
    """
    pool = (
        _Here()
        if workers == 1
        else ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def execute(
    notebook: str,
    parameters: Mapping[str, object],
    folder: Path,
    figures: Path | None = None,
    threads: int | None = None,
) -> Execution:
    """Execute ``notebooks/<notebook>.ipynb`` with ``parameters`` into ``folder/<notebook>.ipynb``;
    its figures go to ``figures``.

    The notebook itself checks the parameters (`RunConfig.from_notebook`): a misspelt one makes it
    fail with the valid names. ``threads``: how many the kernel may compute with (default: its own
    choice, and always that of a set ``OMP_NUM_THREADS``).

    Raises
    ------
    UnknownNotebook
        If there is no such notebook.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    source = notebook_path(notebook)
    folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / f"{notebook}.ipynb", folder / f".{notebook}.running.ipynb"
    written = folder / WRITTEN
    written.unlink(missing_ok=True)
    begun, error = time.perf_counter(), None
    variables = {
        "COVRR_WRITTEN": str(written),
        "COVRR_FIGURES": str(figures or paths.figures_dir()),
    }
    if threads is not None:
        variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
    with _environment(**variables):
        try:
            papermill.execute_notebook(
                str(source),
                str(beside),
                parameters=dict(parameters),
                kernel_name="python3",
                cwd=str(paths.notebooks_dir()),
                progress_bar=False,
                # else kernels write across the bar that they listen on localhost
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except PapermillExecutionError as failure:
            error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
        except DeadKernelError:
            error = (
                "the kernel died: most often the memory was not enough; a smaller BATCH_SIZE or"
                " fewer --workers take less"
            )
    os.replace(beside, target)
    return Execution(notebook, target, time.perf_counter() - begun, error)


def identity(job: Job) -> str:
    """A hash of what a notebook's outputs depend on: parameters, its source cells, the package's
    code, the benchmark, the weights.
    """
    cells = code_cells(job.notebook)
    package = Path(__file__).resolve().parents[1]
    code = {
        str(path.relative_to(package)): path.read_text(encoding="utf-8")
        for path in sorted(package.rglob("*.py"))
    }
    data = [
        (str(path.relative_to(paths.data_dir())), path.stat().st_size)
        for path in sorted(paths.data_dir().rglob("*"))
        if path.is_file()
    ]
    labels = Path(str(job.parameters.get("BENCHMARK", "")))
    own = content_hash(labels) if labels.is_file() else None
    return digest(
        {
            "parameters": dict(job.parameters),
            "cells": cells,
            "code": code,
            "data": data,
            "labels": own,
        }
    )


def _done(job: Job) -> Execution | None:
    """The earlier execution of this very job, if it ended well and every figure and table it made
    is still there.
    """
    marker = job.folder / "done.json"
    if not marker.is_file():
        return None
    done = json.loads(marker.read_text(encoding="utf-8"))
    if done["identity"] != identity(job) or not all(
        (job.figures / name).is_file() for name in done["figures"]
    ):
        return None
    return Execution(
        job.notebook, job.folder / f"{job.notebook}.ipynb", done["seconds"], reused=True
    )


def _finish(job: Job, execution: Execution) -> Execution:
    """Write what the notebook measured beside it; only then, and only if it ended well, mark it
    done.
    """
    marker, written = job.folder / "done.json", job.folder / WRITTEN
    marker.unlink(missing_ok=True)
    listed = (
        [Path(line) for line in dict.fromkeys(written.read_text(encoding="utf-8").splitlines())]
        if written.is_file()
        else []
    )
    figures = sorted(path.name for path in listed if path.parent == job.figures)
    results = [
        json.loads(path.read_text(encoding="utf-8")) for path in listed if path.suffix == ".json"
    ]
    write_json(job.folder / "parameters.json", dict(job.parameters))
    queries = _queries(results)
    for result in results:
        result.pop("queries")
    write_json(
        job.folder / "result.json",
        {"notebook": job.notebook, "error": execution.error, "results": results},
    )
    write_atomically(job.folder / "queries.csv", queries)
    written.unlink(missing_ok=True)
    if execution.ok:
        write_json(
            marker, {"identity": identity(job), "seconds": execution.seconds, "figures": figures}
        )
    return execution


def _queries(results: Sequence[Mapping]) -> bytes:
    """One csv row per result and triplet."""
    import pandas as pd

    columns = [
        "strategy",
        "pooling",
        "scheme",
        "source",
        "triplet",
        "rank",
        "cause",
        "reference",
        "target",
        "first",
    ]
    rows = [
        [
            *(result[column] for column in columns[:4]),
            *(row[column] for column in columns[4:-1]),
            (row["top"] or [None])[0],
        ]
        for result in results
        for row in result["queries"]
    ]
    table = pd.DataFrame(rows, columns=columns).astype({"rank": "Int64"})
    return table.to_csv(index=False, lineterminator="\n").encode()


@contextmanager
def _environment(**values: str):
    """Environment variables for the kernel that papermill starts, put back afterwards.

    They are the whole process's: one notebook at a time.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
