"""When memory runs out: how it is told from other errors, and what can be given back."""

from __future__ import annotations

import gc
import sys


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, CUDA's, or the CPU allocator's."""
    message = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "out of memory" in message
        or "can't allocate memory" in message
        or "not enough memory" in message
    )


def free_memory() -> None:
    """Give back what nothing refers to any more, on a GPU too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
