"""An embedder as a scorer of a run: its vectors go through the store, and what fails is a miss."""

from types import SimpleNamespace

import numpy as np
import pytest

from covrr_utils.backbones.description import Outcomes
from covrr_utils.backbones.embedder import Embedder, Input, vector
from covrr_utils.backbones.embedding_prompts import composed
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.embedding import Embeddings
from covrr_utils.experiments.options import InvalidOption
from covrr_utils.experiments.run import Run

HOW = ("gold_trace", "weighted_mean", "word", "predicts")


@pytest.fixture
def run_with(small_benchmark, tiny, headless_folder, runs):
    def make(**options):
        options = {"scorers": ["embedder"], "embedder": str(headless_folder)} | options
        config = RunConfig(
            benchmark=str(small_benchmark),
            backbone=str(tiny.weights),
            batch_size=4,
            device="cpu",
            max_new_tokens=6,
            **options,
        )
        return Run(config, tiny)

    return make


@pytest.mark.parametrize("what", ["source+edit", "description", "source+edit+trace"])
def test_scores_are_cosines_of_what_was_asked_for(run_with, what):
    run = run_with(embedder_query=what, embedder_instruction="Find it")
    scores = run.scores(*HOW)
    embedder, triplet = Embeddings(run).model.embedder, run.benchmark.triplets[0]
    query, clip = run.queries("gold_trace")[triplet.id], run.clip(triplet.reference)
    asked = {
        "source+edit": Input(triplet.edit, clip),
        "description": Input(query.text),
        "source+edit+trace": Input(composed(triplet.edit, triplet.gold_trace.text()), clip),
    }[what]
    (left,) = embedder.embed([asked], "Find it.")
    videos = [run.clip(video) for video in scores.videos[:3]]
    right = embedder.embed([Input(clip=video) for video in videos])
    by_hand = [float(vector(left) @ vector(each)) for each in right]
    np.testing.assert_allclose(scores.by_query[triplet.id][:3], by_hand, atol=2e-3)  # float16


def test_a_result_names_the_embedder_and_nothing_is_embedded_twice(
    run_with, headless_folder, monkeypatch
):
    run = run_with(embedder_query="source+edit")
    result = run.evaluate("single_stage", save=False)
    assert result.coverage == 1.0 and result.pooling == "-"
    assert result.options["embedder"] == result.files["embedder"] == str(headless_folder)
    monkeypatch.setattr(Embedder, "load", None)  # whoever calls it fails
    again = run_with(embedder_query="source+edit").evaluate("single_stage", save=False)
    assert again.ranks == result.ranks
    half = run_with(embedder_dims=24).evaluate("single_stage", save=False)
    assert half.options["embedder_dims"] == 24
    with pytest.raises(ValueError, match="embedder_dims is 49"):
        run_with(embedder_dims=49).evaluate("single_stage", save=False)
    fused = run_with(scorers=["embedder", "bm25"], weights=[2.0, 1.0])
    assert fused.evaluate("single_stage", save=False).coverage == 1.0


def test_a_missing_video_is_a_miss_with_its_cause(run_with, small_benchmark):
    run = run_with()
    lost = run.benchmark.triplets[0].target
    (small_benchmark.parent / "videos" / f"{lost}.mp4").unlink()
    result = run.evaluate("single_stage", save=False)
    assert result.queries[0]["rank"] is None and result.queries[0]["cause"] == "video: missing"
    assert result.gallery_coverage < 1


def test_an_interrupted_embedding_goes_on_where_it_stopped(run_with, monkeypatch):
    embed, calls = Embedder.embed, []

    def interrupted(self, inputs, instruction=""):
        calls.append(len(inputs))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, inputs, instruction)

    monkeypatch.setattr(Embedder, "embed", interrupted)
    run = run_with()
    with pytest.raises(KeyboardInterrupt):
        Embeddings(run).gallery()
    vectors = Embeddings(run).gallery()
    assert list(vectors) == list(run.benchmark.gallery)
    assert sum(calls) == len(vectors) + calls[2], "the batch in flight alone is embedded again"


def test_a_vector_that_is_not_finite_costs_its_own_text_alone(run_with, monkeypatch):
    run = run_with(embedder_query="description")
    texts = [query.text for query in run.queries("gold_trace").values()]
    embed = Embedder.embed

    def spoiled(self, inputs, instruction=""):
        described = embed(self, inputs, instruction)
        for each in described:
            self._described(
                Input(each.text), 0, each.states[0] * (np.nan if each.text == texts[0] else 1.0)
            )
        return described

    monkeypatch.setattr(Embedder, "embed", spoiled)
    queries = Embeddings(run).queries("gold_trace")
    lost = [id_ for id_, text in zip(run.queries("gold_trace"), texts) if text == texts[0]]
    assert sorted(queries.failures) == sorted(lost)
    assert {failure.cause for failure in queries.failures.values()} == {"states not finite"}


def test_traces_are_asked_of_strategies_that_write_them(run_with):
    with pytest.raises(ValueError, match="needs traces, and single_stage writes none"):
        Embeddings(run_with(embedder_query="source+edit+trace")).queries("single_stage")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scorers": ["embedder"]}, "the scorer 'embedder' needs a model: give the option"),
        ({"text_model": "x"}, "text_model 'x' is asked by the scorer 'text-model' alone"),
        ({"embedder": "qwen3-vl-embedding-2b"}, "name that among the scorers, which are: states"),
        ({"scorers": ["embedder"], "embedder": "x"}, "unknown embedder 'x'; known: "),
        ({"embedder_query": "trace"}, "unknown embedder_query 'trace'"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(InvalidOption, match=message):
        RunConfig(**options)


def test_a_published_embedder_is_known_by_its_short_name():
    config = RunConfig(scorers=["embedder"], embedder="qwen3-vl-embedding-2b")
    assert config.embedder == "Qwen/Qwen3-VL-Embedding-2B"


@pytest.fixture(scope="module")
def text_model(tiny, tmp_path_factory):
    """One vector a token, averaged: the smallest model that sentence-transformers loads."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    folder = tmp_path_factory.mktemp("texts") / "static"
    words = StaticEmbedding(tiny.processor.tokenizer.backend_tokenizer, embedding_dim=8)
    sentence_transformers.SentenceTransformer(modules=[words], device="cpu").save(str(folder))
    return folder


def test_another_text_model_reads_the_descriptions_alone(run_with, text_model, monkeypatch):
    from sentence_transformers import SentenceTransformer

    run = run_with(scorers=["text-model"], embedder=None, text_model=str(text_model))
    videos, triplets = run.benchmark.gallery, run.benchmark.triplets
    written = {video: SimpleNamespace(text=f"The egg is {video}.") for video in videos}
    asked = {triplet.id: written[triplet.target] for triplet in triplets}
    asked[triplets[1].id] = SimpleNamespace(text="")
    monkeypatch.setattr(run, "gallery", lambda: Outcomes(written, {}))
    monkeypatch.setattr(run, "queries", lambda strategy: Outcomes(asked, {}))
    scores = run.scores(*HOW)
    one, other = SentenceTransformer(str(text_model), device="cpu").encode(
        [asked[triplets[0].id].text, written[scores.videos[0]].text], normalize_embeddings=True
    )
    assert scores.by_query[triplets[0].id][0] == pytest.approx(one @ other, abs=2e-3)
    assert [failure.cause for failure in scores.failures.values()] == ["nothing to pool"]
    assert list(scores.failures) == [triplets[1].id], "an empty text has no vector"
    monkeypatch.setattr(SentenceTransformer, "encode", None)  # whoever calls it fails
    again = run.scores(*HOW)
    np.testing.assert_array_equal(again.by_query[triplets[0].id], scores.by_query[triplets[0].id])


def test_a_text_model_without_safetensors_is_refused(run_with, tmp_path):
    run = run_with(scorers=["text-model"], embedder=None, text_model=str(tmp_path))
    with pytest.raises(ValueError, match="is no folder with"):
        run.scores(*HOW)
