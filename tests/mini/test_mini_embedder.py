"""The mini embedder: its card is what was measured, it finds what it should, and
sentence-transformers loads its folder.
"""

import json

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.backbones.embedder import Embedder, Input, vector
from covrr_utils.backbones.embedding_registry import embedders
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.mini.embedder_card import NAME, card
from covrr_utils.mini.recipes import EMBEDDER_RECIPES
from covrr_utils.plotting import tables
from covrr_utils.video.decoder import read_clip

FOLDER = paths.embedders_dir() / NAME


@pytest.fixture(scope="module")
def embedder():
    return Embedder.load(NAME, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def benchmark():
    return load_benchmark("mini-val")


def test_it_is_known_by_name_and_its_card_is_what_was_measured(embedder):
    assert embedders()[NAME] == FOLDER
    log = [json.loads(line) for line in (FOLDER / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(50, EMBEDDER_RECIPES[NAME].steps + 1, 50))
    measured = tables.measured_table("past_the_paper")
    text = card(measured, embedder.parameters(), embedder.width, log[-1]["seconds"])
    assert (FOLDER / "README.md").read_text() == text


def test_a_reference_and_an_edit_are_near_the_target(embedder, benchmark):
    """Of 16 triplets, ranked among all clips that they name, most targets are within the first
    three; the reference itself never counts.
    """
    triplets = benchmark.triplets[:16]
    videos = list(dict.fromkeys(v for t in triplets for v in (t.reference, t.target)))
    clips = {v: read_clip(benchmark.video_path(v), embedder.sampling, v) for v in videos}
    gallery = np.stack([vector(d) for d in embedder.embed([Input("", clips[v]) for v in videos])])
    asked = embedder.embed([Input(t.edit, clips[t.reference]) for t in triplets])
    ranks = []
    for triplet, described in zip(triplets, asked):
        scores = gallery @ vector(described)
        scores[videos.index(triplet.reference)] = -1
        ranks.append(int((scores >= scores[videos.index(triplet.target)]).sum()))
    assert np.mean([rank <= 3 for rank in ranks]) >= 0.75, ranks


def test_sentence_transformers_loads_the_folder_and_gives_the_same_vectors(embedder, benchmark):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(
        str(FOLDER), device="cpu", model_kwargs={"dtype": "float32"}
    )
    video = benchmark.gallery[0]
    clip = read_clip(benchmark.video_path(video), embedder.sampling, video)
    shown = {"array": clip.frames, "video_metadata": vars(clip.metadata)}
    theirs = [
        model.encode([item])[0]
        for item in ({"text": "The sun comes up."}, {"video": shown, "text": "It melts."})
    ]
    ours = [
        vector(described)
        for described in embedder.embed([Input("The sun comes up."), Input("It melts.", clip)])
    ]
    np.testing.assert_allclose(np.stack(ours), np.stack(theirs), atol=1e-5)
