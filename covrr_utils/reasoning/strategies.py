"""The reasoning strategies: from (reference, edit) to the description of the video after the edit.

    single_stage       describe the video after the edit in one go              (paper: "no explicit reasoning")
    two_stage          write the trace, then describe given the trace           (paper: reason -> describe)
    self_consistency   sample several traces, merge them, then describe         (paper: "5 rounds")
    gold_trace         describe given the benchmark's own trace                 (the ceiling of stage 2)

Each takes (triplet, clip) pairs and returns queries and failures; a row that fails never takes
another row with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import Description, Failure, Record
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.grammar import check_form
from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.reasoning import prompts
from covrr_utils.traces.reading import parse_trace, read_trace_text
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError
from covrr_utils.video.clips import Clip

SYNTHESES = ("vote", "model")


class UnknownStrategy(ValueError):
    """A strategy name that does not exist."""


@dataclass(frozen=True)
class Settings:
    """How strategies decode: ``decoding`` for every greedy step; ``samples`` traces at
    ``temperature`` for self-consistency.

    ``synthesis`` merges the sampled traces by majority ``vote`` per slot, or by asking the
    ``model`` (as the official code does). ``grammar`` constrains every trace (not the descriptions)
    to a form of `covrr_utils.backbones.grammar`. ``style``: how every prompt is worded
    (`covrr_utils.reasoning.prompts.STYLES`). ``layers``: depths of decoder blocks whose states
    descriptions keep too (`Backbone.describe`).
    """

    generation: Generation = field(default_factory=Generation)
    samples: int = 5
    temperature: float = 0.9
    synthesis: str = "vote"
    seed: int = 0
    layers: tuple[float, ...] = ()
    grammar: str | None = None
    style: str = "slots"

    @property
    def tracing(self) -> Generation:
        """The decoding of traces."""
        return replace(self.generation, grammar=self.grammar)

    def __post_init__(self):
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        if self.synthesis not in SYNTHESES:
            raise ValueError(f"unknown synthesis {self.synthesis!r}; known: {', '.join(SYNTHESES)}")
        if self.grammar is not None:
            check_form(self.grammar)


@dataclass
class Query:
    """What one triplet became: the description of the video after the edit, and the reasoning that
    led to it.

    ``written`` is stage 1's output to the letter, before anything in it was mended; None where the
    model wrote no single trace. ``retried`` says that what was written first held no trace, and
    that the model was asked again, under a grammar.
    """

    triplet: str
    description: Description
    trace: ReasoningTrace | None = None
    samples: list[str] = field(default_factory=list)
    written: str | None = None
    retried: bool = False

    def extra(self) -> dict:
        """What the store keeps beside the description."""
        kept = {
            "trace": self.trace.text() if self.trace else None,
            "samples": self.samples,
            "written": self.written,
        }
        return kept | ({"retried": True} if self.retried else {})


Items = Sequence[tuple[Triplet, Clip]]

Outcome = tuple[list[Query], list[Failure]]


def single_stage(
    backbone: Backbone, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Describe after the edit in one go."""
    asked = [
        Prompt(clip, prompts.single_stage(triplet.edit, settings.style)) for triplet, clip in items
    ]
    described = backbone.describe(asked, settings.generation, desc, settings.layers)
    return [
        Query(triplet.id, description)
        for (triplet, _), description in zip(items, described, strict=True)
    ], []


def two_stage(
    backbone: Backbone, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Write a trace greedily, then describe given it.

    What holds no trace is asked for again, once, under a grammar.
    """
    asked = [Prompt(clip, prompts.trace(triplet.edit, settings.style)) for triplet, clip in items]
    written = backbone.write(asked, settings.tracing, _label(desc, "traces"))
    traces, failures = _parsed(items, written)
    again = _again(backbone, items, failures, settings, desc)
    traces |= again
    queries = described(backbone, items, traces, settings, _label(desc, "descriptions"))
    texts = {triplet.id: text for (triplet, _), text in zip(items, written, strict=True)}
    queries = [
        replace(query, written=texts[query.triplet], retried=query.triplet in again)
        for query in queries
    ]
    return queries, [failure for failure in failures if failure.id not in again]


def self_consistency(
    backbone: Backbone, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Sample ``settings.samples`` traces, merge them, then describe given the result.

    Where none is usable, one is asked for under a grammar.
    """
    asked = [Prompt(clip, prompts.trace(triplet.edit, settings.style)) for triplet, clip in items]
    sampled: dict[str, list[str]] = {triplet.id: [] for triplet, _ in items}
    for number in range(settings.samples):
        generation = replace(
            settings.tracing,
            do_sample=True,
            temperature=settings.temperature,
            seed=settings.seed * 1000 + number,
        )
        texts = backbone.write(
            asked, generation, _label(desc, f"trace {number + 1} of {settings.samples}")
        )
        for (triplet, _), text in zip(items, texts, strict=True):
            sampled[triplet.id].append(text)
    if settings.synthesis == "model":
        merging = [
            Prompt(clip, prompts.synthesis(triplet.edit, sampled[triplet.id], settings.style))
            for triplet, clip in items
        ]
        traces, failures = _parsed(
            items, backbone.write(merging, settings.tracing, _label(desc, "synthesis"))
        )
    else:
        traces, failures = {}, []
        for triplet, _ in items:
            try:
                traces[triplet.id] = vote(sampled[triplet.id])
            except TraceError as error:
                failures.append(Failure(triplet.id, "trace", "unusable trace", str(error)))
    again = _again(backbone, items, failures, settings, desc)
    queries = described(
        backbone, items, traces | again, settings, _label(desc, "descriptions"), sampled
    )
    queries = [replace(query, retried=query.triplet in again) for query in queries]
    return queries, [failure for failure in failures if failure.id not in again]


def gold_trace(
    backbone: Backbone, items: Items, settings: Settings, desc: str | None = None
) -> Outcome:
    """Describe given the benchmark's gold trace; a triplet without one is a failure."""
    traces = {
        triplet.id: triplet.gold_trace for triplet, _ in items if triplet.gold_trace is not None
    }
    failures = [
        Failure(
            triplet.id, "trace", "no gold trace", "the benchmark has no gold trace for this triplet"
        )
        for triplet, _ in items
        if triplet.gold_trace is None
    ]
    return described(backbone, items, traces, settings, desc), failures


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


def validity(
    records: Iterable[Record], failures: Iterable[Failure], texts_per_failure: int = 1
) -> dict[str, object] | None:
    """How many of the traces a model wrote were traces as asked for, counted over every text
    (self-consistency writes several a triplet).

    Returns ``texts``, of them ``valid``, ``repaired`` and ``unusable`` (they add up), ``rate``
    (valid / texts, 0..1), ``repairs`` (how many texts needed which) and ``unwritten`` (triplets
    that failed before a trace was asked for). None where no trace is written at all.
    """
    lost = [failure.cause == "unusable trace" for failure in failures]
    texts = [text for record in records for text in _written(record.extra)]
    total, repairs, valid, unusable = (
        len(texts) + texts_per_failure * sum(lost),
        Counter(),
        0,
        texts_per_failure * sum(lost),
    )
    if not total:
        return None
    for text in texts:
        try:
            written = read_trace_text(text)
        except TraceError:
            unusable += 1
            continue
        valid += written.valid
        repairs.update(written.repairs)
    return {
        "texts": total,
        "valid": valid,
        "repaired": total - valid - unusable,
        "unusable": unusable,
        "rate": valid / total,
        "repairs": dict(repairs.most_common()),
        "unwritten": len(lost) - sum(lost),
    }


def _written(extra: Mapping) -> list[str]:
    """The texts in which a trace was asked for, an empty one among them."""
    return [extra["written"]] if extra.get("written") is not None else extra["samples"]


def _parsed(items: Items, texts: Sequence[str]) -> tuple[dict[str, ReasoningTrace], list[Failure]]:
    traces, failures = {}, []
    for (triplet, _), text in zip(items, texts, strict=True):
        try:
            traces[triplet.id] = parse_trace(text)
        except TraceError as error:
            failures.append(Failure(triplet.id, "trace", "unusable trace", str(error)))
    return traces, failures


def _again(
    backbone: Backbone,
    items: Items,
    failures: Sequence[Failure],
    settings: Settings,
    desc: str | None,
) -> dict[str, ReasoningTrace]:
    """Traces for the triplets that failed for want of one, written once more under the grammar of
    lines; none where one was in force already.
    """
    failed = {failure.id for failure in failures}
    left = [(triplet, clip) for triplet, clip in items if triplet.id in failed]
    if not left or settings.grammar is not None:
        return {}
    asked = [Prompt(clip, prompts.trace(triplet.edit, settings.style)) for triplet, clip in left]
    texts = backbone.write(
        asked, replace(settings.generation, grammar="lines"), _label(desc, "traces again")
    )
    return _parsed(left, texts)[0]


def described(
    backbone: Backbone,
    items: Items,
    traces: Mapping[str, ReasoningTrace],
    settings: Settings,
    desc: str | None = None,
    sampled: Mapping[str, list[str]] | None = None,
) -> list[Query]:
    """Stage 2 for every triplet that has a trace: its description after the edit, given the trace."""
    ready = [(triplet, clip) for triplet, clip in items if triplet.id in traces]
    asked = [
        Prompt(clip, prompts.after_trace(triplet.edit, traces[triplet.id].text(), settings.style))
        for triplet, clip in ready
    ]
    texts = backbone.describe(asked, settings.generation, desc, settings.layers)
    return [
        Query(triplet.id, description, traces[triplet.id], (sampled or {}).get(triplet.id, []))
        for (triplet, _), description in zip(ready, texts, strict=True)
    ]


def _label(desc: str | None, part: str) -> str | None:
    return None if desc is None else f"{desc}: {part}"
