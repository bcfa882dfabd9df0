"""The mini reranker: its card is what was measured, and it tells clips that match from others."""

import json

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.registry import reranker_models
from covrr_utils.backbones.yesno import YesNo
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.mini.build import shots_of
from covrr_utils.mini.recipes import RERANKER_RECIPES
from covrr_utils.mini.reranker_card import NAME, card
from covrr_utils.plotting import tables
from covrr_utils.video.decoder import read_clip

FOLDER = paths.rerankers_dir() / NAME


@pytest.fixture(scope="module")
def reranker():
    return Backbone.load(NAME, device="cpu", dtype="float32")


def test_it_is_known_by_name_and_its_card_is_what_was_measured(reranker):
    assert reranker_models()[NAME] == FOLDER
    log = [json.loads(line) for line in (FOLDER / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(50, RERANKER_RECIPES[NAME].steps + 1, 50))
    text = card(tables.measured_table("past_the_paper"), reranker.parameters(), log)
    assert (FOLDER / "README.md").read_text() == text


def test_a_clip_answers_its_own_description_rather_than_another_ones(reranker):
    """Of 12 clips, each asked whether it matches its own true description and those of two others,
    most say yes to their own with the highest odds.
    """
    benchmark, shots = load_benchmark("mini-val"), shots_of("val")
    videos = list(benchmark.gallery[:12])
    clips = [read_clip(benchmark.video_path(video), reranker.sampling, video) for video in videos]
    texts = [shots[video].description() for video in videos]
    asked = [[texts[(place + turn) % 12] for turn in (0, 1, 5)] for place in range(12)]
    odds = np.array(
        [[float(one.logprobs[0]) for one in row] for row in YesNo(reranker).of(clips, asked)]
    )
    assert (odds.argmax(1) == 0).mean() >= 0.75, odds
