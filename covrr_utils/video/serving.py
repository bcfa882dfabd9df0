"""The decoding process: one request a line, answered with a line of json and the frames' bytes.

`covrr_utils.video.decoder` starts it and is the other end of the pipe.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from covrr_utils import paths
from covrr_utils.video.clips import ClipError, Decoded, Sampling
from covrr_utils.video.readers import decode
from covrr_utils.video.scaling import PixelBudget

MEMORY = 8 * 1024**3  # bytes that one clip may take, where the system can limit it


def serve() -> None:
    """Answer requests until the pipe is closed or the process that asks has ended.

    What libraries print goes to standard error, not into an answer.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        head, frames = _answer(json.loads(line))
        answers.write(json.dumps(head).encode() + b"\n")
        if frames is not None:
            answers.write(frames.data)
        answers.flush()


def _end_with(parent: int) -> None:
    """End this process soon after its parent, in the middle of a clip too."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def request(path: Path, sampling: Sampling) -> dict[str, object]:
    """What is asked of the process, in json's types."""
    budget = None if sampling.budget is None else vars(sampling.budget)
    return {"path": str(path), "sampling": sampling.to_dict(), "budget": budget}


def _answer(asked: dict[str, Any]) -> tuple[dict[str, object], np.ndarray | None]:
    """The head of an answer, and the frames that follow it; None after a head with a cause."""
    path = Path(asked["path"])
    budget = None if asked["budget"] is None else PixelBudget(**asked["budget"])
    _limit_memory()
    try:
        decoded = decode(path, Sampling(**asked["sampling"], budget=budget))
    except ClipError as error:
        return {"cause": error.cause, "message": str(error)}, None
    except MemoryError:
        message = (
            f"{paths.relative(path)}: its frames do not fit into {MEMORY // 1024**3} GiB; sample"
            " fewer, or scale it down"
        )
        return {"cause": "too large", "message": message}, None
    except Exception as error:  # whatever one video makes a library do is that video's miss
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        message = f"{paths.relative(path)}: cannot be decoded ({reason}); convert the video"
        return {"cause": "not decodable", "message": message}, None
    return _head(decoded), np.ascontiguousarray(decoded.frames)


def _head(decoded: Decoded) -> dict[str, object]:
    return {
        "shape": decoded.frames.shape,
        "indices": decoded.indices.tolist(),
        "total": decoded.total,
        "fps": decoded.fps,
        "reader": decoded.reader,
        "size": decoded.size,
    }


def _limit_memory() -> None:
    """Let the next request take `MEMORY` bytes of addresses beyond those that are mapped now.

    A system without such a limit still has the time limit.
    """
    with suppress(ImportError, ValueError, OSError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hardest = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * resource.getpagesize() + MEMORY
        if hardest != resource.RLIM_INFINITY:
            limit = min(limit, hardest)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hardest))
