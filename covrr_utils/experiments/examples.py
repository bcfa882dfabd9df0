"""Which triplet a chapter shows: the workbook's own examples where the benchmark has them, else the
first that can be shown; and which benchmark a chapter turns to for what the given one lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.descriptions import Descriptions
from covrr_utils.experiments.run import Run
from covrr_utils.files import say
from covrr_utils.video.clips import ClipError

RUNNING = {"mini": "233"}  # found with reasoning, far below without

CLIFF_HANGER = {"mini": "67"}  # missed with the right words: chapter 05 says why

OVERTAKEN = {"mini": "250"}  # falls behind when the first candidates are looked at again

FALLBACK = "mini-val"  # a benchmark with gold traces, whose truth is known


class NoExample(ValueError):
    """No triplet of a benchmark can be shown."""


def running(run: Run, strategy: str | None = None) -> Triplet:
    """The running example of the book where the benchmark has it, else the first triplet whose
    reference and target can be read; with a ``strategy``, one that it has described.

    Raises
    ------
    NoExample
        If there is none; it names the cause for the first triplet.
    """
    chosen = RUNNING.get(run.benchmark.name)
    triplets = sorted(run.benchmark.triplets, key=lambda triplet: triplet.id != chosen)
    causes = []
    for triplet in triplets:
        if (cause := _hidden(run, triplet, strategy)) is None:
            return triplet
        causes.append(f"{triplet.id}: {cause}")
    raise NoExample(
        f"none of the {len(triplets)} triplets of {run.benchmark.name} can be shown ({causes[0]});"
        " `covrr check` lists what is wrong with its videos"
    )


def cliff_hanger(run: Run) -> Triplet | None:
    """The triplet that chapter 04 shows as missed and chapter 05 explains, None where the benchmark
    does not have it.
    """
    chosen = CLIFF_HANGER.get(run.benchmark.name)
    return next((triplet for triplet in run.benchmark.triplets if triplet.id == chosen), None)


def first_and(run: Run, chosen: Mapping[str, str], count: int) -> Run:
    """The run on its first ``count`` triplets and the one that ``chosen`` names for its benchmark,
    against the same gallery, by the same model.
    """
    also = chosen.get(run.benchmark.name)
    triplets = tuple(
        triplet
        for number, triplet in enumerate(run.benchmark.triplets)
        if number < count or triplet.id == also
    )
    benchmark = replace(run.benchmark, triplets=triplets)
    return Run(run.config, descriptions=Descriptions(run.config, benchmark, run.backbone))


def with_gold_traces(run: Run) -> Run:
    """The run, or one on the embedded `FALLBACK` where its benchmark has no gold traces; that is
    said in a sentence.
    """
    if run.benchmark.has_gold_traces and run.benchmark.has_targets:
        return run
    return _fallback(run, "has no gold traces to compare with")


def in_mini_world(run: Run) -> Run:
    """The run, or one on the embedded `FALLBACK` where it is not known what the clips show."""
    return run if run.benchmark.kind == "mini" else _fallback(run, "is not of the mini world")


def _fallback(run: Run, why: str) -> Run:
    say(f"{run.benchmark.name} {why}; what follows is about the embedded {FALLBACK} instead")
    config = run.config.replace(
        benchmark=FALLBACK, gallery=None, videos=(), label_layout=None, link_roots=()
    )
    return Run(config)


def _hidden(run: Run, triplet: Triplet, strategy: str | None) -> str | None:
    """Why a triplet cannot be shown, None if it can."""
    if triplet.target is None:
        return "it has no target"
    try:
        for video in (triplet.reference, triplet.target):
            run.clip(video)
    except ClipError as error:
        return f"{video}: {error.cause}"
    if strategy is not None:
        if triplet.target not in run.gallery():
            return f"{triplet.target}: not described"
        if triplet.id not in run.queries(strategy):
            return f"{strategy} has no description of it"
    return None
