"""The commands that make runs: ``covrr run``, the default job, and ``covrr rerun``, notebooks for
every backbone and benchmark.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from covrr_utils import paths
from covrr_utils.cli.options import Command, Request
from covrr_utils.cli.printing import results_table, say, terminal_width
from covrr_utils.experiments.options import Each, Options, Whole

if TYPE_CHECKING:
    from covrr_utils.experiments.jobs import Execution

DEFAULT_NOTEBOOKS = (
    "00_start_here",
    "01_triplets_and_videos",
    "02_reasoning_traces",
    "03_pooling_embeddings",
    "04_retrieval",
)


ASKED_FOR = ("single_stage", "two_stage")  # strategies that chapters show, whatever is compared

KERNEL_BYTES = 1.5e9  # of memory that a chapter takes beside its model


class RerunOptions(Options):
    """Which notebooks, for which backbones and benchmarks."""

    backbones: Annotated[tuple[str, ...], BeforeValidator(Each())] = Field(
        (), description="backbones by name, checkpoint folder or hub id (default: all embedded)"
    )
    benchmarks: Annotated[tuple[str, ...], BeforeValidator(Each())] = Field(
        (), description="benchmarks by name or path (default: mini)"
    )
    notebooks: Annotated[tuple[str, ...], BeforeValidator(Each())] = Field(
        (), description="notebooks by name (default: all chapters with numbers)"
    )
    force: bool = Field(False, description="execute also what is done already")
    workers: Annotated[int, BeforeValidator(Whole())] = Field(
        1, description="backbones side by side; more than one disturbs measured seconds"
    )


def run(own: Options, request: Request) -> int:
    """Do the whole method: describe the gallery, ask the queries, execute notebooks 00 to 04, and
    print the recalls.
    """
    from covrr_utils.experiments.forked_kernels import begin_forked_kernels

    begun, config = time.perf_counter(), request.config
    begin_forked_kernels()  # first: its imports take as long as those that follow here
    from covrr_utils.experiments.jobs import plan_jobs
    from covrr_utils.experiments.reruns import rerun as execute
    from covrr_utils.experiments.run import Run

    current = Run(config)
    benchmark = current.benchmark
    benchmark.require_targets()
    info = current.backbone.info()
    say(
        f"{benchmark.name}: {len(benchmark.triplets)} triplets, gallery of"
        f" {len(benchmark.gallery):,} ({benchmark.gallery_name})\n{info['name']}:"
        f" {info['class']}, {info['parameters']:,} parameters, {info['dtype']} on {info['device']},"
        f" weights {info['weights_hash']}"
    )
    current.gallery()
    results = [current.evaluate(strategy).summary() for strategy in config.strategies]
    for strategy in ASKED_FOR:
        current.queries(strategy)
    current.release()  # the notebooks load the model by themselves
    jobs = plan_jobs([config.backbone], [config.benchmark], DEFAULT_NOTEBOOKS, _parameters(request))
    workers = _at_once(len(jobs), info)
    # what they ask for is stored, so any may be the first: the last takes longest
    failed = report(execute(jobs[::-1], workers=workers, ordered=False))
    say(f"\n{results_table(results, terminal_width())}")
    figures = ", ".join(dict.fromkeys(paths.relative(job.figures) for job in jobs))
    say(
        f"\nResults: {paths.relative(current.folder)}   {time.perf_counter() - begun:.0f} s in all"
        f"\nFigures: {figures}"
    )
    return 1 if failed else 0


def _at_once(notebooks: int, info: Mapping[str, object]) -> int:
    """How many notebooks are executed at a time: as many as there are cores, and memory for the
    model that each loads. Where that is a GPU's, one.
    """
    import psutil

    if info["device"] != "cpu":
        return 1
    assert isinstance(info["memory_gb"], float)
    room = psutil.virtual_memory().available // (KERNEL_BYTES + 1e9 * info["memory_gb"])
    return max(1, min(notebooks, os.cpu_count() or 1, int(room)))


def rerun(own: RerunOptions, request: Request) -> int:
    """Execute notebooks for every backbone and benchmark, through papermill. What is done already
    is not executed again.
    """
    from covrr_utils.backbones.registry import list_backbones
    from covrr_utils.experiments.jobs import plan_jobs
    from covrr_utils.experiments.reruns import rerun as execute

    begun, config, given = time.perf_counter(), request.config, request.given
    embedded = [config.backbone] if "backbone" in given else list(list_backbones())
    jobs = plan_jobs(
        own.backbones or embedded,
        own.benchmarks or [config.benchmark],
        own.notebooks or None,
        _parameters(request),
    )
    failed = report(execute(jobs, own.force, own.workers))
    say(
        f"{len(jobs)} notebooks, {failed} failed, {time.perf_counter() - begun:.0f} s; see"
        f" {paths.relative(paths.runs_dir())}"
    )
    return 1 if failed else 0


def _parameters(request: Request) -> dict[str, object]:
    """What was given, as parameters of notebooks; backbone and benchmark are each job's own."""
    fields = {
        name.upper(): list(value) if isinstance(value, tuple) else value
        for name, value in request.given.items()
        if name not in ("backbone", "benchmark")
    }
    return fields | dict(request.others)


def report(executions: Generator[Execution, None, None]) -> int:
    """One line per notebook as it ends, above the progress bar; the number of those that failed."""
    from tqdm import tqdm

    failed = 0
    with closing(executions):  # whoever stops here leaves no process behind
        for execution in executions:
            state = "done before" if execution.reused else "executed   "
            if not execution.ok:
                state, failed = "FAILED     ", failed + 1
            with tqdm.external_write_mode():
                say(f"{state} {paths.relative(execution.path)} ({execution.seconds:.0f} s)")
                if execution.error:
                    say(f"  {execution.error}", error=True)
    return failed


COMMANDS = {
    "run": Command(run, Options),
    "rerun": Command(rerun, RerunOptions, leaves=("benchmark", "backbone")),
}
