"""The kernels in which notebooks are executed: where each begins, in which threads they are waited
for, and how they end with whoever started them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

from covrr_utils.experiments.forked_kernels import KERNEL, end_forked_kernels, provisioner

T = TypeVar("T")

Begin = Callable[[Callable[[], T]], Future[T]]

_here = threading.local()


class Left(Exception):
    """Whoever waited for this work has left, and its kernel was ended."""


def kernels(environment: Mapping[str, str], forked: bool) -> type[AsyncKernelManager]:
    """The kind of manager whose kernels are this very Python, whatever kernel of that name the user
    has, ``forked`` or not, with the variables of this process and those of ``environment``.

    Nothing of this process is changed for them, so that several may begin at a time.
    """

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            metadata = {"kernel_provisioner": {"provisioner_name": provisioner(forked)}}
            return KernelSpec(**get_kernel_dict() | {"metadata": metadata})

    class Kernels(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _this_python(self) -> ThisPython:
            return ThisPython()

        async def start_kernel(  # type: ignore[override]  # asynchronous, as its parent's is
            self, **kwargs: Any
        ) -> None:
            await super().start_kernel(env={**os.environ, **environment}, **kwargs)

    return Kernels


@contextmanager
def in_threads(count: int) -> Iterator[Begin]:
    """A way to begin work that starts kernels, up to ``count`` at a time, each in a thread of its
    own. Whoever leaves meanwhile, interrupted or not, ends these kernels.

    In the main thread the library nbclient takes Ctrl-C and SIGTERM for itself: it would end the
    kernel, call that a failure, and the next notebook would begin.
    """
    futures: list[Future] = []
    left = threading.Event()

    def in_thread(work: Callable[[], T]) -> T:
        _here.left = left
        return work()

    def begin(work: Callable[[], T]) -> Future[T]:
        futures.append(future := pool.submit(in_thread, work))
        return future

    with ThreadPoolExecutor(count) as pool:
        try:
            yield begin
        finally:
            left.set()
            while not all(future.done() for future in futures):
                end_kernels()  # those that begin only now too
                wait(futures, timeout=0.2)


def stop_if_left() -> None:
    """Raise `Left` in a thread that nobody waits for any more."""
    if _here.left.is_set():
        raise Left


def end_kernels() -> None:
    """Kill the kernels that this process has started."""
    import psutil

    end_forked_kernels()
    for child in psutil.Process().children():
        try:
            if KERNEL in child.cmdline():
                child.kill()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it has ended by itself
