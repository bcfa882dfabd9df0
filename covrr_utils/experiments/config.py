"""`RunConfig`: everything that decides a run, checked before anything is computed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from covrr_utils.backbones.sizes import ATTENTIONS, DTYPES, QUANTIZATIONS
from covrr_utils.benchmarks.labels import LAYOUTS
from covrr_utils.reasoning.prompts import STYLES
from covrr_utils.retrieval.pooling import POOLINGS, PREDICTS
from covrr_utils.retrieval.weights import WEIGHTINGS


class UnknownParameter(ValueError):
    """A parameter that no run has: most likely misspelt."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run. Notebook parameters are these names in upper case."""

    benchmark: str = "mini"
    backbone: str = "mini-3m"
    strategies: tuple[str, ...] = ("single_stage", "two_stage")
    pooling: str = "weighted_mean"
    scheme: str = "word"
    source: str = PREDICTS
    layers: tuple[float, ...] = ()
    seed: int = 0
    batch_size: int = 32
    limit: int | None = None
    samples: int = 5
    synthesis: str = "vote"
    max_new_tokens: int | None = None
    grammar: str | None = None
    device: str = "auto"
    prompt_style: str = "slots"
    gallery: str | None = None
    videos: tuple[str, ...] = ()
    label_layout: str | None = None
    fps: float | None = None
    num_frames: int | None = None
    video_pixels: int | None = None
    dtype: str = "auto"
    attention: str | None = None
    device_map: str | None = None
    quantization: str | None = None
    revision: str | None = None

    def __post_init__(self):
        from covrr_utils.reasoning.settings import Settings
        from covrr_utils.reasoning.strategies import strategy

        if isinstance(self.strategies, str):
            raise ValueError(
                f"strategies must be a list of names, got the single text {self.strategies!r};"
                f" write [{self.strategies!r}]"
            )
        object.__setattr__(self, "strategies", tuple(self.strategies))
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(
            self, "videos", (self.videos,) if isinstance(self.videos, str) else tuple(self.videos)
        )
        for name in self.strategies:
            strategy(name)
        Settings(samples=self.samples, synthesis=self.synthesis, grammar=self.grammar)
        choices = (
            ("pooling", self.pooling, POOLINGS),
            ("scheme", self.scheme, WEIGHTINGS),
            ("prompt_style", self.prompt_style, STYLES),
            ("label_layout", self.label_layout, (None, *LAYOUTS)),
            ("quantization", self.quantization, (None, *QUANTIZATIONS)),
            ("dtype", self.dtype, DTYPES),
            ("attention", self.attention, (None, *ATTENTIONS)),
        )
        for name, value, known in choices:
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; known: {', '.join(map(str, known))}")
        for name in ("batch_size", "limit", "max_new_tokens", "num_frames", "video_pixels"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.fps is not None and (
            isinstance(self.fps, bool) or not isinstance(self.fps, int | float) or self.fps <= 0
        ):
            raise ValueError(f"fps must be a number above 0, got {self.fps!r}")
        if self.fps is not None and self.num_frames is not None:
            raise ValueError(
                f"give fps or num_frames, not both; got fps={self.fps} and"
                f" num_frames={self.num_frames}"
            )

    def options(self) -> dict[str, object]:
        """What is set otherwise than by default among that which changes descriptions: it belongs
        to the name of a result.
        """
        deciding = (
            "prompt_style",
            "fps",
            "num_frames",
            "video_pixels",
            "dtype",
            "attention",
            "quantization",
            "revision",
        )
        values = {
            field.name: (getattr(self, field.name), field.default)
            for field in fields(self)
            if field.name in deciding
        }
        return {name: value for name, (value, default) in values.items() if value != default}

    @classmethod
    def from_notebook(cls, names: Mapping[str, object], own: Sequence[str] = ()) -> RunConfig:
        """A configuration from a notebook's ``globals()``: every UPPER_CASE plain value in it is
        taken as a parameter.

        ``own`` names the parameters that the notebook reads by itself. papermill only warns about a
        parameter that a notebook does not have; here it is an `UnknownParameter`.
        """
        plain = (str, int, float, list, tuple, type(None))
        given = {
            name: value
            for name, value in names.items()
            if name.isupper() and name[0] != "_" and isinstance(value, plain)
        }
        known = {field.name.upper(): field.name for field in fields(cls)}
        for name in given:
            if name not in known and name not in own:
                near = difflib.get_close_matches(name, [*known, *own], 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UnknownParameter(
                    f"unknown parameter {name}{hint} Known: {', '.join([*known, *own])}"
                )
        return cls(**{known[name]: value for name, value in given.items() if name in known})
