"""What a reranker is asked: pairs of a query's question and a candidate's clip, by the batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from covrr_utils.backbones.description import Description, Failure, Record
from covrr_utils.experiments.computing import spread
from covrr_utils.experiments.engines import RAY
from covrr_utils.experiments.ranking_group import DESCRIPTION, WITH_SOURCE, WITH_TRACE, YES_NO
from covrr_utils.experiments.workers import Unscored
from covrr_utils.reasoning import prompts
from covrr_utils.store.batches import fill
from covrr_utils.store.collection import Collection
from covrr_utils.store.prefetch import Items, Work
from covrr_utils.video.clips import Clip, ClipError
from covrr_utils.video.decoder import read_clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.descriptions import Descriptions
    from covrr_utils.experiments.run import Run

SOURCES = 16  # clips of sources that are kept for the next pairs


class PairScorer(Protocol):
    """What a reranker asks a backbone: for every clip, each of its texts, one `Description` whose
    ``logprobs`` are what was measured; their sum is the pair's score. ``forwarded`` counts tokens.
    """

    forwarded: int

    def of(
        self, clips: Sequence[Clip], texts: Sequence[Sequence[str]]
    ) -> list[list[Description]]: ...


@dataclass(frozen=True)
class PairQuery:
    """What a reranker is told of a query: a text, and the video that stands before it, if any."""

    text: str
    source: str | None = None


@dataclass(frozen=True)
class PairBatch:
    """One batch of the store's work: clips in, a record for each of their questions out. Tokens and
    seconds are shared out evenly. A question whose source cannot be read is left out, and the
    source joins ``unread``.
    """

    scorer: PairScorer
    questions: Mapping[str, Mapping[str, PairQuery]]  # video -> stored name -> question
    read: Callable[[str], Clip]
    unread: dict[str, Failure]

    def __call__(self, clips: Items) -> tuple[list[Record], list[Failure]]:
        begun, tokens = time.perf_counter(), self.scorer.forwarded
        readable = [self._readable(self.questions[video]) for video, _ in clips]
        texts = [[question.text for question, _ in asked.values()] for asked in readable]
        sources = [[clip for _, clip in asked.values() if clip] for asked in readable]
        shown = {"sources": sources} if any(sources) else {}
        scored = self.scorer.of([clip for _, clip in clips], texts, **shown)
        pairs = max(sum(map(len, texts)), 1)
        cost = {
            "tokens": (self.scorer.forwarded - tokens) / pairs,
            "seconds": (time.perf_counter() - begun) / pairs,
        }
        return [
            Record(name, description, dict(cost))
            for names, descriptions in zip(readable, scored, strict=True)
            for name, description in zip(names, descriptions, strict=True)
        ], []

    def _readable(
        self, questions: Mapping[str, PairQuery]
    ) -> dict[str, tuple[PairQuery, Clip | None]]:
        """The questions with the clips of their sources, without those whose source is unread."""
        readable: dict[str, tuple[PairQuery, Clip | None]] = {}
        for name, question in questions.items():
            try:
                source = self.read(question.source) if question.source else None
            except ClipError as error:
                failure = Failure(str(question.source), "video", error.cause, str(error))
                self.unread[failure.id] = failure
            else:
                readable[name] = question, source
        return readable


def score_missing(
    descriptions: Descriptions, collection: Collection, tasks: Sequence[Unscored]
) -> None:
    """Have the run's reranker score these pairs, candidate by candidate, for what the backbone
    computes of a video is the same for every text. A source that cannot be read is the failure of
    its pairs; a candidate that cannot be, its own.
    """
    config, benchmark = descriptions.config, descriptions.benchmark
    desc = f"reranking by {config.rerank}"
    if config.engine == RAY:
        spread(descriptions, collection, tasks, score_missing, desc)
        return
    other = config.rerank_model
    model = descriptions.other_model(other) if other else descriptions.model
    sampling, path_of = model.backbone.sampling, benchmark.video_path

    @lru_cache(maxsize=SOURCES)
    def clip_of(video: str) -> Clip:
        return read_clip(path_of(video), sampling, video)

    questions: dict[str, dict[str, PairQuery]] = {}
    candidates: dict[str, str] = {}
    for task in tasks:
        questions.setdefault(task.video, {})[task.stored] = task.question
        candidates[task.video] = task.candidate
    unread: dict[str, Failure] = {}
    computes = [
        lane.inside(PairBatch(pair_scorer(config, lane.backbone), questions, clip_of, unread))
        for lane in model.lanes()
    ]
    work = [Work(video, candidate, video) for video, candidate in candidates.items()]
    fill(collection, work, path_of, sampling, computes, config.batch_size, desc)
    collection.record_failures(
        replace(unread[task.question.source], id=task.stored)
        for task in tasks
        if task.question.source in unread
    )


def pair_scorer(config: RunConfig, backbone: Backbone) -> PairScorer:
    """The scorer of a run's reranker, which asks this model."""
    from covrr_utils.backbones.likelihood import Likelihood
    from covrr_utils.backbones.yesno import YesNo

    if config.rerank == YES_NO:
        return YesNo(backbone)
    return Likelihood(backbone, prompts.describe(config.prompt_style))


def questions_of(run: Run, strategy: str) -> dict[str, PairQuery]:
    """What the run's reranker is told of every query, by triplet."""
    given, queries = run.config.rerank_input, run.queries(strategy)
    questions = {}
    for triplet in run.benchmark.triplets:
        query = queries.get(triplet.id)
        text = query.text if given == DESCRIPTION and query else triplet.edit
        if given == WITH_TRACE and query and query.trace:
            text = f"{text}\n{query.trace.text()}"
        source = triplet.reference if given in (WITH_SOURCE, WITH_TRACE) else None
        questions[triplet.id] = PairQuery(text, source)
    return questions
