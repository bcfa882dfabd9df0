"""``--engine ray``: the batches of a run on the workers of a Ray cluster, this machine's or one of
many.

A worker is an actor that has loaded the model once. It is given ids and paths, decodes and computes
as a single process would, in the same batches, and writes its shards into the store
(`covrr_utils.store.part`): what lies in the store is all that a run goes on from. This process
hands out the work and keeps the journal.

Ray's own retries are off. With them a task waits for its own actor to start again, for ever where
the node of that actor is gone, and without a limit. Here the work of a lost worker goes back into
the queue, without what it had stored, and is given to another one, at most `TRIES` times; then it
is a failure with its cause, as everything that cannot be computed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from covrr_utils.backbones.description import Failure
from covrr_utils.experiments.engines import NO_RAY
from covrr_utils.experiments.workers import Phase, Task, Worker
from covrr_utils.files import FileError, say
from covrr_utils.store.collection import Collection

if TYPE_CHECKING:
    from covrr_utils.experiments.config import RunConfig

TRIES = 3  # of work whose worker was lost

PORTION = 4  # batches that a worker is given at once: the next one is decoded while it computes

START_SECONDS = 900.0  # in which one worker at least has to have loaded the model

LOST = "worker lost"  # the cause of what was given up


class ClusterError(RuntimeError):
    """The cluster cannot do the work; the message says why and what to do."""


@dataclass
class Portion:
    """Work that is handed out together, how often it was, and how it ended the last time."""

    work: list[Task]
    tries: int = 0
    reason: str = ""


@dataclass
class Running:
    """What a worker does now: starts, where it has no ``portion``."""

    worker: Any
    portion: Portion | None
    begun: float = field(default_factory=lambda: time.monotonic())


class Cluster:
    """The workers of a run. They start when work is there, and stay until `close`.

    Raises
    ------
    ClusterError
        If Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, config: RunConfig):
        try:
            import ray
        except ImportError as missing:
            raise ClusterError(NO_RAY) from missing
        self.ray, self.config = ray, config
        self.idle: list[Any] = []
        self.starting: dict[Any, Running] = {}
        self.mine = not ray.is_initialized()
        if self.mine:
            where: dict[str, Any] = (
                {"num_cpus": config.ray_workers, "include_dashboard": False}
                if config.ray_address is None
                else {"address": config.ray_address}
            )
            self._start(where)

    def _start(self, where: dict[str, Any]) -> None:
        """Start Ray, or reach it. It gives itself 30 s, which a busy machine may exceed."""
        name = self.config.ray_address or "of this machine"
        for number in range(1, TRIES + 1):
            try:
                self.ray.init(log_to_driver=False, **where)
                return
            except Exception as error:  # Ray raises plain exceptions here
                self.ray.shutdown()
                word = f"the Ray cluster {name} could not be reached: {_first_line(error)}"
                if number == TRIES:
                    raise ClusterError(f"{word}; this was tried {TRIES} times") from error
                say(f"{word}; trying again")

    @cached_property
    def gpus(self) -> float:
        """GPUs of each worker."""
        if self.config.ray_gpus is not None:
            return self.config.ray_gpus
        return 1.0 if self.ray.cluster_resources().get("GPU") else 0.0

    def close(self) -> None:
        """End the workers, and Ray where it was started here."""
        for worker in [*self.idle, *(item.worker for item in self.starting.values())]:
            with suppress(self.ray.exceptions.RayError):  # where Ray has ended, they have too
                self.ray.kill(worker)
        self.idle, self.starting = [], {}
        if self.mine:
            self.ray.shutdown()

    def spread(
        self, phase: Phase, collection: Collection, work: Sequence[Task], size: int, desc: str
    ) -> None:
        """Compute what ``work`` lists and ``collection`` lacks, in batches of ``size``.

        Raises
        ------
        ClusterError
            If no worker can be started, all are lost one after the other, or Ray itself ends.
        FileError
            If the store cannot be written.
        KeyboardInterrupt
            As it came; what is done is stored.
        """
        lacking = set(collection.missing(item.stored for item in work))
        missing = list({item.stored: item for item in work if item.stored in lacking}.values())
        if not missing:
            return
        collection.announce([])  # its folder and key are there before any worker writes
        length = size * max(1, min(PORTION, len(missing) // (size * self.config.ray_workers)))
        portions = [missing[start : start + length] for start in range(0, len(missing), length)]
        with tqdm(total=len(missing), desc=desc, mininterval=1) as bar:
            spreading = _Spreading(self, phase, collection, [Portion(p) for p in portions], bar)
            try:
                spreading.run()
            except KeyboardInterrupt:
                say(f"{desc}: stopped. What is done is stored; run the same again to go on")
                raise
            except self.ray.exceptions.RayError as error:
                raise ClusterError(
                    f"Ray itself has ended ({_first_line(error)}). What is done is stored; start"
                    " the cluster again, and run the same command to go on from there"
                ) from error
            finally:
                spreading.end()


class _Spreading:
    """One phase on its way through the workers."""

    def __init__(
        self,
        cluster: Cluster,
        phase: Phase,
        collection: Collection,
        portions: Sequence[Portion],
        bar: tqdm,
    ):
        self.cluster, self.ray, self.config = cluster, cluster.ray, cluster.config
        self.collection, self.bar = collection, bar
        self.waiting = deque(portions)
        self.phase = self.ray.put(phase)
        self.running, cluster.starting = cluster.starting, {}
        self.losses = 0  # one after the other, without any work done between them
        self.begun = time.monotonic()

    def run(self) -> None:
        """Hand out the work until none is left."""
        while self.waiting or any(item.portion for item in self.running.values()):
            self._hand_out()
            done, _ = self.ray.wait(list(self.running), num_returns=1, timeout=1.0)
            for reference in done:
                self._take_in(reference, self.running.pop(reference))
            self._look_at_the_clock()

    def end(self) -> None:
        """End the workers that compute; those that start or do nothing are for the next phase."""
        for reference, item in self.running.items():
            if item.portion is None:
                self.cluster.starting[reference] = item
            else:
                with suppress(self.ray.exceptions.RayError):  # where Ray has ended, it is too
                    self.ray.kill(item.worker)

    def _hand_out(self) -> None:
        """Give work to idle workers, and start as many more as there is work for."""
        idle = self.cluster.idle
        while self.waiting and idle:
            worker, portion = idle.pop(), self.waiting.popleft()
            portion.tries += 1
            reference = worker.compute.remote(self.phase, portion.work)
            self.running[reference] = Running(worker, portion)
        busy = sum(item.portion is not None for item in self.running.values())
        wanted = min(self.config.ray_workers, busy + len(self.waiting))
        for _ in range(wanted - len(self.running)):
            actor = self.ray.remote(Worker).options(
                num_cpus=1, num_gpus=self.cluster.gpus, max_restarts=0, max_task_retries=0
            )
            worker = actor.remote()
            self.running[worker.load.remote(self.phase)] = Running(worker, None)

    def _take_in(self, reference: Any, item: Running) -> None:
        """Take what a worker has ended with: what it did, an error, or its own end."""
        try:
            lines = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause
            if not _is_of_the_device(cause):
                self.ray.kill(item.worker)
                raise cause from error
            self.ray.kill(item.worker)
            self._lose(item, f"its device failed: {_first_line(cause)}")
        except self.ray.exceptions.RayError as error:
            self._lose(item, _first_line(error))
        else:
            self.cluster.idle.append(item.worker)
            if item.portion is not None:
                self.losses = 0
                self.collection.announce(lines)
                self.bar.update(len(item.portion.work))

    def _lose(self, item: Running, reason: str) -> None:
        """A worker is gone: what it was at, and had not stored, is to be done by another one."""
        self.losses += 1
        limit = TRIES * (self.config.ray_workers + 1)
        if self.losses >= limit:
            raise ClusterError(
                f"{self.losses} workers were lost one after the other; the last one: {reason}. What"
                " is done is stored; look after the machines, and run the same command again to go"
                " on from there"
            )
        if item.portion is None:
            return
        portion = item.portion
        say(f"{self.bar.desc}: a worker was lost ({reason})")
        lacking = set(self.collection.missing(work.stored for work in portion.work))
        left = [work for work in portion.work if work.stored in lacking]
        self.bar.update(len(portion.work) - len(left))
        portion.work, portion.reason = left, reason
        if not left:
            return
        if portion.tries < TRIES:
            self.waiting.append(portion)
            return
        self.bar.update(len(left))
        self.collection.record_failures(
            Failure(work.stored, "model", LOST, f"{TRIES} workers were lost with it; {reason}")
            for work in left
        )

    def _look_at_the_clock(self) -> None:
        """End what takes too long: a worker that hangs, and a cluster that has no room."""
        now = time.monotonic()
        for reference, item in list(self.running.items()):
            if item.portion and now - item.begun > self.config.ray_seconds:
                del self.running[reference]
                self.ray.kill(item.worker)
                self._lose(item, f"no answer within {self.config.ray_seconds:.0f} s")
        busy = any(item.portion for item in self.running.values())
        if busy or self.cluster.idle:
            self.begun = now
        elif now - self.begun > START_SECONDS:
            there = self.ray.cluster_resources()
            raise ClusterError(
                f"no worker could start within {START_SECONDS:.0f} s: each needs 1 CPU and"
                f" {self.cluster.gpus:g} GPUs, and the cluster has {there.get('CPU', 0):g} CPUs"
                f" and {there.get('GPU', 0):g} GPUs in all; lower --ray-gpus, or add nodes"
            )


def _is_of_the_device(error: BaseException) -> bool:
    """Whether an error says that a GPU failed: the process that had it is of no more use."""
    name, message = type(error).__name__, str(error)
    return not isinstance(error, FileError) and (
        name == "AcceleratorError" or "CUDA error" in message or "HIP error" in message
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
