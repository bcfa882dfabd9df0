"""Decodes videos in processes of their own: a decoder that hangs, dies or eats memory costs one
clip, not the run.

`Decoder.submit` gives a future, so that the next clips are decoded while the model works;
`read_clip` waits for one clip. The other end of the pipe is `covrr_utils.video.serving`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import IO

import numpy as np

from covrr_utils import paths
from covrr_utils.video.clips import Clip, ClipError, Decoded, NoRoom, Sampling, as_clip
from covrr_utils.video.serving import request

SECONDS = 120.0  # for one clip

STARTING = 60.0  # seconds more for the first clip of a process, which has to start


# what a decoding process runs: the standard library first, then the places where the parent finds
# its packages, and this very package
START = """
import importlib.util, sys
package, *places = sys.argv[1:]
sys.path += [place for place in places if place not in sys.path]
spec = importlib.util.spec_from_file_location(
    "covrr_utils", package + "/__init__.py", submodule_search_locations=[package]
)
sys.modules["covrr_utils"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["covrr_utils"])
from covrr_utils.video.serving import serve
serve()
"""


def _working_folder() -> str | None:
    """The user's working folder; None where it was deleted meanwhile."""
    try:
        return os.path.realpath(os.getcwd())
    except FileNotFoundError:
        return None


@dataclass
class _Process:
    """A decoding process, its pipes, and what it writes to standard error."""

    process: subprocess.Popen[bytes]
    requests: BufferedWriter
    answers: BufferedReader
    errors: IO[bytes]
    started: bool = False  # whether it has answered before

    @classmethod
    def start(cls) -> _Process:
        """Start one that shares neither folder nor environment of Python with the user's code."""
        package = Path(__file__).resolve().parents[1]
        here = _working_folder()
        known = [place for place in sys.path if place and (here or os.path.isabs(place))]
        places = [place for place in known if os.path.realpath(place) != here]
        errors = tempfile.TemporaryFile()
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, str(package), *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=package if here is None else None,  # libraries ask where they are
            start_new_session=True,
        )
        assert isinstance(process.stdin, BufferedWriter)
        assert isinstance(process.stdout, BufferedReader)
        return cls(process, process.stdin, process.stdout, errors)

    def stop(self) -> int:
        """End it; gives its exit code."""
        self.process.kill()
        return self.process.wait()

    def written(self) -> int:
        """How many bytes it has written to standard error."""
        return os.fstat(self.errors.fileno()).st_size

    def last_words(self, since: int) -> str:
        """The last line that it wrote to standard error after so many bytes: of a Python error,
        class and message.
        """
        self.errors.seek(max(self.written() - 4096, since))
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""


class Decoder:
    """``workers`` decoding processes, started when first needed and again when one was lost.

    Use it in a ``with`` block.
    """

    def __init__(self, workers: int = 1, seconds: float = SECONDS):
        self.seconds = seconds
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoding")
        self._own = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; what was submitted and not yet decoded is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
            process.wait()

    def start(self) -> None:
        """Start a process now, so that the next clip does not wait for it."""
        self._threads.submit(self._process)

    def submit(self, path: Path, sampling: Sampling) -> Future[Decoded]:
        """Decode in the background; the future's result is what `covrr_utils.video.readers.decode`
        gives, or its `ClipError`.

        Two causes are added: "decoder hung" after ``seconds``, and "decoder died".
        """
        return self._threads.submit(self._ask, Path(path), sampling)

    def _process(self) -> _Process:
        """This thread's process."""
        process: _Process | None = getattr(self._own, "process", None)
        if process is None or process.process.poll() is not None:
            process = self._own.process = _Process.start()
            self._processes.append(process.process)
        return process

    def _ask(self, path: Path, sampling: Sampling) -> Decoded:
        process, late = self._process(), threading.Event()

        def stop() -> None:
            late.set()
            process.process.kill()

        allowed = self.seconds if process.started else self.seconds + STARTING
        timer = threading.Timer(allowed, stop)
        timer.start()
        frames: np.ndarray | None = None
        room, written = True, process.written()
        try:
            message = json.dumps(request(path, sampling))
            process.requests.write(message.encode() + b"\n")
            process.requests.flush()
            answer = json.loads(process.answers.readline() or b"null")
            if answer and "cause" not in answer:
                frames = np.empty(answer["shape"], np.uint8)
                if process.answers.readinto(frames.data.cast("B")) != frames.size:
                    answer = None
        except (OSError, ValueError):  # the pipe broke in the middle of a request or an answer
            answer = None
        except MemoryError:
            answer, room = None, False
        finally:
            timer.cancel()
        shown = paths.relative(path)
        if answer is None:
            code = process.stop()
            if late.is_set():
                raise ClipError(
                    "decoder hung",
                    f"{shown}: the decoder did not answer within {allowed:g} s and was stopped",
                )
            if not room:
                raise NoRoom(
                    f"{shown}: its frames do not fit into the memory that is left; sample fewer"
                    " frames, or take a smaller batch size, and run the same again"
                )
            words = process.last_words(written if process.started else 0)
            raise ClipError(
                "decoder died",
                f"{shown}: the decoder died (exit code {code}){f': {words}' if words else ''};"
                f" {'convert the file' if code < 0 else 'see to that error'} and run the same"
                " again",
            )
        process.started = True
        if "cause" in answer:
            raise ClipError(answer["cause"], answer["message"])
        assert frames is not None
        return Decoded(
            frames,
            np.array(answer["indices"], np.int64),
            answer["total"],
            answer["fps"],
            answer["reader"],
            tuple(answer["size"]),
        )


def submitted(
    decoder: Decoder, path_of: Callable[[str], Path], video: str, sampling: Sampling
) -> tuple[str, Future[Decoded]]:
    """The path of a video and its clip to come; "" and the error where ``path_of`` raises one, as
    it does for a video that is not there.
    """
    try:
        path = path_of(video)
    except Exception as error:  # one video's, told where its clip is asked for
        answer: Future[Decoded] = Future()
        answer.set_exception(error)
        return "", answer
    return str(path), decoder.submit(path, sampling)


def told(error: Exception) -> ClipError:
    """Any error that a video's decoding ended in, as the cause of that video's miss."""
    if isinstance(error, ClipError):
        return error
    lines = str(error).strip().splitlines() or [""]
    message = f"{type(error).__name__}: {lines[0][:300]}"
    return ClipError("read error" if isinstance(error, OSError) else "not decodable", message)


@functools.cache
def shared() -> Decoder:
    """One decoding process for all that is described or looked at; it ends with this process.

    To start one takes a second, so it is kept from one work to the next.
    """
    decoder = Decoder()
    atexit.register(decoder.close)
    return decoder


def read_clip(path: Path, sampling: Sampling, id: str | None = None) -> Clip:
    """The frames that ``sampling`` takes, with their times, decoded in the `shared` process.

    Raises
    ------
    ClipError
        With one of the causes in `covrr_utils.video.clips.CAUSES`.
    """
    path = Path(path)
    try:
        decoded = shared().submit(path, sampling).result()
    except Exception as error:
        raise told(error) from error
    return as_clip(decoded, path.stem if id is None else id)
