"""Many notebooks: all of them for every backbone and benchmark, one after the other or side by
side.

A rerun leaves, for each notebook, ``runs/<benchmark>/<backbone>/<notebook>/`` with the executed
notebook, ``parameters.json``, what it measured (``result.json``, and ``queries.csv`` with one row
per triplet and result) and its figures. Other parameters have a folder of their own, whose name
says them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import FrameType

from tqdm import tqdm

from covrr_utils.experiments.execution import end_kernels, perform
from covrr_utils.experiments.jobs import GATHERED, Execution, Job
from covrr_utils.experiments.records import executed_path

SEVERAL = 3  # notebooks a process, from which on their kernels are forked

PATIENCE = 10.0  # seconds until a worker that was asked to end is killed


def rerun(
    jobs: Sequence[Job], force: bool = False, workers: int = 1
) -> Generator[Execution, None, None]:
    """Execute the jobs, with a progress bar; what failed is yielded like the rest, and the others
    go on.

    ``force`` executes also what is done already. With several ``workers``, backbones and benchmarks
    go side by side, in processes of their own; a backbone's notebooks still go one after the other,
    as each builds on what is stored. Seconds per query that are measured meanwhile are those of a
    shared machine. Processes and kernels end when this one does, however it ends.

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
        executions = _one_by_one(jobs, force, bar)
        if workers > 1:
            executions = _side_by_side(jobs, force, workers, bar)
        for execution in executions:
            bar.update()
            yield execution


def _one_by_one(jobs: Sequence[Job], force: bool, bar: tqdm) -> Iterator[Execution]:
    """In this process, in their order."""
    for job in jobs:
        bar.set_postfix_str(job.label())
        yield perform(job, force, forked=len(jobs) >= SEVERAL)


class _Worker:
    """A process that performs one job after the other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other,), daemon=True)
        self.process.start()
        other.close()  # so that the death of the process closes the pipe
        self.job: Job | None = None

    def begin(self, job: Job, force: bool, threads: int, forked: bool) -> None:
        """Hand over a job."""
        self.job = job
        self.connection.send((job, force, threads, forked))

    def execution(self) -> Execution:
        """What became of the job, once there is something to receive."""
        job, self.job = self.job, None
        assert job is not None
        try:
            outcome = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            error = (
                f"its process ended with exit code {self.process.exitcode}; most often the memory"
                " was not enough, and fewer --workers take less"
            )
            return Execution(job.notebook, executed_path(job), 0.0, error)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def stop(self) -> None:
        """End the process and its kernel."""
        self.process.terminate()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()


def _side_by_side(jobs: Sequence[Job], force: bool, workers: int, bar: tqdm) -> Iterator[Execution]:
    """In ``workers`` processes."""
    waiting = list(jobs)
    with _team() as team:
        while True:
            team[:] = [worker for worker in team if worker.process.is_alive() or worker.job]
            busy = [worker for worker in team if worker.job]
            at_work = [worker.job for worker in busy if worker.job]
            if not waiting and not busy:
                return
            job = _next(waiting, at_work) if len(busy) < workers else None
            if job is None:
                for ready in wait([worker.connection for worker in busy]):
                    yield next(w for w in busy if w.connection is ready).execution()
                continue
            threads = _share([*at_work, *waiting], workers)
            waiting.remove(job)
            idle = [worker for worker in team if not worker.job]
            if not idle:
                idle = [_Worker()]
                team += idle
            idle[0].begin(job, force, threads, forked=len(jobs) >= SEVERAL * workers)
            bar.set_postfix_str(", ".join(each.label() for each in [*at_work, job]))


@contextmanager
def _team() -> Iterator[list[_Worker]]:
    """The workers; whoever leaves, in whatever way, leaves none behind."""
    team: list[_Worker] = []
    try:
        yield team
    finally:
        for worker in team:
            worker.stop()


def _work(connection: Connection) -> None:
    """What a worker's process does: perform jobs and send what became of each."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        while True:
            job, *options = connection.recv()
            try:
                outcome: object = perform(job, *options)
            except Exception as error:
                outcome = error
            connection.send(outcome)
    except (KeyboardInterrupt, EOFError):  # the process that started this one says the word
        return


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM stops a worker as Ctrl-C does."""
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Wait until the process that started this one is gone, then end, and the kernel with it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    end_kernels()
    os._exit(128 + signal.SIGTERM)


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
