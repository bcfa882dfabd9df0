"""A process that kills itself as ``kill -9`` does, just before or after it touches a folder for the
n-th time: every moment of writing is reached, however fast or slow the machine is.
"""

import os
import signal
import sys
from pathlib import Path

EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.truncate"}


class KillSwitch:
    """Counts the ``touches`` of ``folder``: what opens, makes, renames or removes a file there, and
    the begin and the end of every flush to disk. Kills the process at number ``at`` (0: never).
    """

    def __init__(self, folder: Path, at: int):
        self.folder, self.at, self.touches = os.fspath(folder), at, 0
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            self.touch()
            flush(descriptor)
            self.touch()

        os.fsync = fsync
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple) -> None:
        if event in EVENTS and any(
            isinstance(argument, str | os.PathLike) and os.fspath(argument).startswith(self.folder)
            for argument in arguments[:2]
        ):
            self.touch()

    def touch(self) -> None:
        self.touches += 1
        if self.touches == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
