"""Decodes videos in processes of their own: a decoder that hangs, dies or eats memory costs one
clip, not the run.

`Decoder.submit` gives a future, so that the next clips are decoded while the model works. The other
end of the pipe is this module run as ``python -m covrr_utils.video.decoder``: it reads one request
per line and answers with a line of json and the frames' bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from covrr_utils import paths
from covrr_utils.video.clips import ClipError, Decoded, Sampling, decode

SECONDS = 120.0  # for one clip

MEMORY = 8 * 1024**3  # bytes of address space of a decoding process, where the system can limit it


class Decoder:
    """``workers`` decoding processes, started when first needed and again when one was lost.

    Use it in a ``with`` block.
    """

    def __init__(self, workers: int = 1, seconds: float = SECONDS):
        self.seconds = seconds
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoding")
        self._own = threading.local()
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
            process.wait()

    def submit(self, path: Path, sampling: Sampling) -> Future[Decoded]:
        """Decode in the background; the future's result is what `covrr_utils.video.clips.decode`
        gives, or its `ClipError`.

        Two causes are added: "decoder hung" after ``seconds``, and "decoder died".
        """
        return self._threads.submit(self._ask, Path(path), sampling)

    def _process(self) -> subprocess.Popen:
        """This thread's process."""
        process = getattr(self._own, "process", None)
        if process is None or process.poll() is not None:
            package = str(Path(__file__).resolve().parents[2])
            process = self._own.process = subprocess.Popen(
                [sys.executable, "-m", "covrr_utils.video.decoder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(
                        filter(None, [package, os.environ.get("PYTHONPATH")])
                    )
                },
            )
            self._processes.append(process)
        return process

    def _ask(self, path: Path, sampling: Sampling) -> Decoded:
        process, late = self._process(), threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.seconds, stop)
        timer.start()
        try:
            process.stdin.write(
                json.dumps({"path": str(path), "sampling": asdict(sampling)}).encode() + b"\n"
            )
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or b"null")
            if answer and "cause" not in answer:
                frames = np.empty(answer["shape"], np.uint8)
                answer = (
                    answer
                    if process.stdout.readinto(frames.data.cast("B")) == frames.size
                    else None
                )
        except (OSError, ValueError):  # the pipe broke in the middle of a request or an answer
            answer = None
        finally:
            timer.cancel()
        shown = paths.relative(path)
        if answer is None:
            process.kill()
            code = process.wait()
            if late.is_set():
                raise ClipError(
                    "decoder hung",
                    f"{shown}: the decoder did not answer within {self.seconds:g} s and was"
                    " stopped",
                )
            raise ClipError(
                "decoder died",
                f"{shown}: the decoder died (exit code {code}); download the file again or"
                " convert it",
            )
        if "cause" in answer:
            raise ClipError(answer["cause"], answer["message"])
        return Decoded(
            frames, np.array(answer["indices"], np.int64), answer["total"], answer["fps"]
        )


def serve() -> None:
    """Answer requests until the pipe is closed.

    What libraries print goes to standard error, not into an answer.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError):
        pass  # a system without this limit: the time limit is left
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            found = decode(Path(request["path"]), Sampling(**request["sampling"]))
        except ClipError as error:
            answers.write(
                json.dumps({"cause": error.cause, "message": str(error)}).encode() + b"\n"
            )
        except MemoryError:
            message = (
                f"{paths.relative(Path(request['path']))}: its frames do not fit into"
                f" {MEMORY // 1024**3} GiB; sample fewer, or scale it down"
            )
            answers.write(json.dumps({"cause": "too large", "message": message}).encode() + b"\n")
        else:
            head = {
                "shape": found.frames.shape,
                "indices": found.indices.tolist(),
                "total": found.total,
                "fps": found.fps,
            }
            answers.write(
                json.dumps(head).encode() + b"\n" + np.ascontiguousarray(found.frames).data
            )
        answers.flush()


if __name__ == "__main__":
    serve()
