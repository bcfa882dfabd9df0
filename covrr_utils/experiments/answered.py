"""What strategies have in common is asked once: a description after the same edit and trace, and a
sampled trace of the same number.

Most sampled traces say what the greedy one says, and self-consistency with five samples begins with
the three of self-consistency with three. A batch of queries finds such answers in the store, under
the keys of other strategies; what they cost counts as if they had been written again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.experiments.keys import Key, after_trace_wording, query_text, stored_name
from covrr_utils.reasoning import prompts
from covrr_utils.reasoning.batch import Clips, Computed
from covrr_utils.store.relatives import relatives

if TYPE_CHECKING:
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.experiments.computing import BatchOf
    from covrr_utils.experiments.descriptions import Descriptions
    from covrr_utils.store.collection import Collection
    from covrr_utils.store.records import StoredRecord

A = TypeVar("A", str, Description)

# entries of a key on which a description with a given trace does not depend, but for one wording
OF_STAGE_1 = ("prompts", "strategy", "samples", "synthesis", "seed", "grammar", "extra")

OF_THE_VOTE = ("samples", "synthesis")  # on which a sampled trace does not depend


@dataclass(frozen=True)
class Answer:
    """A record of the store: its description, or its sampled trace of this ``number``."""

    record: StoredRecord
    number: int | None = None

    @property
    def text(self) -> str:
        """What was written."""
        if self.number is None:
            return self.record.text
        return self.record.extra["samples"][self.number]

    @property
    def tokens(self) -> float:
        """What it took. Sampled traces share what all of them took evenly."""
        extra, described = self.record.extra, len(self.record.description.tokens)
        if self.number is None:
            return described
        return max(extra["tokens"] - described, 0) / len(extra["samples"])

    @property
    def seconds(self) -> float:
        """Its part of the record's time, by its tokens."""
        extra = self.record.extra
        return extra["seconds"] * self.tokens / max(extra["tokens"], 1)


Question = tuple[int, str, Generation]  # a clip in memory, what is asked about it, and how

Known = dict[Question, Answer]


class Recalling:
    """A writer that looks among ``known`` answers before it has ``writer`` write. They are read
    under a ``lock``, since other threads read the same store.
    """

    def __init__(self, writer: Writer, known: Known, layers: Sequence[float], lock: Lock):
        self.writer, self.known, self.layers, self.lock = writer, known, tuple(layers), lock
        self.tokens = self.seconds = 0.0  # of what was known

    @property
    def generated_tokens(self) -> int:
        """Tokens of all answers so far, the known ones among them."""
        return self.writer.generated_tokens + round(self.tokens)

    def write(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
    ) -> list[str]:
        """One text per prompt, in order."""
        generation = generation or Generation()
        ask = partial(self.writer.write, generation=generation, desc=desc)
        return self._answers(prompts, generation, lambda answer: answer.text, ask)

    def describe(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
        layers: Sequence[float] = (),
    ) -> list[Description]:
        """One `Description` per prompt, in order."""
        generation = generation or Generation()
        ask = partial(self.writer.describe, generation=generation, desc=desc, layers=layers)
        if tuple(layers) != self.layers:
            return ask(prompts)
        return self._answers(prompts, generation, lambda answer: answer.record.description, ask)

    def sample(
        self, prompts: Sequence[Prompt], generations: Sequence[Generation], desc: str | None = None
    ) -> list[list[str]]:
        """For each of these ways of generating, one text per prompt, in order; those that lack the
        same answers are written together.
        """
        known = [self._of(prompts, generation) for generation in generations]
        lacking = [tuple(answer is None for answer in answers) for answers in known]
        written: dict[int, list[str]] = {}
        for lack in dict.fromkeys(lacking):
            numbers = [number for number, other in enumerate(lacking) if other == lack]
            if any(lack):
                new = list(itertools.compress(prompts, lack))
                ways = [generations[number] for number in numbers]
                written |= dict(zip(numbers, self.writer.sample(new, ways, desc), strict=True))
        return [
            self._joined(answers, written.get(number, []), lambda answer: answer.text)
            for number, answers in enumerate(known)
        ]

    def _answers(
        self,
        prompts: Sequence[Prompt],
        generation: Generation,
        recalled: Callable[[Answer], A],
        ask: Callable[[Sequence[Prompt]], list[A]],
    ) -> list[A]:
        known = self._of(prompts, generation)
        new = [prompt for prompt, answer in zip(prompts, known) if answer is None]
        return self._joined(known, ask(new) if new else [], recalled)

    def _of(self, prompts: Sequence[Prompt], generation: Generation) -> list[Answer | None]:
        """The known answer to each prompt."""
        return [self.known.get((id(p.clip), p.text, generation)) for p in prompts]

    def _joined(
        self, known: Sequence[Answer | None], written: Sequence[A], recalled: Callable[[Answer], A]
    ) -> list[A]:
        """The known answers, and in the places of the others, in order, what was written."""
        new, answers = iter(written), []
        with self.lock:
            for answer in known:
                if answer is None:
                    answers.append(next(new))
                else:
                    answers.append(recalled(answer))
                    self.tokens += answer.tokens
                    self.seconds += answer.seconds
        return answers


@dataclass(frozen=True)
class Answered:
    """A batch of queries, with what other strategies were answered.

    ``described`` and ``sampled`` are records by triplet.
    """

    descriptions: Descriptions
    writer: Writer
    described: Mapping[str, Sequence[StoredRecord]]
    sampled: Mapping[str, Sequence[StoredRecord]]
    batch: BatchOf
    lock: Lock

    def __call__(self, clips: Clips) -> Computed:
        settings = self.descriptions.settings
        with self.lock:
            known = self._known(clips)
        writer = Recalling(self.writer, known, settings.layers, self.lock)
        records, failures = self.batch(self.descriptions, writer)(clips)
        share = writer.seconds / len(clips)
        longer = [
            replace(r, extra={**r.extra, "seconds": r.extra["seconds"] + share}) for r in records
        ]
        return longer, failures

    def _known(self, clips: Clips) -> Known:
        settings, known = self.descriptions.settings, Known()
        edits = {triplet.id: triplet.edit for triplet in self.descriptions.benchmark.triplets}
        for triplet, clip in clips:
            edit = edits[triplet]
            for record in self.described.get(triplet, ()):
                if (trace := record.extra["trace"]) is not None:
                    question = prompts.after_trace(edit, trace, settings.style)
                    known[id(clip), question, settings.generation] = Answer(record)
            question = prompts.trace(edit, settings.style)
            for record in self.sampled.get(triplet, ()):
                for number in range(len(record.extra["samples"])):
                    how = settings.sampling(number)
                    known[id(clip), question, how] = Answer(record, number)
        return known


def answered(descriptions: Descriptions, key: Key, batch: BatchOf) -> BatchOf:
    """``batch`` of the queries of ``key``, but for what the store holds of its answers."""
    of_stage_2 = [
        relative
        for relative in relatives(descriptions.store, "queries", key, OF_STAGE_1)
        if after_trace_wording(relative.key) == after_trace_wording(key)
    ]
    voting = key["strategy"] == "self_consistency"
    of_the_vote = relatives(descriptions.store, "queries", key, OF_THE_VOTE) if voting else []
    described, sampled = (_records(descriptions, some) for some in (of_stage_2, of_the_vote))
    if not described and not sampled:
        return batch
    lock = Lock()
    return lambda d, writer: Answered(d, writer, described, sampled, batch, lock)


def _records(
    descriptions: Descriptions, collections: Sequence[Collection]
) -> dict[str, list[StoredRecord]]:
    """What these collections hold for each triplet, by id; damaged shards are left out."""
    found: dict[str, list[StoredRecord]] = {}
    if not collections:
        return found
    names_of_both = [
        {
            t.id: stored_name(t.id, descriptions.content(t.reference), query_text(t, asked))
            for t in descriptions.benchmark.triplets
        }
        for asked in ("two_stage", "gold_trace")  # the two kinds of `query_text`
    ]
    for relative in collections:
        for names in names_of_both:
            relative.missing(name for name in names.values() if name in relative)
            for id_, record in relative.records(names).items():
                found.setdefault(id_, []).append(record)
    return found
