"""A second look at the first candidates: the backbone scores pairs of a query's text and a
candidate's video, through the store.

What is asked for all queries together is grouped by candidate, for what the backbone computes of a
video is the same for every text. Every finished batch is stored, so an interrupted reranking goes
on where it stopped, and no pair is scored twice. A candidate that cannot be scored is recorded, and
keeps its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from covrr_utils.backbones.description import Failure
from covrr_utils.backbones.qwen import match_question
from covrr_utils.experiments.keys import pair_key, stored_name
from covrr_utils.experiments.pairs import questions_of, score_missing
from covrr_utils.experiments.ranking_group import ADAPTIVE, WITH_SOURCE, WITH_TRACE, YES_NO
from covrr_utils.experiments.workers import Unscored
from covrr_utils.reasoning import prompts
from covrr_utils.retrieval.fusion import ABSENT, GATED, MIN_MAX
from covrr_utils.retrieval.ranking import top
from covrr_utils.retrieval.reranking import is_sure, reranked
from covrr_utils.retrieval.scores import Scores
from covrr_utils.store.collection import Collection

if TYPE_CHECKING:
    from covrr_utils.experiments.run import Run

STEP, DEEPEST = 5, 50  # adaptive: so many candidates more at a time, and at most (CoVRAGE)

CONFIDENT = 0.7  # adaptive: a best candidate of at least this confidence ends the search (CoVRAGE)

Pair = tuple[str, str]  # a triplet and a candidate video


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


class Reranker:
    """Scores pairs for one strategy of a run, and remembers them."""

    def __init__(self, run: Run, strategy: str):
        config, self.run = run.config, run
        assert config.rerank is not None
        self.name, descriptions = config.rerank, run.descriptions
        self.questions = questions_of(run, strategy)
        source = config.rerank_input in (WITH_SOURCE, WITH_TRACE)
        prompt = (
            "".join(match_question("QUERY", source=source))
            if self.name == YES_NO
            else prompts.describe(config.prompt_style)
        )
        other = config.rerank_model
        self.model = descriptions.other_model(other) if other else descriptions.model
        key = pair_key(config, self.model.identity, run.generation, self.name, prompt)
        self.collection: Collection = descriptions.store.collection("pairs", key)
        self.failures: dict[str, Failure] = {}
        self.values: dict[Pair, float] = {}
        self.confidences: dict[Pair, float] = {}
        self._costs: dict[str, tuple[float, float]] = {}  # by stored name: tokens, seconds

    def _stored(self, id_: str, video: str) -> str:
        """The name of a pair in the store: the candidate, and all that is told of the query."""
        question, content = self.questions[id_], self.run.descriptions.content
        what = question.text
        if question.source:
            what = f"{what}\n{content(question.source)}"
        return stored_name(video, content(video), what)

    def score(self, wanted: Mapping[str, Sequence[str]]) -> None:
        """Score these candidates of these triplets, and take what is stored from the store."""
        names = {
            (id_, video): self._stored(id_, video)
            for id_, videos in wanted.items()
            for video in videos
        }
        lacking = set(self.collection.missing(names.values()))
        content = self.run.descriptions.content
        candidates = {video: stored_name(video, content(video)) for _, video in names}
        tasks = [
            Unscored(name, video, candidates[video], self.questions[id_])
            for (id_, video), name in names.items()
            if name in lacking
        ]
        if tasks:
            places = {video: place for place, video in enumerate(candidates)}
            tasks.sort(key=lambda task: places[task.video])
            score_missing(self.run.descriptions, self.collection, tasks)
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
            elif name in failed and failed[name].stage == "video":
                source = str(self.questions[id_].source)
                self.failures[source] = replace(failed[name], id=source)
            else:
                failure = failed.get(name) or failed[candidates[video]]
                self.failures[video] = replace(failure, id=video)

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
            MIN_MAX if config.fuse == GATED else config.fuse,
        )
        for id_, row in first.by_query.items()
    }
    scores = Scores(by_query, first.videos, first.failures, first.gallery_failures)
    return scores, reranker.outcome(chosen)
