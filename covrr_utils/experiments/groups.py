"""The fields of a run in seven groups, each with what it means, its default and its valid values.

`covrr_utils.experiments.config.RunConfig` is made of these groups, and they are the groups of
``covrr run --help``. Nothing here needs torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from covrr_utils import paths
from covrr_utils.backbones.grammar import FORMS, check_form
from covrr_utils.backbones.sizes import ATTENTIONS, DTYPES, QUANTIZATIONS
from covrr_utils.benchmarks.galleries import CANDIDATES, CONVENTIONS, PER_SECTION, REFERENCE
from covrr_utils.benchmarks.labels import LAYOUTS
from covrr_utils.experiments.cluster_group import ClusterOptions
from covrr_utils.experiments.engines import EngineOptions
from covrr_utils.experiments.options import Each, Number, OneOf, Options, Text, Whole
from covrr_utils.experiments.ranking_group import RankingOptions
from covrr_utils.experiments.written_paths import checkpoint_from_here, from_here
from covrr_utils.reasoning.prompts import STYLES
from covrr_utils.reasoning.settings import SYNTHESES
from covrr_utils.reasoning.strategies import STRATEGIES
from covrr_utils.retrieval.pooling import ALONE, CONTEXT, POOLINGS, PREDICTS, READS, VISION
from covrr_utils.retrieval.vectors import FLOAT32, FORMATS
from covrr_utils.retrieval.weights import WEIGHTINGS

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")

DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def _layer(text: str) -> str:
    """A source of states that is a decoder block: ``layer 0``, ``layer 1``, ..."""
    if not re.fullmatch(r"layer \d+", text):
        raise ValueError(
            f"unknown source {text!r}; known: {PREDICTS}, {READS}, {VISION}, 'layer 0',"
            " 'layer 1', ..."
        )
    return text


def _device(text: str) -> str:
    """A device with its number: ``cuda:1``."""
    if text == "gpu":
        raise ValueError(f"unknown device 'gpu'; did you mean 'cuda'? known: {', '.join(DEVICES)}")
    kind, _, number = text.partition(":")
    if kind not in DEVICES[1:] or not number.isdecimal():
        raise ValueError(f"unknown device {text!r}; known: {', '.join(DEVICES)}, or as cuda:1")
    return text


class DataOptions(Options):
    """Which triplets, ranked against which videos."""

    benchmark: Annotated[str, BeforeValidator(Text())] = Field(
        "mini",
        description="embedded benchmark, path of a .benchmark.json or of a label file (csv, json)",
    )
    videos: Annotated[
        tuple[str, ...], BeforeValidator(Each(kind=Text(stands_for="DIR"), single=True))
    ] = Field(
        (),
        description="folder of the videos as DIR, or of one section of the labels as SECTION=DIR;"
        " give it once for each section (default: as the benchmark says)",
    )
    link_roots: Annotated[
        tuple[str, ...], BeforeValidator(Each(kind=Text(stands_for="DIR"), single=True))
    ] = Field(
        (),
        description="folder into which links among the videos may lead, as those of a hub's cache"
        " do; give it once for each (default: no link leads out of the video folder)",
    )
    gallery: Annotated[str | None, BeforeValidator(Text(optional=True, stands_for="GALLERY"))] = (
        Field(
            None,
            description="[per_section:](all|targets|folder|LIST)[+reference], or a published"
            " convention: webvid-covr, covr-r, challenge (default: the benchmark's)",
        )
    )
    label_layout: Annotated[
        str | None, BeforeValidator(OneOf(names=tuple(LAYOUTS), optional=True))
    ] = Field(None, description="layout of the label file (default: told by its content)")
    limit: Annotated[int | None, BeforeValidator(Whole(optional=True))] = Field(
        None, description="only the first N triplets (default: all)"
    )

    @field_validator("benchmark")
    @classmethod
    def _benchmark_from_here(cls, benchmark: str) -> str:
        embedded = list(paths.data_dir().glob("*/*.benchmark.json"))
        names = {path.name.removesuffix(".benchmark.json") for path in embedded}
        return benchmark if benchmark in names else from_here(benchmark)

    @field_validator("videos")
    @classmethod
    def _videos_from_here(cls, videos: tuple[str, ...]) -> tuple[str, ...]:
        resolved = []
        for text in videos:
            section, equals, folder = text.partition("=")
            whole = not equals or Path(text).expanduser().exists()
            resolved.append(from_here(text) if whole else f"{section}={from_here(folder)}")
        return tuple(resolved)

    @field_validator("link_roots")
    @classmethod
    def _link_roots_from_here(cls, link_roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(from_here, link_roots))

    @field_validator("gallery")
    @classmethod
    def _gallery_from_here(cls, gallery: str | None) -> str | None:
        if gallery is None or gallery in CONVENTIONS:
            return gallery
        per_section, colon, rest = gallery.rpartition(f"{PER_SECTION}:")
        source = rest.removesuffix(REFERENCE)
        place = source if source in (*CANDIDATES, PER_SECTION) else from_here(source)
        return f"{per_section}{colon}{place}{rest.removeprefix(source)}"


class BackboneOptions(Options):
    """The model, and how it lies in memory."""

    backbone: Annotated[str, BeforeValidator(Text())] = Field(
        "mini-3m",
        description="embedded or published backbone (qwen3-vl-8b), checkpoint folder or hub id",
    )
    revision: Annotated[str | None, BeforeValidator(Text(optional=True))] = Field(
        None, description="branch, tag or commit of a hub model (default: its main branch)"
    )
    device: Annotated[str, BeforeValidator(OneOf(names=DEVICES, also=_device))] = Field(
        "auto", description="cuda, cuda:1, mps, cpu; auto: a GPU where there is one"
    )
    dtype: Annotated[str, BeforeValidator(OneOf(names=DTYPES))] = Field(
        "auto", description="number format of the weights; auto: bfloat16 on a GPU, else float32"
    )
    attention: Annotated[str | None, BeforeValidator(OneOf(names=ATTENTIONS, optional=True))] = (
        Field(None, description="implementation of attention (default: transformers' own choice)")
    )
    device_map: Annotated[str | None, BeforeValidator(OneOf(names=DEVICE_MAPS, optional=True))] = (
        Field(None, description="auto: spread the layers over all GPUs (default: one device)")
    )
    quantization: Annotated[
        str | None, BeforeValidator(OneOf(names=tuple(QUANTIZATIONS), optional=True))
    ] = Field(None, description="quantized weights, by bitsandbytes (default: none)")
    batch_size: Annotated[int, BeforeValidator(Whole())] = Field(
        32, description="prompts at a time; halved where memory is not enough"
    )

    @field_validator("backbone")
    @classmethod
    def _backbone_from_here(cls, backbone: str) -> str:
        return checkpoint_from_here(backbone)


class PromptOptions(Options):
    """What the model sees of a video, and how it is asked."""

    fps: Annotated[float | None, BeforeValidator(Number(optional=True))] = Field(
        None, description="frames a second taken from each video (default: the checkpoint's)"
    )
    num_frames: Annotated[int | None, BeforeValidator(Whole(optional=True))] = Field(
        None, description="frames taken from each video, instead of fps"
    )
    video_pixels: Annotated[int | None, BeforeValidator(Whole(optional=True))] = Field(
        None,
        description="pixel budget of a whole video, frames x height x width (default: the"
        " checkpoint's)",
    )
    prompt_style: Annotated[str, BeforeValidator(OneOf(names=tuple(STYLES)))] = Field(
        "slots", description="wording of all prompts"
    )
    max_new_tokens: Annotated[int | None, BeforeValidator(Whole(optional=True))] = Field(
        None, description="limit of every generated text (default: the checkpoint's, else 256)"
    )

    @model_validator(mode="after")
    def _one_sampling(self) -> Self:
        if self.fps is not None and self.num_frames is not None:
            raise ValueError(
                f"give fps or num_frames, not both; got fps={self.fps} and"
                f" num_frames={self.num_frames}"
            )
        return self


class ReasoningOptions(Options):
    """From the edit to a trace, and to the description of the video after the edit."""

    strategies: Annotated[
        tuple[str, ...],
        BeforeValidator(Each(kind=OneOf(names=tuple(STRATEGIES)), noun="strategy", least=1)),
    ] = Field(("single_stage", "two_stage"), description="reasoning strategies that are compared")
    grammar: Annotated[
        str | None, BeforeValidator(OneOf(names=FORMS, also=check_form, optional=True))
    ] = Field(
        None,
        description="constrain the traces to a form, or to the text of a JSON schema (default: not"
        " constrained)",
    )
    samples: Annotated[int, BeforeValidator(Whole())] = Field(
        5, description="traces that self_consistency samples for each query"
    )
    synthesis: Annotated[str, BeforeValidator(OneOf(names=SYNTHESES))] = Field(
        "vote", description="how self_consistency merges its traces: slot by slot, or by the model"
    )
    seed: Annotated[int, BeforeValidator(Whole(least=0))] = Field(
        0, description="seed of everything that is sampled; greedy steps do not depend on it"
    )


class RetrievalOptions(Options):
    """From token states to one vector for each video and query."""

    embedding: Annotated[str, BeforeValidator(OneOf(names=(CONTEXT, ALONE)))] = Field(
        CONTEXT,
        description="whose states are pooled: those behind each word as it was written (context,"
        " the paper's way), or those of the finished description, read by itself (alone)",
    )
    pooling: Annotated[str, BeforeValidator(OneOf(names=tuple(POOLINGS)))] = Field(
        "weighted_mean", description="how the states of a description become one vector"
    )
    scheme: Annotated[str, BeforeValidator(OneOf(names=tuple(WEIGHTINGS)))] = Field(
        "word", description="weights of the tokens, for weighted_mean"
    )
    source: Annotated[str, BeforeValidator(OneOf(names=(PREDICTS, READS, VISION), also=_layer))] = (
        Field(
            PREDICTS,
            description="which states are pooled: those that predict a token, those that read it,"
            " the vision tokens, or those of a block that 'layers' keeps, such as 'layer 0'",
        )
    )
    vectors: Annotated[str, BeforeValidator(OneOf(names=FORMATS))] = Field(
        FLOAT32,
        description="number format in which pooled vectors are kept: float32, or float16 for large"
        " galleries, which takes half the disk and ranks by the rounded vectors",
    )
    layers: Annotated[
        tuple[float, ...], BeforeValidator(Each(kind=Number(most=1.0), noun="each of layers"))
    ] = Field(
        (),
        description="depths in (0, 1] of decoder blocks whose states are kept too (default: none)",
    )

    @model_validator(mode="after")
    def _states_that_a_text_has(self) -> Self:
        if self.embedding == ALONE and self.source not in (PREDICTS, READS):
            raise ValueError(
                f"a description that is read alone has no states of source {self.source!r}: it is"
                " read without a video, and of its states the last layer's are kept; with embedding"
                f" {ALONE!r} give source {PREDICTS!r} or {READS!r}"
            )
        return self


GROUPS = (
    DataOptions,
    BackboneOptions,
    EngineOptions,
    ClusterOptions,
    PromptOptions,
    ReasoningOptions,
    RetrievalOptions,
    RankingOptions,
)
