"""A second look at the first candidates: the backbone scores pairs of a query's text and a
candidate's video, through the store.

What is asked for all queries together is grouped by candidate, for what the backbone computes of a
video is the same for every text. Every finished batch is stored, so an interrupted reranking goes
on where it stopped, and no pair is scored twice. A candidate that cannot be scored is recorded, and
keeps its place.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.special import expit

from covrr_utils.backbones.description import Description, Failure, Record
from covrr_utils.backbones.qwen import match_question
from covrr_utils.experiments.keys import pair_key, stored_name
from covrr_utils.experiments.ranking_group import ADAPTIVE, DESCRIPTION, YES_NO
from covrr_utils.reasoning import prompts
from covrr_utils.retrieval.fusion import ABSENT
from covrr_utils.retrieval.ranking import top
from covrr_utils.retrieval.reranking import is_sure, reranked
from covrr_utils.retrieval.scores import Scores
from covrr_utils.store.batches import fill
from covrr_utils.store.collection import Collection
from covrr_utils.store.prefetch import Items, Work

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run
    from covrr_utils.video.clips import Clip

STEP, DEEPEST = 5, 50  # adaptive: so many candidates more at a time, and at most (CoVRAGE)

CONFIDENT = 0.7  # adaptive: a best candidate of at least this confidence ends the search (CoVRAGE)

Pair = tuple[str, str]  # a triplet and a candidate video


class PairScorer(Protocol):
    """What a reranker asks a backbone: for every clip, each of its texts, one `Description` whose
    ``logprobs`` are what was measured; their sum is the pair's score. ``forwarded`` counts tokens.
    """

    forwarded: int

    def of(
        self, clips: Sequence[Clip], texts: Sequence[Sequence[str]]
    ) -> list[list[Description]]: ...


@dataclass(frozen=True)
class Reranking:
    """What a reranking cost, and what it could not score.

    Attributes
    ----------
    pairs : scored pairs of a query and a candidate
    tokens, seconds : what all of them cost when they were scored, also where they lay in the store
    failures : why a candidate could not be scored, by video
    unscored : pairs without a score, which kept their first-stage place
    """

    reranker: str
    queries: int
    pairs: int
    tokens: float
    seconds: float
    failures: Mapping[str, Failure]
    unscored: int

    def summary(self) -> dict[str, object]:
        """What a result says of it: per query, all queries counted."""
        return {
            "reranker": self.reranker,
            "pairs_per_query": self.pairs / self.queries,
            "tokens_per_query": self.tokens / self.queries,
            "seconds_per_query": self.seconds / self.queries,
            "unscored_pairs": self.unscored,
            "failures": {video: failure.cause for video, failure in self.failures.items()},
        }


@dataclass(frozen=True)
class PairBatch:
    """One batch of the store's work: clips in, a record for each of their texts out. Tokens and
    seconds are shared out evenly.
    """

    scorer: PairScorer
    texts: Mapping[str, Mapping[str, str]]  # video -> stored name -> text

    def __call__(self, clips: Items) -> tuple[list[Record], list[Failure]]:
        begun, tokens = time.perf_counter(), self.scorer.forwarded
        texts = [self.texts[video] for video, _ in clips]
        scored = self.scorer.of([clip for _, clip in clips], [list(t.values()) for t in texts])
        pairs = sum(map(len, texts))
        cost = {
            "tokens": (self.scorer.forwarded - tokens) / pairs,
            "seconds": (time.perf_counter() - begun) / pairs,
        }
        return [
            Record(name, description, dict(cost))
            for names, descriptions in zip(texts, scored, strict=True)
            for name, description in zip(names, descriptions, strict=True)
        ], []


def pair_scorer(config: RunConfig, backbone: Backbone) -> PairScorer:
    """The scorer of a run's reranker."""
    from covrr_utils.backbones.likelihood import Likelihood
    from covrr_utils.backbones.yesno import YesNo

    if config.rerank == YES_NO:
        return YesNo(backbone)
    return Likelihood(backbone, prompts.describe(config.prompt_style))


class Reranker:
    """Scores pairs for one strategy of a run, and remembers them."""

    def __init__(self, run: Run, strategy: str):
        config, self.run = run.config, run
        assert config.rerank is not None
        self.name = config.rerank
        question = (
            "".join(match_question("QUERY"))
            if self.name == YES_NO
            else prompts.describe(config.prompt_style)
        )
        descriptions = run.descriptions
        key = pair_key(config, descriptions.identity, run.generation, self.name, question)
        self.collection: Collection = descriptions.store.collection("pairs", key)
        described = {id_: query.text for id_, query in run.queries(strategy).items()}
        edits = {triplet.id: triplet.edit for triplet in run.benchmark.triplets}
        self.texts = described if config.rerank_input == DESCRIPTION else edits
        self.failures: dict[str, Failure] = {}
        self.values: dict[Pair, float] = {}
        self.confidences: dict[Pair, float] = {}
        self._costs: dict[str, tuple[float, float]] = {}  # by stored name: tokens, seconds

    def score(self, wanted: Mapping[str, Sequence[str]]) -> None:
        """Score these candidates of these triplets, and take what is stored from the store."""
        names = {
            (id_, video): stored_name(video, self.run.descriptions.content(video), self.texts[id_])
            for id_, videos in wanted.items()
            for video in videos
        }
        lacking = set(self.collection.missing(names.values()))
        texts: dict[str, dict[str, str]] = {}
        for (id_, video), name in names.items():
            if name in lacking:
                texts.setdefault(video, {})[name] = self.texts[id_]
        stored = {
            video: stored_name(video, self.run.descriptions.content(video)) for video in texts
        }
        if texts:
            self._fill(texts, stored)
        failed = self.collection.failures()
        for (id_, video), name in names.items():
            if name in self.collection:
                record = self.collection.record(name)
                measured = record.description.logprobs.astype(np.float64)
                value = self.values[id_, video] = float(measured.sum())
                self.confidences[id_, video] = (
                    expit(value) if self.name == YES_NO else np.exp(measured.mean())
                )
                self._costs[name] = record.extra["tokens"], record.extra["seconds"]
            else:
                self.failures[video] = replace(failed[stored[video]], id=video)

    def _fill(self, texts: Mapping[str, Mapping[str, str]], stored: Mapping[str, str]) -> None:
        run = self.run
        computes = [
            lane.inside(PairBatch(pair_scorer(run.config, lane.backbone), texts))
            for lane in run.descriptions.model.lanes()
        ]
        fill(
            self.collection,
            [Work(video, stored[video], video) for video in texts],
            run.benchmark.video_path,
            run.backbone.sampling,
            computes,
            run.config.batch_size,
            f"reranking by {self.name}",
        )

    def confidence(self, id_: str, videos: Sequence[str]) -> float:
        """How sure the reranker is of the best of these candidates, in 0..1: the geometric mean of
        the probabilities of the description's tokens, or the probability of yes.
        """
        return max((self.confidences.get((id_, video), 0.0) for video in videos), default=0.0)

    def outcome(self, candidates: Mapping[str, Sequence[str]]) -> Reranking:
        """What the scores of these candidates cost."""
        pairs = [(id_, video) for id_, videos in candidates.items() for video in videos]
        costs = np.array(list(self._costs.values())).reshape(-1, 2).sum(0)
        return Reranking(
            self.name,
            len(self.run.benchmark.triplets),
            len(self.values),
            float(costs[0]),
            float(costs[1]),
            self.failures,
            sum(pair not in self.values for pair in pairs),
        )


def rerank(run: Run, strategy: str, first: Scores) -> tuple[Scores, Reranking]:
    """The first candidates of every query, scored again and put in a new order."""
    benchmark, config = run.benchmark, run.config
    reranker = Reranker(run, strategy)
    places = {video: place for place, video in enumerate(first.videos)}
    outside = benchmark.outside(first.videos)
    left_out = {t.id: benchmark.left_out(t, places, outside) for t in benchmark.triplets}
    adaptive = config.rerank_depth == ADAPTIVE
    deepest = DEEPEST if adaptive else int(config.rerank_depth)
    ranked = {id_: top(row, deepest, left_out[id_]) for id_, row in first.by_query.items()}
    named = {id_: [first.videos[place] for place in order] for id_, order in ranked.items()}
    if adaptive:
        open_ = [id_ for id_, row in first.by_query.items() if not is_sure(row, ranked[id_])]
        chosen: dict[str, list[str]] = {id_: [] for id_ in ranked}
        for depth in range(STEP, DEEPEST + 1, STEP):
            chosen |= {id_: named[id_][:depth] for id_ in open_}
            reranker.score({id_: named[id_][depth - STEP : depth] for id_ in open_})
            open_ = [
                id_
                for id_ in open_
                if len(named[id_]) > depth and reranker.confidence(id_, chosen[id_]) < CONFIDENT
            ]
    else:
        chosen = named
        reranker.score(chosen)
    by_query = {
        id_: reranked(
            row,
            ranked[id_][: len(chosen[id_])],
            np.array([reranker.values.get((id_, video), ABSENT) for video in chosen[id_]]),
            config.rerank_weight,
            config.fuse,
        )
        for id_, row in first.by_query.items()
    }
    scores = Scores(by_query, first.videos, first.failures, first.gallery_failures)
    return scores, reranker.outcome(chosen)
