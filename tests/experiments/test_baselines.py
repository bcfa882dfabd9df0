import numpy as np
import pytest

from covrr_utils.backbones.description import Outcomes
from covrr_utils.experiments import baselines
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run


@pytest.fixture
def run(small_benchmark, filled_runs):
    return Run(
        RunConfig(benchmark=str(small_benchmark), backbone="mini-3m", batch_size=8, device="cpu")
    )


def test_every_baseline_counts_every_triplet(run):
    for name in baselines.BASELINES:
        result = baselines.evaluate_baseline(run, name)
        assert result.strategy == name and result.triplets == 6 and result.coverage == 1.0, name
        assert all(row["reference"] not in row["top"] for row in result.queries)
    with pytest.raises(
        baselines.UnknownBaseline, match="unknown baseline 'clip'; known: edit words"
    ):
        baselines.evaluate_baseline(run, "clip")


def test_words_find_the_description_that_has_them(run):
    """BM25 of a gallery description against the gallery ranks that description first."""
    gallery = run.gallery()
    texts = {video: described.text for video, described in gallery.items()}
    scores = baselines.by_words(Outcomes(texts, {}), gallery)
    for video in gallery:
        best = scores.videos[int(np.argmax(scores.by_query[video]))]
        assert texts[best] == texts[video]
    nothing = baselines.by_words(Outcomes({"none": "zzz qqq"}, {}), gallery)
    assert not nothing.by_query["none"].any()


def test_the_references_looks_know_nothing_of_the_edit(run):
    scores = baselines.reference_video(run)
    for triplet in run.benchmark.triplets:
        assert scores.videos[int(np.argmax(scores.by_query[triplet.id]))] == triplet.reference


def test_a_missing_reference_is_a_miss_in_every_baseline(run):
    first = run.benchmark.triplets[0]
    run.benchmark.video_path(first.reference).unlink()
    for name in (
        "reference + edit words",
        "reference video",
        "reference description",
        "reference + edit vectors",
    ):
        result = baselines.evaluate_baseline(run, name)
        assert (
            result.ranks[0] is None
            and result.queries[0]["cause"] == "video: missing"
            and result.triplets == 6
        ), name


def test_texts_read_alone_do_not_depend_on_their_context(run, monkeypatch):
    result = baselines.evaluate_reread(run, "single_stage")
    assert result.options == {"embedding": "alone"} and result.coverage == 1.0
    again = Run(run.config)
    monkeypatch.setattr(again.backbone, "read", None)
    assert baselines.evaluate_reread(again, "single_stage").ranks == result.ranks, (
        "what was read is in the store"
    )
    assert baselines.evaluate_words(run, "single_stage").options == {"scorers": ["bm25"]}


def test_words_alone_are_no_fusion(run):
    """Also where the run fuses two scorers by a rule that needs two."""
    alone = baselines.evaluate_words(run, "single_stage")
    fusing = Run(run.config.replace(scorers=["states", "bm25"], fuse="gated-residual"))
    assert baselines.evaluate_words(fusing, "single_stage").ranks == alone.ranks


def test_chance_by_hand():
    assert baselines.chance(2100, 1, 1) == 1 / 2099 and baselines.chance(4, 10) == 1.0
