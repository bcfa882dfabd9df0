"""CoVR-R Workbook: reason-aware composed video retrieval, to learn, run and extend.

The names below are the face of the package: what a chapter or a short script needs. Each is
imported from its room when it is first used, so that ``import covrr_utils`` loads neither PyTorch
nor anything else. Whatever is not here is imported from its room, for example
``from covrr_utils.judging import judges``.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.generation import Prompt
    from covrr_utils.backbones.registry import list_backbones
    from covrr_utils.benchmarks.benchmark import list_benchmarks
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.environment import show_versions
    from covrr_utils.experiments.recorded import recorded_run
    from covrr_utils.experiments.run import Run
    from covrr_utils.plotting.style import save_figure
    from covrr_utils.plotting.typesetting import readable
    from covrr_utils.reasoning import prompts
    from covrr_utils.retrieval.metrics import comparisons, recall_at
    from covrr_utils.retrieval.pooling import pool
    from covrr_utils.retrieval.weights import token_weights
    from covrr_utils.traces.reading import parse_trace

__version__ = "0.1.0"

__all__ = [
    "Backbone",
    "Prompt",
    "Run",
    "RunConfig",
    "comparisons",
    "list_backbones",
    "list_benchmarks",
    "parse_trace",
    "pool",
    "prompts",
    "readable",
    "recall_at",
    "recorded_run",
    "save_figure",
    "show_versions",
    "token_weights",
]

# The room of each name; `prompts` is a module of `reasoning`, all others stand in the module named.
_ROOMS = {
    "Backbone": "backbones.backbone",
    "Prompt": "backbones.generation",
    "Run": "experiments.run",
    "RunConfig": "experiments.config",
    "comparisons": "retrieval.metrics",
    "list_backbones": "backbones.registry",
    "list_benchmarks": "benchmarks.benchmark",
    "parse_trace": "traces.reading",
    "pool": "retrieval.pooling",
    "prompts": "reasoning.prompts",
    "readable": "plotting.typesetting",
    "recall_at": "retrieval.metrics",
    "recorded_run": "experiments.recorded",
    "save_figure": "plotting.style",
    "show_versions": "experiments.environment",
    "token_weights": "retrieval.weights",
}


def __getattr__(name: str) -> object:
    """A name of the face, imported from its room when it is first used (PEP 562)."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = import_module(f"{__name__}.{_ROOMS[name]}")
    value = room if room.__name__.endswith(f".{name}") else getattr(room, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# In a notebook, tqdm asks for ipywidgets when other packages import it; plain text bars are what
# this workbook wants.
warnings.filterwarnings("ignore", message="IProgress not found")
