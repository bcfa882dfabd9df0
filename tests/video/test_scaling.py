"""Large frames are scaled where they are decoded, and the model sees the same as without that."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from corpus import Made, h264, make
from transformers import Qwen3VLVideoProcessor

from covrr_utils.video import scaling
from covrr_utils.video.clips import AV, DECORD, Sampling, as_clip
from covrr_utils.video.decoder import Decoder
from covrr_utils.video.readers import decode
from covrr_utils.video.scaling import PixelBudget


def seen(processor, decoded):
    """What the model gets of a clip."""
    clip = as_clip(decoded, "clip")
    return processor(
        videos=[clip.frames],
        video_metadata=[clip.metadata],
        do_sample_frames=False,
        return_tensors="pt",
    )


@pytest.mark.parametrize("capped", [True, False])
@pytest.mark.parametrize(
    "name, size, codec, reader",
    [
        ("large.mp4", (640, 360), "libx264", DECORD),
        ("large.mkv", (640, 360), "libx264", AV),
        ("tall.mp4", (202, 640), "libx264", DECORD),
    ],
)
def test_the_model_sees_the_same(tmp_path, monkeypatch, name, size, codec, reader, capped):
    monkeypatch.setattr(scaling, "LARGE", 0)
    processor = Qwen3VLVideoProcessor(
        size={"shortest_edge": 4096, "longest_edge": 128 * 128 * 20}, cap_pixels_per_frame=capped
    )
    budget = PixelBudget.of(processor)
    path = make(Made(name, codec, 30, options=h264(), size=size), tmp_path)
    smaller = 0
    for count in (2, 7, 8, 15, 20, 29):
        plain = Sampling(num_frames=count)
        full, scaled = decode(path, plain), decode(path, replace(plain, budget=budget))
        assert full.reader == scaled.reader == reader
        assert full.size == scaled.size == full.frames.shape[1:3] == (size[1], size[0])
        smaller += scaled.frames.nbytes < full.frames.nbytes
        theirs, ours = seen(processor, full), seen(processor, scaled)
        assert torch.equal(ours["pixel_values_videos"], theirs["pixel_values_videos"])
        assert torch.equal(ours["video_grid_thw"], theirs["video_grid_thw"])
    assert smaller >= 4


def test_a_sampling_says_the_same_with_a_budget():
    """Keys and results know a sampling by what it says: the budget stands there already."""
    budget = PixelBudget(10**6, 4096, 768, 32, 2)
    with_budget = Sampling(fps=4.0, budget=budget)
    assert with_budget == Sampling(fps=4.0)
    assert (
        with_budget.to_dict()
        == Sampling(fps=4.0).to_dict()
        == {"fps": 4.0, "num_frames": None, "min_frames": 4, "max_frames": 768}
    )


def test_frames_of_long_clips_in_large_format_take_little_memory(tmp_path):
    """Through the decoding process, with the budget of the published checkpoints."""
    path = make(
        Made("hd.mp4", "libx264", 24, options=h264() | {"preset": "ultrafast"}, size=(1280, 720)),
        tmp_path,
    )
    budget = PixelBudget(25_165_824 // 10, 4096, 768, 32, 2)  # as for a clip ten times as long
    with Decoder() as decoder:
        decoded = decoder.submit(path, Sampling(num_frames=24, budget=budget)).result()
    assert decoded.size == (720, 1280)
    assert decoded.frames.nbytes < 24 * 720 * 1280 * 3 / 7
    assert decoded.frames.shape[0] == 24 and len(np.unique(decoded.indices)) == 24


def test_small_clips_are_left_to_the_processor(tmp_path):
    path = make(Made("small.mp4", "libx264", options=h264()), tmp_path)
    budget = PixelBudget(128 * 128, 4096, 768, 32, 2)
    assert decode(path, Sampling(num_frames=8, budget=budget)).frames.shape[1:] == (48, 80, 3)
