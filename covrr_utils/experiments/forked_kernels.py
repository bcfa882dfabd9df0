"""Kernels that begin with everything loaded.

Importing torch, transformers and pandas takes more processor time than most chapters. Whoever
executes several notebooks has one process that imports them once
(`covrr_utils.experiments.forking`), and each kernel begins as a copy of it, with the environment
and the folder that any other kernel would have. Where that cannot be (libraries of macOS forbid it,
Windows has no ``fork``, another Python or other settings of these libraries are asked for), kernels
start as Jupyter starts them.

Jupyter finds `ForkedKernels` by the name `PROVISIONER` among the entry points of the package.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from covrr_utils.experiments import forking
from covrr_utils.experiments.forking import KERNEL, NUMBER, REFUSED

PROVISIONER = "covrr-forked"

JUPYTERS = "local-provisioner"

LIBRARIES = (
    "jaxtyping",
    "matplotlib.backends.backend_pdf",
    "pandas",
    "pydantic.main",
    "scipy.stats",
    "seaborn",
    "torch",
    "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "transformers.models.qwen3_vl.processing_qwen3_vl",
    "transformers.models.auto.processing_auto",
    "ipykernel.kernelapp",  # the last: tqdm, imported after it, would look for widgets
    "ipykernel.ipkernel",
)

GONE = -signal.SIGKILL  # the exit code where nobody is left to tell it


class OtherSettings(Exception):
    """A kernel was asked for with other settings of the libraries than those they have read."""


class _Kernel:
    """A forked kernel with the methods of `subprocess.Popen` that jupyter_client calls."""

    stdin = stdout = stderr = None

    def __init__(self, own: socket.socket):
        self.own = own
        self.code: int | None = None
        if (pid := self._told(socket.MSG_WAITALL)) is None:
            raise EOFError("the process that kernels are copies of has ended")
        if pid == REFUSED:
            own.close()
            raise OtherSettings
        self.pid = pid

    def _told(self, flags: int) -> int | None:
        """The next number on its socket; None at the end."""
        message = self.own.recv(NUMBER.size, flags)
        return NUMBER.unpack(message)[0] if message else None

    def _end(self, flags: int) -> int | None:
        if self.code is None:
            try:
                code = self._told(flags)
            except BlockingIOError:
                return None
            self.code = GONE if code is None else code
        return self.code

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._end(socket.MSG_DONTWAIT)

    def wait(self) -> int | None:
        """The exit code, once it has ended."""
        return self._end(socket.MSG_WAITALL)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class _Original:
    """The process that kernels are copies of, as its starter sees it."""

    def __init__(self) -> None:
        self.kernels: list[_Kernel] = []
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", forking.__file__, str(theirs.fileno()), *LIBRARIES],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def kernel(self, arguments: list[str], environment: Mapping[str, str], folder: Path) -> _Kernel:
        """A copy that is the kernel with these arguments, environment and folder.

        Raises
        ------
        OSError, EOFError
            If the process has ended.
        OtherSettings
            If the libraries would have read others in this environment.
        """
        own, theirs = socket.socketpair()
        request = {"arguments": arguments, "environment": dict(environment), "folder": str(folder)}
        with theirs:
            socket.send_fds(self.control, [b"."], [theirs.fileno()])
        own.sendall(json.dumps(request).encode() + b"\n")
        kernel = _Kernel(own)
        self.kernels = [each for each in self.kernels if each.poll() is None] + [kernel]
        return kernel

    def end(self) -> None:
        """End it and its kernels."""
        for kernel in self.kernels:
            kernel.kill()
        self.process.kill()
        self.process.wait()
        self.control.close()


class ForkedKernels(LocalProvisioner):
    """Starts this Python's kernels by forking, and all others as jupyter_client does."""

    process: Any = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel that ``cmd`` would start."""
        environment = dict(kwargs.get("env") or os.environ)
        folder = Path(kwargs.get("cwd") or Path.cwd())
        if cmd[0] == sys.executable and KERNEL in cmd and (original := _original()):
            try:
                arguments = cmd[cmd.index(KERNEL) + 1 :]
                self.process = original.kernel(arguments, environment, folder)
            except OtherSettings:  # this kernel starts by itself
                pass
            except (OSError, EOFError):  # it has ended, and this kernel too starts by itself
                end_forked_kernels()
            else:
                self.pid = self.pgid = self.process.pid
                self.cwd = folder
                return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)


def provisioner(forked: bool) -> str:
    """The name of who starts a kernel: forked, if it is to be or others were before it, or as
    Jupyter does.
    """
    return PROVISIONER if (forked or _begun) and _registered() else JUPYTERS


def _registered() -> bool:
    """Whether Jupyter knows `ForkedKernels`: not in an environment older than they are."""
    return bool(entry_points(group="jupyter_client.kernel_provisioners", name=PROVISIONER))


_begun: list[_Original] = []

_one = threading.Lock()


def _original() -> _Original | None:
    """The process from which kernels are forked; it begins with the first of them. None where there
    is no forking.
    """
    if sys.platform != "linux":
        return None
    with _one:
        if not _begun:
            _begun.append(_Original())
        return _begun[0]


def begin_forked_kernels() -> None:
    """Let the process from which kernels are forked begin to import, while this one does something
    else.
    """
    if _registered():
        _original()


def end_forked_kernels() -> None:
    """Kill the forked kernels that this process has started, and the process they are copies of; it
    begins again with the next kernel.
    """
    while _begun:
        _begun.pop().end()


atexit.register(end_forked_kernels)
