"""Small models answer several batches at once on a CPU, each on one core.

One operation of a small model is too short to be shared out among cores: with two threads an
operation of the embedded backbones takes nearly as long as with one, and where other work runs
beside it, its threads wait for each other (OpenMP) and it takes many times as long. So every core
gets batches of its own. The lanes share the model and what was seen of clips; each has a processor
and prefixes of its own, because tokenizers and caches are not made for two threads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from covrr_utils.backbones.chat import Layout

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

SMALL = 50_000_000  # weights: with more of them, an operation keeps several cores busy

MOST = 4  # lanes: one process decodes about as many clips as four answer

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Lane:
    """A backbone for one thread, which computes with so many ``threads`` of its own."""

    backbone: Backbone
    threads: int

    def inside(self, compute: Callable[P, R]) -> Callable[P, R]:
        """``compute`` with this lane's number of threads, set in the thread that calls it."""

        def limited(*args: P.args, **kwargs: P.kwargs) -> R:
            import torch

            if torch.get_num_threads() != self.threads:
                torch.set_num_threads(self.threads)
            return compute(*args, **kwargs)

        return limited


def lanes(backbone: Backbone) -> list[Lane]:
    """How this backbone works on several batches at once: one lane a core for a small model on a
    CPU, else a single one, which is the backbone itself with all threads.
    """
    import torch

    threads = torch.get_num_threads()
    count = min(threads, MOST)
    if count == 1 or backbone.device() != "cpu" or backbone.parameters() > SMALL:
        return [Lane(backbone, threads)]
    return [Lane(_beside(backbone, number), threads // count) for number in range(count)]


def _beside(backbone: Backbone, number: int) -> Backbone:
    """The same model for another thread, the one of this number."""
    other = copy.copy(backbone)
    other.processor = copy.deepcopy(backbone.processor)
    other.layout = Layout(other.processor)
    other.generator = backbone.generator.beside(other, number)
    return other
