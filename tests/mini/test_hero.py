"""The moving picture of the README."""

import io

import numpy as np
import pytest
from PIL import Image

from covrr_utils import parse_trace, paths
from covrr_utils.mini import hero

TRACE = parse_trace("states: mug; full -> broken\nactions: swings -> slides\nscene: street")


def clip(level, frames=3):
    return np.full((frames, 128, 128, 3), level, np.uint8)


def test_both_clips_play_beside_each_other_for_their_seconds():
    picture = hero.moving_triplet(clip(40), clip(200), "Kick it.", TRACE, ["rank: 1"], 1.5)
    image = Image.open(io.BytesIO(picture))
    assert image.n_frames == 1 or image.info["duration"] == 500
    shown = np.asarray(image.convert("RGB")).astype(int)
    centre = hero.MARGIN + hero.SIDE // 2
    assert abs(shown[centre, centre] - 40).max() < 6
    assert abs(shown[centre, -centre] - 200).max() < 6


def test_clips_of_different_lengths_cannot_play_together():
    with pytest.raises(ValueError, match="clips of 3 and 2 frames cannot play together"):
        hero.moving_triplet(clip(0), clip(0, 2), "Kick it.", TRACE, [], 1.0)


def test_the_picture_of_the_readme_moves_and_is_small():
    path = paths.ROOT / "figures" / hero.PICTURE
    with Image.open(path) as image:
        assert image.n_frames == hero.FRAMES
    assert path.stat().st_size < 500_000
    assert f"(figures/{hero.PICTURE})" in (paths.ROOT / "README.md").read_text()
