"""``covrr plan``: what a run will cost, before it is computed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from covrr_utils.cli.options import Command, Request
from covrr_utils.cli.printing import say, say_json, terminal_width, text_table
from covrr_utils.experiments.hardware import GPUS
from covrr_utils.experiments.options import Number, OneOf, Options, Text, Whole

if TYPE_CHECKING:
    from covrr_utils.experiments.planning import Measured, Shape

FPS = 30.0  # of videos that are only said to be of some length


class PlanOptions(Options):
    """On what it would run, and what the videos are like."""

    gpu: Annotated[str, BeforeValidator(OneOf(names=tuple(GPUS)))] = Field(
        "h100", description="the GPU whose hours are estimated, by its data sheet"
    )
    gpus: Annotated[int, BeforeValidator(Whole())] = Field(
        1, description="how many of them share the work"
    )
    measure: Annotated[int, BeforeValidator(Whole(least=0))] = Field(
        0,
        description="first describe so many videos and queries here, through the store, to measure"
        " their lengths and seconds",
    )
    length: Annotated[float | None, BeforeValidator(Number(optional=True))] = Field(
        None, description="seconds of a video (default: as probed)"
    )
    picture: Annotated[
        str | None, BeforeValidator(Text(optional=True, stands_for="WIDTHxHEIGHT"))
    ] = Field(None, description="size of a frame, with length (default: as probed)")
    as_json: bool = Field(False, alias="json", description="for machines: one object")


def plan(own: PlanOptions, request: Request) -> int:
    """Estimate tokens, hours of a GPU, disk and memory of a run, each from low to high, and say
    which numbers are measured and which are assumed.
    """
    from covrr_utils.experiments import planning
    from covrr_utils.experiments.descriptions import benchmark_of

    config = request.config
    stated, benchmark = _stated(own), benchmark_of(config)
    shapes = planning.probed(benchmark) if stated is None else [stated]
    planned = planning.plan(config, benchmark, shapes, _known(own, request), own.gpu)
    if own.as_json:
        say_json(planned | {"gpus": own.gpus})
    else:
        say("\n".join(_lines(planned, own)))
    return 0


def _known(own: PlanOptions, request: Request) -> dict[str, Measured]:
    """What was measured here with this backbone; after the first videos and queries were described,
    where that is asked for. A model of the hub is not downloaded to tell.
    """
    from covrr_utils.backbones.addresses import EndpointError
    from covrr_utils.backbones.registry import checkpoint_folder
    from covrr_utils.experiments.descriptions import Descriptions, benchmark_of
    from covrr_utils.experiments.planning import measured

    config = request.config
    if checkpoint_folder(config.backbone) is None and not own.measure:
        return {}
    descriptions = Descriptions(config, benchmark_of(config))
    if own.measure:
        few = Descriptions(config, descriptions.benchmark.head(own.measure))
        few.videos(few.benchmark.gallery[: own.measure], "describing the first videos")
        for strategy in config.strategies:
            few.queries(strategy)
    try:
        return measured(descriptions)
    except EndpointError as error:
        say(f"nothing is taken as measured: {error}", error=True)
        return {}


def _stated(own: PlanOptions) -> Shape | None:
    """The shape of the videos, where it is given.

    Raises
    ------
    ValueError
        If only one of the two is, or the size cannot be read.
    """
    from covrr_utils.experiments.planning import Shape

    if own.length is None and own.picture is None:
        return None
    size = re.fullmatch(r"([1-9]\d*)\s*[xX×]\s*([1-9]\d*)", own.picture or "")
    if own.length is None or size is None:
        raise ValueError(
            "give --length SECONDS and --picture WIDTHxHEIGHT together, such as --length 10"
            f" --picture 1280x720; got {own.length!r} and {own.picture!r}"
        )
    return Shape(own.length, FPS, int(size[1]), int(size[2]))


def _lines(planned: dict[str, Any], own: PlanOptions) -> list[str]:
    """The plan for people."""
    time = f"on one {own.gpu}"
    rows = [
        {
            "step": step["step"],
            "prompts": f"{step['prompts']:,}",
            "prefill, M": _pair(step["prefill_tokens"], 1e6),
            "vision, M": _pair(step["vision_tokens"], 1e6),
            "decode, M": _pair(step["decode_tokens"], 1e6),
            time: _time(step["gpu_hours"]),
        }
        for step in planned["steps"]
    ]
    rows.append(dict.fromkeys(rows[0], "") | {"step": "all", time: _time(planned["gpu_hours"])})
    shares = planned["assumed_shares"]
    operations, bandwidth = shares["operations"], shares["bandwidth"]
    verdict = "fits" if planned["fits"] else "does not fit"
    lines = [
        f"{planned['benchmark']} with {planned['backbone']}: a video is"
        f" {_pair(planned['video_tokens'])} tokens ({planned['videos_probed']} looked at)",
        text_table(rows, list(rows[0]), terminal_width()),
        f"GPU hours: {_pair(planned['gpu_hours'])}; {_time(planned['gpu_hours'], own.gpus)} on"
        f" {own.gpus} x {own.gpu}",
        f"disk: {_pair(planned['disk_bytes'], 1e9)} GB of descriptions",
        f"memory: {_pair(planned['memory_bytes'], 1e9)} GB, of which the weights"
        f" {planned['weights_bytes'] / 1e9:.2g} GB, and activations on top; this {verdict} on one"
        f" {own.gpu} with {planned['at_once']} prompts at once",
        f"assumed: {operations[1]:.0%} to {operations[0]:.0%} of its operations a second and"
        f" {bandwidth[1]:.0%} to {bandwidth[0]:.0%} of its bandwidth are reached;"
        f" {'; '.join(planned['assumed'][1:]) or 'nothing else'}",
    ]
    for name, part in planned["measured_here"].items():
        lines.append(
            f"measured on this machine, {name}: {_pair(part['seconds_each'])} s and"
            f" {_pair(part['description_tokens'])} tokens each ({part['count']:,} described);"
            f" {_time(part['hours'])} for all"
        )
    return lines


def _time(hours: tuple[float, float], shared_by: int = 1) -> str:
    """Low and high in the unit that suits the longer one: seconds, minutes or hours."""
    for unit, each in (("s", 3600), ("min", 60)):
        if hours[1] * each / shared_by < 120:
            return f"{_pair(hours, shared_by / each)} {unit}"
    return f"{_pair(hours, shared_by)} h"


def _pair(pair: tuple[float, float], unit: float = 1.0) -> str:
    """Low and high with two digits that count; one number where they do not differ."""
    low, high = (_two_digits(value / unit) for value in pair)
    return low if low == high else f"{low} to {high}"


def _two_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


COMMANDS = {"plan": Command(plan, PlanOptions, positional="benchmark")}
