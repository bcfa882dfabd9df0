import itertools
import json
import random
from dataclasses import replace

import av
import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.mini import build, causes, render, stream, wordings, world
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import read_clip


@pytest.fixture(scope="module", params=["test", "val"])
def split(request):
    return request.param


def test_rebuilding_gives_the_same_labels(split):
    triplets, shots = build.plan(split)
    ids = {shot: f"{split}/{number:04d}" for number, shot in enumerate(shots)}
    rows = [build.label_row(n, t, ids) for n, t in enumerate(triplets)]
    assert (paths.mini_dir() / f"{split}.json").read_text(encoding="utf-8") == json.dumps(
        [{"mini": rows}], ensure_ascii=False, indent=1
    ) + "\n"


def test_rebuilding_gives_the_same_frames(split, tmp_path):
    _, shots = build.plan(split)
    for number in (0, len(shots) // 2, len(shots) - 1):
        path = tmp_path / f"{number}.mp4"
        build.write_video(path, render.render(shots[number], build.clip_seed(split, number)))
        every = Sampling(num_frames=render.TOTAL_FRAMES)
        shipped = read_clip(paths.mini_dir() / "videos" / split / f"{number:04d}.mp4", every)
        assert np.array_equal(read_clip(path, every).frames, shipped.frames)


def test_the_benchmark_is_what_its_card_says():
    benchmark = load_benchmark("mini")
    tags = [set(triplet.tags) for triplet in benchmark.triplets]
    assert len(benchmark.triplets) >= 400 and len(benchmark.gallery) >= 1500
    assert sum("implicit" in found for found in tags) >= len(tags) / 2
    assert {"state", "temporal", "camera", "implicit", "explicit"} == set().union(*tags)
    gallery = set(benchmark.gallery)
    for triplet in benchmark.triplets:
        hard = [video for videos in triplet.distractors.values() for video in videos]
        assert (
            len(set(hard)) >= 3
            and set(hard) <= gallery
            and not {triplet.target, triplet.reference} & set(hard)
        )
        assert triplet.gold_trace is not None and triplet.target != triplet.reference
    own = {
        v
        for t in benchmark.triplets
        for v in (t.reference, t.target, *itertools.chain(*t.distractors.values()))
    }
    assert gallery - own, "the gallery needs unrelated clips too"


def test_no_two_clips_of_a_split_show_the_same():
    for name in build.SPLITS:
        _, shots = build.plan(name)
        assert len(set(shots)) == len(shots)


def test_videos_are_h264_of_two_seconds():
    benchmark = load_benchmark("mini")
    assert not [video for video in benchmark.videos() if not benchmark.video_path(video).is_file()]
    with av.open(str(benchmark.video_path(benchmark.gallery[0]))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height, stream.frames) == (
            "h264",
            128,
            128,
            24,
        )
        assert float(stream.average_rate) == 12.0


def test_nothing_held_out_is_trained_on():
    held_out = build.held_out_shots()
    texts = {shot.description() for shot in held_out}
    rng = random.Random(11)
    for _ in range(400):
        shot, asked = stream.questions(rng, held_out, second_stage=True)
        assert shot not in held_out
        assert not texts & {answer for _, answer in asked}


def test_training_never_shows_an_implicit_edit_as_direct_description():
    rng = random.Random(12)
    sentences = {
        text.format(it=kind)
        for cause in causes.CAUSES
        for text in wordings.WORDINGS[cause]
        for kind in world.KINDS
    }
    for _ in range(200):
        _, asked = stream.questions(rng, frozenset(), second_stage=True)
        for prompt, _ in asked:
            if "Describe the video after" in prompt and "After-effects" not in prompt:
                assert prompt.splitlines()[0].removeprefix("Edit: ") not in sentences


def test_rendering_is_deterministic_and_shows_differences():
    shot = world.random_shot(random.Random(1))
    assert np.array_equal(render.render(shot, 5), render.render(shot, 5))
    assert render.render(shot, 5, [0, 23]).shape == (2, 128, 128, 3)
    still = world.Shot("mug", "red", "full", "rests", "garden", "day", "static", "slow")
    for kind, states in world.KINDS.items():
        pictures = [
            render.render(replace(still, kind=kind, state=state), 3, [0])[0].astype(float)
            for state in states
        ]
        for one, other in itertools.combinations(pictures, 2):
            assert (np.abs(one - other).max(-1) > 60).mean() > 0.005, (
                f"two states of {kind} look alike"
            )
    moving = [
        render.render(replace(still, action=a, tempo="steady"), 3, [4, 12, 20]).astype(float)
        for a in world.ACTIONS
    ]
    for one, other in itertools.combinations(moving, 2):
        assert np.abs(one - other).mean() > 1.0
