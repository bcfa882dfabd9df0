"""Whatever the container and codec, a frame that is returned is the one that a straight decode
shows at its stated time.
"""

import numpy as np
import pytest
from corpus import CORPUS, make, straight

from covrr_utils.video.clips import Sampling, as_clip
from covrr_utils.video.readers import decode

SAMPLINGS = (
    Sampling(num_frames=8),
    Sampling(num_frames=3),
    Sampling(num_frames=1),
    Sampling(num_frames=200),
    Sampling(fps=3.0),
    Sampling(fps=1.0, max_frames=5),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


@pytest.mark.parametrize("made", CORPUS, ids=lambda made: made.name)
def test_frames_and_times_are_those_of_a_straight_decode(folder, made):
    path = make(made, folder)
    seconds, frames = straight(path)
    assert len(frames) == made.frames or made.trim
    for sampling in SAMPLINGS:
        decoded = decode(path, sampling)
        clip = as_clip(decoded, "clip")
        assert (np.diff(clip.times) > 0).all() and clip.times[-1] <= seconds[-1] + 1e-3
        places = [int(np.abs(seconds - time).argmin()) for time in clip.times]
        assert np.abs(seconds[places] - clip.times).max() <= 1e-3, "the stated times are true"
        for place, frame in zip(places, decoded.frames):
            assert np.array_equal(frame, frames[place]), f"frame {place} of {made.name}"
        count = sampling.num_frames or max(int(3.0 * seconds[-1]), 4)
        evenly = np.linspace(0, seconds[-1], min(count, len(frames)))
        if sampling.num_frames and made.times is None:
            assert len(places) == len(evenly) and (
                np.abs(clip.times - evenly).max() <= 0.51 / float(made.rate) + 1e-3
            )
