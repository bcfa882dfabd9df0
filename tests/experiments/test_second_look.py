"""Several scorers, and a second look at the first candidates, on a small benchmark."""

import numpy as np
import pytest

from covrr_utils.backbones.description import NotFinite
from covrr_utils.backbones.likelihood import Likelihood
from covrr_utils.backbones.yesno import YesNo
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.pairs import questions_of
from covrr_utils.experiments.run import Run
from covrr_utils.reasoning import prompts
from covrr_utils.retrieval.fusion import gated_residual, scaled
from covrr_utils.video.clips import ClipError

HOW = ("two_stage", "weighted_mean", "word", "predicts")


@pytest.fixture
def run_with(small_benchmark, filled_runs):
    def make(**options):
        options = {"batch_size": 4, "device": "cpu"} | options
        return Run(RunConfig(benchmark=str(small_benchmark), backbone="mini-3m", **options))

    return make


def never(*args, **kwargs):
    raise AssertionError("the model was asked again")


def test_scorers_are_fused_by_the_rule_of_the_run(run_with):
    run = run_with(scorers=["states", "bm25"], weights=[1.0, 3.0])
    result = run.evaluate("two_stage")
    assert result.options == {"scorers": ["states", "bm25"], "weights": [1.0, 3.0]}
    first = run.benchmark.triplets[0].id
    lists = [
        run.variant(scorers=[scorer], weights=()).scores(*HOW).by_query[first]
        for scorer in ("states", "bm25")
    ]
    unit = [(own - own.min()) / np.ptp(own) for own in lists]
    expected = 0.25 * unit[0] + 0.75 * unit[1]
    np.testing.assert_allclose(run.scores(*HOW).by_query[first], expected)
    both = run.variant(scorers=["context", "alone"], weights=()).evaluate("two_stage", save=False)
    assert both.coverage == 1.0


def test_words_alone_have_no_pooling(run_with):
    result = run_with(scorers=["tfidf"], edit_weight=4.0).evaluate("two_stage", save=False)
    assert (result.pooling, result.scheme, result.source) == ("-", "-", "-")
    assert result.options == {"scorers": ["tfidf"], "edit_weight": 4.0}


def test_the_first_candidates_are_ordered_by_likelihood(run_with, monkeypatch):
    run = run_with(rerank="likelihood", rerank_depth=5, limit=3)
    result = run.evaluate("two_stage")
    assert result.options == {"rerank": "likelihood", "rerank_depth": 5}
    assert result.reranking["pairs_per_query"] == 5 and not result.reranking["unscored_pairs"]
    assert 0 < result.reranking["tokens_per_query"] and result.reranking["failures"] == {}
    plain = run.variant(rerank=None).evaluate("two_stage", save=False)
    likelihood = Likelihood(run.backbone, prompts.describe())
    for before, after in zip(plain.queries, result.queries, strict=True):
        candidates = before["top"][:5]
        text = run.queries("two_stage")[before["triplet"]].text
        by_hand = {
            video: float(likelihood.of([run.clip(video)], [[text]])[0][0].logprobs.sum())
            for video in candidates
        }
        assert after["top"][:5] == sorted(candidates, key=by_hand.get, reverse=True)
        assert after["top"][5:] == before["top"][5:]
    monkeypatch.setattr(Likelihood, "of", never)
    again = run_with(rerank="likelihood", rerank_depth=5, limit=3).evaluate("two_stage")
    assert again == result, "every pair is in the store"


def test_an_interrupted_reranking_goes_on_and_loses_nothing(run_with, monkeypatch, faults):
    options = {"rerank": "likelihood", "rerank_depth": 4}
    run = run_with(**options)
    real, scored = Likelihood.of, []

    def stopped(self, clips, texts):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(sum(map(len, texts)))
        return real(self, clips, texts)

    monkeypatch.setattr(Likelihood, "of", stopped)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate("two_stage")
    before = sum(scored)
    counted = []

    def counting(self, clips, texts):
        counted.append(sum(map(len, texts)))
        return real(self, clips, texts)

    monkeypatch.setattr(Likelihood, "of", counting)
    result = run_with(**options).evaluate("two_stage")
    assert before > 0 and before + sum(counted) == 6 * 4
    assert result.coverage == 1.0 and not result.reranking["unscored_pairs"]
    faults("reranking stopped between two batches", 1, 1, 0)


def test_a_candidate_that_cannot_be_scored_keeps_its_place(run_with, monkeypatch):
    run = run_with(rerank="likelihood", rerank_depth=6)
    plain = run.variant(rerank=None).evaluate("two_stage", save=False)
    bad = plain.queries[0]["top"][2]
    real = Likelihood.of

    def failing(self, clips, texts):
        if any(clip.id == bad for clip in clips):
            raise NotFinite(f"the log-probabilities of a text, given {bad!r}, are not finite")
        return real(self, clips, texts)

    monkeypatch.setattr(Likelihood, "of", failing)
    own = run_with(rerank="likelihood", rerank_depth=6)
    result = own.evaluate("two_stage", save=False)
    assert result.queries[0]["top"][2] == bad and result.coverage == 1.0
    assert result.reranking["failures"] == {bad: "states not finite"}
    assert result.reranking["unscored_pairs"] >= 1
    monkeypatch.setattr(Likelihood, "of", real)
    repaired = run_with(rerank="likelihood", rerank_depth=6)
    assert repaired.evaluate("two_stage", save=False).reranking["failures"] == {}


def test_an_adaptive_depth_goes_on_only_while_unsure(run_with, monkeypatch):
    from covrr_utils.experiments import reranking

    run = run_with(rerank="likelihood", rerank_depth="adaptive", limit=2)
    monkeypatch.setattr(reranking, "CONFIDENT", 0.0)
    once = run.evaluate("two_stage", save=False).reranking["pairs_per_query"]
    monkeypatch.setattr(reranking, "CONFIDENT", 1.1)
    all_of_them = run.evaluate("two_stage", save=False).reranking["pairs_per_query"]
    monkeypatch.setattr(reranking, "is_sure", lambda *args: True)
    none = run.evaluate("two_stage", save=False).reranking["pairs_per_query"]
    assert none == 0 < once <= 5 < all_of_them <= 50


def test_what_a_reranker_is_told_of_a_query(run_with):
    run = run_with(rerank="yes-no")
    triplet = run.benchmark.triplets[0]
    query = run.queries("two_stage")[triplet.id]
    told = {
        given: questions_of(run.variant(rerank_input=given), "two_stage")[triplet.id]
        for given in ("description", "edit", "source+edit", "source+edit+trace")
    }
    assert [question.text for question in told.values()] == [
        query.text,
        triplet.edit,
        triplet.edit,
        f"{triplet.edit}\n{query.trace.text()}",
    ]
    sources = [question.source for question in told.values()]
    assert sources == [None, None, triplet.reference, triplet.reference]


def test_a_reranker_of_its_own_with_the_source_in_its_query(run_with, tiny_folder, monkeypatch):
    """The pairs are scored by the other model, kept under its name, and read again."""
    options = {"rerank": "yes-no", "rerank_depth": 3, "rerank_input": "source+edit"}
    run = run_with(rerank_model=str(tiny_folder), **options)
    first = run.benchmark.triplets[0]
    result = run.evaluate("two_stage", save=False)
    assert result.reranking["pairs_per_query"] == 3 and not result.reranking["unscored_pairs"]
    model = run.descriptions.other_model(str(tiny_folder)).backbone
    top = result.queries[0]["top"][:3]
    scored = YesNo(model).of(
        [run.clip(video) for video in top], [[first.edit]] * 3, [[run.clip(first.reference)]] * 3
    )
    values = [float(one.logprobs.sum()) for (one,) in scored]
    assert values == sorted(values, reverse=True) and model.weights == tiny_folder
    with monkeypatch.context() as patch:
        patch.setattr(YesNo, "of", never)
        again = run_with(rerank_model=str(tiny_folder), **options).evaluate("two_stage", save=False)
    assert again.reranking == result.reranking
    assert "rerank_model" in run.method("two_stage").options
    with pytest.raises(AssertionError, match="asked again"):  # the backbone's own pairs are others
        monkeypatch.setattr(YesNo, "of", never)
        run_with(**options).evaluate("two_stage", save=False)


def test_pairs_whose_source_cannot_be_read_keep_their_places(run_with, tiny_folder, monkeypatch):
    from covrr_utils.experiments import pairs

    options = {"rerank": "yes-no", "rerank_depth": 3, "rerank_input": "source+edit"}
    run = run_with(rerank_model=str(tiny_folder), **options)
    plain = run.variant(rerank=None).evaluate("two_stage", save=False)
    lost, read = run.benchmark.triplets[0].reference, pairs.read_clip

    def unreadable(path, sampling, video):
        if video == lost:
            raise ClipError("read error", f"{video} cannot be read")
        return read(path, sampling, video)

    monkeypatch.setattr(pairs, "read_clip", unreadable)
    result = run.evaluate("two_stage", save=False)
    assert result.queries[0]["top"] == plain.queries[0]["top"] and result.coverage == 1.0
    assert result.reranking["failures"] == {lost: "read error"}
    affected = sum(triplet.reference == lost for triplet in run.benchmark.triplets)
    assert result.reranking["unscored_pairs"] == 3 * affected


def test_a_gated_residual_moves_the_base_where_both_agree(run_with):
    run = run_with(scorers=["context", "bm25"], fuse="gated-residual", weights=[1.0, 3.0])
    first = run.benchmark.triplets[0].id
    lists = [
        run.variant(scorers=[scorer], weights=(), fuse="min-max").scores(*HOW).by_query[first]
        for scorer in ("context", "bm25")
    ]
    base, other = (scaled(scores, "min-max") for scores in lists)
    expected = gated_residual(base, other, 0.75)
    np.testing.assert_allclose(run.scores(*HOW).by_query[first], expected)
    agree = np.corrcoef(base, other)[0, 1] >= 0.5
    np.testing.assert_allclose(expected, base + 0.75 * (other - base) if agree else base)


def test_options_of_a_ranking_are_checked():
    config = RunConfig(rerank_depth="20", rerank="likelihood", scorers=["alone", "bm25"])
    assert config.rerank_depth == 20 and config.scorers == ("alone", "bm25")
    for options, message in (
        ({"rerank": "likelyhood"}, "unknown rerank 'likelyhood'; did you mean 'likelihood'"),
        ({"rerank_depth": "adaptiv"}, "at least 1, got 'adaptiv'; or one of: adaptive"),
        ({"rerank_weight": 1.5}, "rerank_weight must be a number above 0 and at most 1"),
        ({"scorers": ["bm26"]}, "unknown scorer 'bm26'; did you mean 'bm25'"),
        ({"scorers": ["bm25"], "weights": [1.0, 2.0]}, "2 weights for 1 scorers"),
        ({"scorers": ["bm25", "bm25"]}, "'bm25' is given twice"),
        ({"fuse": "minmax"}, "unknown fuse 'minmax'; did you mean 'min-max'"),
        ({"fuse": "gated-residual"}, "needs two scorers, a base and another, and there is 1"),
        (
            {"rerank": "likelihood", "rerank_input": "source+edit"},
            "for 'source.edit', take rerank 'yes-no'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            RunConfig(**options)
