"""The process that kernels are copies of: it imports the libraries of the chapters once, and each
kernel begins as a copy of it, by ``fork``.

It is run as a file of its own, by `covrr_utils.experiments.forked_kernels`, and imports nothing of
this package: each kernel reads its own settings. It starts no thread, as a copy has none of them.
It ends, and its kernels with it, when the other end of its socket is closed, that is, with the
process that started it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import warnings
from contextlib import suppress
from typing import Any

KERNEL = "ipykernel_launcher"  # the module that a kernel's process runs

NUMBER = struct.Struct("<q")  # as numbers are told

# what the libraries read when they are imported
READ_ON_IMPORT = (
    *("PYTHON", "HF_", "TRANSFORMERS_", "TORCH", "CUDA_", "LD_", "MPLCONFIG", "XDG_"),
    *("MKL_", "OPENBLAS_", "KMP_", "GOMP_"),
)

REFUSED = 0  # in place of a process id

INLINE = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it


def copies(control: socket.socket, began: dict[str, str]) -> dict[str, Any] | None:
    """Fork a process for each socket that arrives on ``control``; returns in the forked process,
    with what is asked of it, and in this one when ``control`` is closed, with None.

    On its own socket, each is asked for with a line of json, and told are its process id and, once
    it has ended, its exit code (`NUMBER` each). `REFUSED` is told instead where the libraries would
    have read other settings than those with which this process ``began``.
    """
    kernels: dict[int, socket.socket] = {}
    wake, awake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(awake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, 512)
        for pid, code in _ended():
            with kernels.pop(pid) as own:
                _tell(own, code)
        if control.fileno() in ready:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                for pid in kernels:
                    os.kill(pid, signal.SIGKILL)
                return None
            own = socket.socket(fileno=descriptors[0])
            with own.makefile() as lines:
                if not (line := lines.readline()):  # who asked has ended meanwhile
                    continue
            request = json.loads(line) | {"parent": os.getpid()}
            if not _same_settings(request["environment"], began):
                with own:
                    _tell(own, REFUSED)
                continue
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                pid = (
                    os.fork()
                )  # the threads of OpenBLAS, and no others, end before and begin after
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (wake, awake):
                    os.close(descriptor)
                for each in (control, own, *kernels.values()):
                    each.close()
                return request
            kernels[pid] = own
            _tell(own, pid)


def _same_settings(environment: dict[str, str], began: dict[str, str]) -> bool:
    """Whether the libraries would read in this environment what they have read here. Some of them
    set what they lack when they are imported, here and in the process that asks.
    """
    names = [name for name in {*environment, *began} if name.startswith(READ_ON_IMPORT)]
    return all(environment.get(name) in (began.get(name), os.environ.get(name)) for name in names)


def _ended() -> list[tuple[int, int]]:
    """Process ids and exit codes (minus the number of a signal) of those that have ended."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _tell(own: socket.socket, number: int) -> None:
    """A number, to whoever still listens."""
    with suppress(OSError):
        own.sendall(NUMBER.pack(number))


def be_a_kernel(
    arguments: list[str], environment: dict[str, str], folder: str, parent: int
) -> None:
    """Be the kernel that a new process with these arguments, environment and folder would be, to
    its end; it ends soon after ``parent``.

    What is registered for the end is done then. But the modules of all libraries are not taken
    apart one by one, for which a kernel would take longer than to start (copies that
    ``multiprocessing`` makes end so, too).
    """
    os.setsid()  # Ctrl-C on a terminal is for whoever executes the notebook
    os.environ.clear()
    os.environ.update(environment | {"JPY_PARENT_PID": str(parent)})
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # these would ask the environment or the clock when they are imported
    if matplotlib := sys.modules.get("matplotlib"):
        matplotlib.rcParams["backend"] = environment.get("MPLBACKEND") or INLINE
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) and (threads := environment.get("OMP_NUM_THREADS")):
        torch.set_num_threads(int(threads))
    sys.argv = [KERNEL, *arguments]
    runpy.run_module(KERNEL, run_name="__main__", alter_sys=True)
    atexit._run_exitfuncs()
    os._exit(0)


def _gone(control: socket.socket) -> bool:
    """Whether the other end is closed; what waits there is left there."""
    try:
        return not control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def main() -> None:
    """Import, fork on request, and be a kernel in what was forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    began = dict(os.environ)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    for library in sys.argv[2:]:
        if _gone(control):
            return
        importlib.import_module(library)
    gc.collect()
    gc.freeze()  # no kernel looks through all that was loaded here for garbage again and again
    gc.set_threshold(10_000, 20, 20)  # nor among what is new at every seven hundredth object
    if request := copies(control, began):
        be_a_kernel(**request)


if __name__ == "__main__":
    main()
