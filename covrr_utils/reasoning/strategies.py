"""The reasoning strategies: from (reference, edit) to the description of the video after the edit.

    single_stage       describe after the edit in one go         (paper: "no explicit reasoning")
    two_stage          write the trace, then describe given it   (paper: reason -> describe)
    self_consistency   merge several sampled traces, describe    (paper: "5 rounds")
    gold_trace         describe given the benchmark's own trace  (the ceiling of stage 2)

Each takes (triplet, clip) pairs and returns queries and failures; a row that fails never takes
another row with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from covrr_utils.backbones.description import Description, Failure
from covrr_utils.backbones.generation import Prompt
from covrr_utils.backbones.grammar import GrammarError
from covrr_utils.files import say
from covrr_utils.reasoning import prompts
from covrr_utils.reasoning.settings import Settings
from covrr_utils.reasoning.validity import UNUSABLE
from covrr_utils.traces.reading import parse_trace
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError

if TYPE_CHECKING:
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.benchmarks.benchmark import Triplet
    from covrr_utils.video.clips import Clip


class UnknownStrategy(ValueError):
    """A strategy name that does not exist."""


@dataclass
class Query:
    """What one triplet became: the description of the video after the edit, and the reasoning that
    led to it.

    ``written`` is stage 1's output to the letter, before anything in it was mended; None where the
    model wrote no single trace. ``retried`` says that what was written first held no trace, or
    lacked a slot, and that the model was asked again, under a grammar.
    """

    triplet: str
    description: Description
    trace: ReasoningTrace | None = None
    samples: list[str] = field(default_factory=list)
    written: str | None = None
    retried: bool = False


Items = Sequence["tuple[Triplet, Clip]"]

Outcome = tuple[list[Query], list[Failure]]

Traces = tuple[dict[str, ReasoningTrace], list[Failure]]


def single_stage(
    backbone: Writer, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Describe after the edit in one go."""
    questions = [
        Prompt(clip, prompts.single_stage(triplet.edit, settings.style)) for triplet, clip in items
    ]
    descriptions = backbone.describe(questions, settings.generation, desc, settings.layers)
    return [
        Query(triplet.id, description)
        for (triplet, _), description in zip(items, descriptions, strict=True)
    ], []


def two_stage(
    backbone: Writer, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Write a trace greedily, then describe given it.

    What holds no trace, or lacks a slot, is asked for again, once, under a grammar.
    """
    texts = backbone.write(
        _trace_prompts(items, settings), settings.tracing, _label(desc, "traces")
    )
    traces, failures = _parsed(items, texts)
    second = _second_traces(backbone, items, traces, settings, desc)
    queries = described(backbone, items, traces | second, settings, _label(desc, "descriptions"))
    written = {triplet.id: text for (triplet, _), text in zip(items, texts, strict=True)}
    queries = [
        replace(query, written=written[query.triplet], retried=query.triplet in second)
        for query in queries
    ]
    return queries, [failure for failure in failures if failure.id not in second]


def self_consistency(
    backbone: Writer, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Sample ``settings.samples`` traces, merge them, then describe given the result.

    Where none is usable, or the merged one lacks a slot, one is asked for under a grammar.
    """
    drawn = backbone.sample(
        _trace_prompts(items, settings),
        [settings.sampling(number) for number in range(settings.samples)],
        _label(desc, "traces"),
    )
    samples = {
        triplet.id: list(texts)
        for (triplet, _), texts in zip(items, zip(*drawn, strict=True), strict=True)
    }
    if settings.synthesis == "model":
        merging = [
            Prompt(clip, prompts.synthesis(triplet.edit, samples[triplet.id], settings.style))
            for triplet, clip in items
        ]
        merged = backbone.write(merging, settings.tracing, _label(desc, "synthesis"))
        traces, failures = _parsed(items, merged)
    else:
        traces, failures = _voted(items, samples)
    second = _second_traces(backbone, items, traces, settings, desc)
    queries = described(
        backbone, items, traces | second, settings, _label(desc, "descriptions"), samples
    )
    queries = [replace(query, retried=query.triplet in second) for query in queries]
    return queries, [failure for failure in failures if failure.id not in second]


def gold_trace(
    backbone: Writer, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Describe given the benchmark's gold trace; a triplet without one is a failure."""
    message = "the benchmark has no gold trace for this triplet"
    traces = {
        triplet.id: triplet.gold_trace for triplet, _ in items if triplet.gold_trace is not None
    }
    failures = [
        Failure(triplet.id, "trace", "no gold trace", message)
        for triplet, _ in items
        if triplet.gold_trace is None
    ]
    return described(backbone, items, traces, settings, desc), failures


def described(
    backbone: Writer,
    items: Items,
    traces: Mapping[str, ReasoningTrace],
    settings: Settings,
    desc: str | None = None,
    samples: Mapping[str, list[str]] | None = None,
) -> list[Query]:
    """Stage 2 for every triplet with a trace: its description after the edit, given the trace."""
    ready = [(triplet, clip) for triplet, clip in items if triplet.id in traces]
    questions = [
        Prompt(clip, prompts.after_trace(triplet.edit, traces[triplet.id].text(), settings.style))
        for triplet, clip in ready
    ]
    descriptions = backbone.describe(questions, settings.generation, desc, settings.layers)
    return [
        Query(triplet.id, description, traces[triplet.id], (samples or {}).get(triplet.id, []))
        for (triplet, _), description in zip(ready, descriptions, strict=True)
    ]


STRATEGIES: dict[str, Callable[..., Outcome]] = {
    "single_stage": single_stage,
    "two_stage": two_stage,
    "self_consistency": self_consistency,
    "gold_trace": gold_trace,
}


def strategy(name: str) -> Callable[..., Outcome]:
    """The strategy of that name; `UnknownStrategy` lists the known ones."""
    if name not in STRATEGIES:
        raise UnknownStrategy(f"unknown strategy {name!r}; known: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def vote(texts: Sequence[str]) -> ReasoningTrace:
    """Per slot, the assertions that most sampled traces agree on; ties go to the earlier trace.
    Unusable texts have no vote.

    Raises
    ------
    TraceError
        If none of the texts holds a trace.
    """
    traces = []
    for text in texts:
        try:
            traces.append(parse_trace(text))
        except TraceError:
            continue
    if not traces:
        raise TraceError(f"none of the {len(texts)} sampled texts holds a trace")
    return ReasoningTrace(
        **{
            slot: Counter(getattr(trace, slot) for trace in traces).most_common(1)[0][0]
            for slot in SLOTS
        }
    )


def _trace_prompts(items: Items, settings: Settings) -> list[Prompt]:
    """Stage 1's prompt for every triplet."""
    return [Prompt(clip, prompts.trace(triplet.edit, settings.style)) for triplet, clip in items]


def _parsed(items: Items, texts: Sequence[str]) -> Traces:
    """The trace in each text, by triplet id; a text without one is a failure."""
    traces, failures = {}, []
    for (triplet, _), text in zip(items, texts, strict=True):
        try:
            traces[triplet.id] = parse_trace(text)
        except TraceError as error:
            failures.append(Failure(triplet.id, "trace", UNUSABLE, str(error)))
    return traces, failures


def _voted(items: Items, samples: Mapping[str, list[str]]) -> Traces:
    """The vote of each triplet's samples; where none of them holds a trace, a failure."""
    traces, failures = {}, []
    for triplet, _ in items:
        try:
            traces[triplet.id] = vote(samples[triplet.id])
        except TraceError as error:
            failures.append(Failure(triplet.id, "trace", UNUSABLE, str(error)))
    return traces, failures


def _second_traces(
    backbone: Writer,
    items: Items,
    traces: Mapping[str, ReasoningTrace],
    settings: Settings,
    desc: str | None,
) -> dict[str, ReasoningTrace]:
    """Traces for the triplets that have none, or one that lacks a slot, written once more under the
    grammar of lines; none where a grammar was in force already. The slots that were there stay.
    """
    missing = {
        triplet.id: traces.get(triplet.id, ReasoningTrace()).missing() for triplet, _ in items
    }
    left = [(triplet, clip) for triplet, clip in items if missing[triplet.id]]
    if not left or settings.grammar is not None:
        return {}
    generation = replace(settings.generation, grammar="lines")
    try:
        texts = backbone.write(
            _trace_prompts(left, settings), generation, _label(desc, "traces again")
        )
    except GrammarError as error:  # too few tokens for any trace: what was written has to do
        say(f"{len(left)} traces are not asked for again under a grammar: {error}")
        return {}
    return {
        id_: replace(
            traces.get(id_, second), **{slot: getattr(second, slot) for slot in missing[id_]}
        )
        for id_, second in _parsed(left, texts)[0].items()
    }


def _label(desc: str | None, part: str) -> str | None:
    """The name of a progress bar of one part of a strategy; None stays None, no bar."""
    return None if desc is None else f"{desc}: {part}"
