"""Many notebooks: all of them for every backbone and benchmark, one after the other or side by
side.

A rerun leaves, for each notebook, ``runs/<benchmark>/<backbone>/<notebook>/`` with the executed
notebook, ``parameters.json``, what it measured (``result.json``, and ``queries.csv`` with one row
per triplet and result) and its figures. Other parameters have a folder of their own, whose name
says them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from functools import partial

from tqdm import tqdm

from covrr_utils.experiments.execution import perform
from covrr_utils.experiments.jobs import GATHERED, Execution, Job
from covrr_utils.experiments.kernels import in_threads

SEVERAL = 3  # notebooks, from which on their kernels are forked


def rerun(
    jobs: Sequence[Job], force: bool = False, workers: int = 1, ordered: bool = True
) -> Generator[Execution, None, None]:
    """Execute the jobs, with a progress bar; what failed is yielded like the rest, and the others
    go on.

    ``force`` executes also what is done already. With several ``workers``, so many go side by side:
    of other backbones and benchmarks, as a backbone's notebooks build on what is stored, in their
    order; or any of them, where they are not ``ordered``, because all that they need is stored.
    Seconds per query that are measured meanwhile are those of a shared machine. Kernels end when
    this process does, however it ends.

    Raises
    ------
    ValueError
        For less than one worker.
    FileError
        If what a notebook left cannot be written.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; expected 1 or more")
    with tqdm(total=len(jobs), desc="notebooks", unit="notebook") as bar:
        with closing(_executed(jobs, force, workers, ordered, bar)) as executions:
            for execution in executions:
                bar.update()
                yield execution


def _executed(
    jobs: Sequence[Job], force: bool, workers: int, ordered: bool, bar: tqdm
) -> Generator[Execution, None, None]:
    """The jobs, as they end; ``workers`` of them at a time."""
    waiting = list(jobs)
    running: dict[Future[Execution], Job] = {}
    one_lane = len({job.folder.parent for job in jobs}) == 1
    with in_threads(workers) as begin:
        while waiting or running:
            job = _next(waiting, running.values(), ordered) if len(running) < workers else None
            if job is None:
                labels = (job.notebook if one_lane else job.label() for job in running.values())
                bar.set_postfix_str(", ".join(labels))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    yield future.result()
                continue
            share = _share([*running.values(), *waiting], workers, ordered)
            waiting.remove(job)
            work = partial(perform, job, force, share, forked=len(jobs) >= SEVERAL)
            running[begin(work)] = job


def _next(waiting: Sequence[Job], running: Collection[Job], ordered: bool = True) -> Job | None:
    """The first that has to wait for none of those running or planned before it."""
    ready = (
        job
        for number, job in enumerate(waiting)
        if not any(_precedes(other, job, ordered) for other in [*running, *waiting[:number]])
    )
    return next(ready, None)


def _share(left: Collection[Job], workers: int, ordered: bool = True) -> int | None:
    """How many of the cores a kernel may compute on: kernels that all compute on all cores spend
    their time waiting. None where it is alone and may choose.
    """
    if workers == 1:
        return None
    lanes = {job.folder.parent if ordered else job.folder for job in left if not _gathers(job)}
    return max(1, (os.cpu_count() or 1) // max(1, min(workers, len(lanes))))


def _precedes(other: Job, job: Job, ordered: bool) -> bool:
    """Whether ``job`` has to wait for ``other``, planned before it: of the same backbone, where
    they are ``ordered``, or what a gathering notebook gathers.
    """
    lane, benchmark = job.folder.parent, job.folder.parent.parent
    if _gathers(job) and other.folder.parent.parent == benchmark:
        return True
    return ordered and other.folder.parent == lane


def _gathers(job: Job) -> bool:
    """Whether it is of no backbone, but compares several."""
    return job.folder.parent.name == GATHERED
