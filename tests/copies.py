"""Processes that begin as copies of one that has imported what takes long: of this one, or of one
that did nothing else (`warm`, `warm_models`).
"""

import atexit
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

OF_A_WARM_ONE = multiprocessing.get_context("forkserver")

WARM = ["copies", "warm"]

OF_A_WARM_ONE.set_forkserver_preload(WARM)

HERE = str(Path(__file__).parent)


def start(target: Callable[..., None], *arguments: object) -> multiprocessing.Process:
    """A copy of the warm process that calls ``target``."""
    copy = OF_A_WARM_ONE.Process(target=target, args=arguments)
    before = os.environ.get("PYTHONPATH", "")
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [HERE, before]))):
        copy.start()  # the first also starts the warm process
    return copy


def write_to(folder: Path) -> None:
    """Let all that this process writes go to the files ``stdout`` and ``stderr``."""
    for descriptor, name, buffering in ((1, "stdout", -1), (2, "stderr", 1)):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        setattr(sys, name, open(descriptor, "w", buffering, "utf-8", closefd=False))


def _work(work: Callable[[], int | None], folder: Path, said: Path) -> None:
    os.chdir(folder)
    write_to(said)
    sys.exit(work())


def work_in_a_copy(work: Callable[[], int | None], folder: Path, said: Path) -> int:
    """The exit code of ``work`` in a copy of this process that begins in ``folder``; what it writes
    goes to ``said``.
    """
    said.mkdir(parents=True)
    copy = multiprocessing.get_context("fork").Process(target=_work, args=(work, folder, said))
    copy.start()
    copy.join()
    assert copy.exitcode is not None
    return copy.exitcode


def _covrr(arguments: Sequence[str], environment: Mapping[str, str], said: Path) -> None:
    os.setsid()
    write_to(said)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in sys.modules if name.startswith("covrr_utils")]:
        del sys.modules[name]  # it has read the settings of another environment
    from covrr_utils.cli.main import main

    try:
        sys.exit(main(arguments))
    finally:
        atexit._run_exitfuncs()


class Command:
    """A command of the shell at work, in a session of its own, with the environment of its start
    and the signals and the end of any other process.
    """

    def __init__(self, said: Path, *arguments: str):
        said.mkdir(parents=True)
        for name in ("stdout", "stderr"):
            (said / name).touch()  # to be read before the copy opens them
        self.said, self.process = said, start(_covrr, arguments, dict(os.environ), said)
        self.pid = self.process.pid

    @property
    def stdout(self) -> str:
        return (self.said / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.said / "stderr").read_text()

    def wait_until(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened while it is at work."""
        while not happened():
            assert self.process.is_alive(), self.stderr
            time.sleep(0.02)

    def end(self, seconds: float = 120) -> int:
        """Its exit code, once it has ended; minus the number of a signal that killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it has not ended"
        return self.process.exitcode
