"""Notebooks executed by papermill: one by one with other parameters, or all of them for every backbone and benchmark.

A rerun leaves, for each notebook, ``runs/<benchmark>/<backbone>/<notebook>/`` with the executed notebook, ``parameters.json``, what
it measured (``result.json``, and ``queries.csv`` with one row per triplet and result) and its figures. A notebook that is done for the
same parameters, source, code and data is not executed again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.clips import content_hash
from covrr_utils.store import digest, write_atomically, write_json

GATHERED = "all"  # in place of the backbone, for notebooks that compare backbones
GATHERING = ("07_ablation_backbone", "08_paper_figures")
WRITTEN = ".written"  # in a job's folder: what its notebook has written so far, one path per line
PER_BACKBONE = (
    "00_start_here", "01_triplets_and_videos", "02_reasoning_traces", "03_pooling_embeddings", "04_retrieval", "05_ablation_reasoning",
    "06_ablation_pooling", "09_reasoning_quality",
)


class UnknownNotebook(ValueError):
    """A notebook that the workbook does not have."""


@dataclass(frozen=True)
class Execution:
    """What became of one notebook: the executed copy (also when it failed, up to the failing cell), the time, the error."""

    name: str
    path: Path
    seconds: float
    error: str | None = None
    reused: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True)
class Job:
    """One notebook to execute with these parameters; ``folder`` receives everything it makes."""

    notebook: str
    parameters: Mapping[str, object]
    folder: Path
    figures: Path

    def label(self) -> str:
        return f"{self.folder.parent.parent.name} / {self.folder.parent.name} / {self.notebook}"


def source_of(notebook: str) -> Path:
    """The committed notebook of that name; `UnknownNotebook` lists the known ones."""
    source = paths.notebooks_dir() / f"{notebook}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in paths.notebooks_dir().glob("*.ipynb")))
        raise UnknownNotebook(f"unknown notebook {notebook!r}; known: {known}")
    return source


def plan(
    backbones: Sequence[str], benchmarks: Sequence[str], notebooks: Sequence[str] | None = None, parameters: Mapping[str, object] | None = None
) -> list[Job]:
    """The jobs of a rerun: per benchmark, first every backbone's notebooks, then, once, those that gather backbones.

    Figures go to ``figures/`` where a notebook runs with its own defaults (the published figures), else into the job's folder.

    Raises
    ------
    UnknownNotebook, UnknownParameter, ValueError
        Before anything runs: for a notebook, parameter or value that does not exist.
    """
    from covrr_utils.config import RunConfig

    notebooks = [*PER_BACKBONE, *GATHERING] if notebooks is None else list(notebooks)
    parameters = dict(parameters or {})
    for notebook in notebooks:
        source_of(notebook)
    default = RunConfig()
    jobs = []
    for benchmark in benchmarks:
        chosen = [(backbone, name) for backbone in backbones for name in notebooks if name not in GATHERING]
        chosen += [(GATHERED, name) for name in notebooks if name in GATHERING]
        for backbone, name in chosen:
            given = {"BENCHMARK": benchmark} | ({"BACKBONES": list(backbones)} if backbone == GATHERED else {"BACKBONE": backbone}) | parameters
            RunConfig.from_notebook({key: value for key, value in given.items() if key != "BACKBONES"})
            folder = paths.runs_dir() / Path(str(benchmark)).name.removesuffix(".benchmark.json") / Path(backbone).name / name
            published = not parameters and benchmark == default.benchmark and backbone in (default.backbone, GATHERED)
            jobs.append(Job(name, given, folder, paths.figures_dir() if published else folder / "figures"))
    return jobs


def rerun(jobs: Sequence[Job], force: bool = False) -> Iterator[Execution]:
    """Execute the jobs one after the other, with a progress bar; what failed is yielded like the rest, and the others go on.

    ``force`` executes also what is done already.
    """
    with tqdm(jobs, desc="notebooks", unit="notebook") as bar:
        for job in bar:
            bar.set_postfix_str(job.label())
            done = None if force else _done(job)
            yield done or _finish(job, execute(job.notebook, job.parameters, job.folder, job.figures))


def execute(notebook: str, parameters: Mapping[str, object], folder: Path, figures: Path | None = None) -> Execution:
    """Execute ``notebooks/<notebook>.ipynb`` with ``parameters`` into ``folder/<notebook>.ipynb``; its figures go to ``figures``.

    The notebook itself checks the parameters (`RunConfig.from_notebook`): a misspelt one makes it fail with the valid names.

    Raises
    ------
    UnknownNotebook
        If there is no such notebook.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = source_of(notebook)
    folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / f"{notebook}.ipynb", folder / f".{notebook}.running.ipynb"
    written = folder / WRITTEN
    written.unlink(missing_ok=True)
    begun, error = time.perf_counter(), None
    with _environment(COVRR_WRITTEN=str(written), COVRR_FIGURES=str(figures or paths.figures_dir())):
        try:
            papermill.execute_notebook(
                str(source), str(beside), parameters=dict(parameters), kernel_name="python3", cwd=str(paths.notebooks_dir()), progress_bar=False
            )
        except PapermillExecutionError as failure:
            error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    os.replace(beside, target)
    return Execution(notebook, target, time.perf_counter() - begun, error)


def identity(job: Job) -> str:
    """A hash of what a notebook's outputs depend on: parameters, its source cells, the package's code, the benchmark, the weights."""
    import nbformat

    cells = [cell.source for cell in nbformat.read(source_of(job.notebook), 4).cells if cell.cell_type == "code"]
    package = Path(__file__).parent
    code = {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    data = [(str(path.relative_to(paths.data_dir())), path.stat().st_size) for path in sorted(paths.data_dir().rglob("*")) if path.is_file()]
    labels = Path(str(job.parameters.get("BENCHMARK", "")))
    own = content_hash(labels) if labels.is_file() else None
    return digest({"parameters": dict(job.parameters), "cells": cells, "code": code, "data": data, "labels": own})


def _done(job: Job) -> Execution | None:
    """The earlier execution of this very job, if it ended well and every figure and table it made is still there."""
    marker = job.folder / "done.json"
    if not marker.is_file():
        return None
    done = json.loads(marker.read_text(encoding="utf-8"))
    if done["identity"] != identity(job) or not all((job.figures / name).is_file() for name in done["figures"]):
        return None
    return Execution(job.notebook, job.folder / f"{job.notebook}.ipynb", done["seconds"], reused=True)


def _finish(job: Job, execution: Execution) -> Execution:
    """Write what the notebook measured beside it; only then, and only if it ended well, mark it done."""
    marker, written = job.folder / "done.json", job.folder / WRITTEN
    marker.unlink(missing_ok=True)
    listed = [Path(line) for line in dict.fromkeys(written.read_text(encoding="utf-8").splitlines())] if written.is_file() else []
    figures = sorted(path.name for path in listed if path.parent == job.figures)
    results = [json.loads(path.read_text(encoding="utf-8")) for path in listed if path.suffix == ".json"]
    write_json(job.folder / "parameters.json", dict(job.parameters))
    queries = _queries(results)
    for result in results:
        result.pop("queries")
    write_json(job.folder / "result.json", {"notebook": job.notebook, "error": execution.error, "results": results})
    write_atomically(job.folder / "queries.csv", queries)
    written.unlink(missing_ok=True)
    if execution.ok:
        write_json(marker, {"identity": identity(job), "seconds": execution.seconds, "figures": figures})
    return execution


def _queries(results: Sequence[Mapping]) -> bytes:
    """One csv row per result and triplet."""
    import pandas as pd

    columns = ["strategy", "pooling", "scheme", "source", "triplet", "rank", "cause", "reference", "target", "first"]
    rows = [
        [*(result[column] for column in columns[:4]), *(row[column] for column in columns[4:-1]), (row["top"] or [None])[0]]
        for result in results for row in result["queries"]
    ]
    table = pd.DataFrame(rows, columns=columns).astype({"rank": "Int64"})
    return table.to_csv(index=False, lineterminator="\n").encode()


@contextmanager
def _environment(**values: str):
    """Environment variables for the kernel that papermill starts, put back afterwards."""
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
