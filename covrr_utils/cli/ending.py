"""How a command ends: with which code, whether it was stopped by Ctrl-C, by SIGTERM or by a reader
that went away, and with which last word.
"""

from __future__ import annotations

import atexit
import enum
import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from covrr_utils import paths
from covrr_utils.cli.printing import say
from covrr_utils.files import reason

STOPPED = "covrr: stopped; what is finished is stored, and the same command goes on from there"


class Code(enum.IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    MISTAKE = 2
    INTERRUPTED = 130  # 128 + SIGINT, as shells count
    CLOSED = 141  # 128 + SIGPIPE
    TERMINATED = 143  # 128 + SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM: stops everything as Ctrl-C does."""


@dataclass
class Outcome:
    """The code with which a command ends."""

    value: int = Code.FAILED


@contextmanager
def ending() -> Iterator[Outcome]:
    """Set the code for every way in which what runs within can end.

    SIGTERM, which job schedulers send, stops as Ctrl-C does. Output that a terminal's encoding does
    not hold is printed as escapes.
    """
    code = Outcome()
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _stoppable():
            try:
                yield code
                sys.stdout.flush()
            except SystemExit as stop:  # tyro has printed its help, or its error
                code.value = stop.code if isinstance(stop.code, int) else Code.FAILED
                sys.stdout.flush()
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        code.value = Code.TERMINATED if terminated else Code.INTERRUPTED
        _last_word(STOPPED)
    except OSError as error:
        code.value = _refused(error)
    except Exception:
        code.value = Code.FAILED
        raise


def leave(code: int) -> NoReturn:
    """End this process with ``code``, once all that is registered for the end is done.

    The modules of all libraries are not taken apart one by one: with torch and transformers that
    takes a second and a half, of a process whose memory the system takes back at once.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _open_closed() -> None:
    """Let standard output and error that were closed before the start lead nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM raises `Terminated` meanwhile, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refused(error: OSError) -> int:
    """The code for what the operating system refused: nobody reads the output any more, it cannot
    be written, or something else, which is said.
    """
    if isinstance(error, BrokenPipeError) and (_closed(sys.stdout) or _closed(sys.stderr)):
        _silence()
        return Code.CLOSED
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        _last_word(f"covrr: the output could not be written: {reason(error)}")
        _silence()
        return Code.FAILED
    where = f"{paths.relative(Path(error.filename))}: " if error.filename else ""
    _last_word(f"covrr: {where}{reason(error)}")
    return Code.FAILED


def _last_word(text: str) -> None:
    """Say how it ended, if anybody still listens."""
    with suppress(OSError):
        say(text, error=True)


def _closed(stream: TextIO) -> bool:
    """Whether the other end of a pipe is gone."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):  # no file behind it, as in a notebook or a test
        return False


def _silence() -> None:
    """Let the interpreter's own last flush go nowhere: its complaint would hide the code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if stream is sys.stdout or _closed(stream):
                os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
