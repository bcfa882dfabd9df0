"""A video of which a part is gone does not pass as whole."""

import av
import numpy as np
import pytest
from corpus import FAST, Made, h264, make, mpeg

from covrr_utils.video.clips import ClipError, Sampling
from covrr_utils.video.readers import decode

ALL = Sampling(num_frames=90)

TWO = Sampling(num_frames=2)

NOISY = {"b": "400000", "cpu-used": "8", "deadline": "realtime"}

WHOLE = (
    Made("vp9.webm", "libvpx-vp9", 90, options=NOISY),
    Made("vp8.webm", "libvpx", 90, options=NOISY),
    Made("h264.mkv", "libx264", 90, options=h264()),
    Made("mpeg4.mkv", "mpeg4", 90, options=mpeg()),
    Made("mpeg4.avi", "mpeg4", 90, options=mpeg()),
    Made("h264.avi", "libx264", 90, options=h264()),
    Made("mpeg2.avi", "mpeg2video", 90, options=mpeg()),
    Made("front.mp4", "libx264", 90, options=h264(), muxing={"movflags": "faststart"}),
    Made("front.mov", "mpeg4", 90, options=mpeg(), muxing={"movflags": "faststart"}),
)

names = pytest.mark.parametrize("made", WHOLE, ids=lambda made: made.name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {made.name: _grained(made, folder) for made in WHOLE}


def _grained(made, folder):
    """The bytes of a clip that is hard to compress, so that its frames are not a few bytes each."""
    from unittest.mock import patch

    grain = np.random.default_rng(0).integers(0, 60, (made.frames, 48, 80, 1), np.uint8)
    frames = np.linspace(20, 160, made.frames)[:, None, None, None].astype(np.uint8) + grain
    with patch("corpus.pictures", lambda *arguments: frames.repeat(3, axis=3)):
        return make(made, folder).read_bytes()


@names
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("sampling", [TWO, ALL], ids=["probe", "all"])
def test_a_truncated_video_is_a_miss(tmp_path, whole, made, share, sampling):
    data = whole[made.name]
    path = tmp_path / made.name
    path.write_bytes(data)
    assert decode(path, ALL).total == 90, "the whole one is read"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ClipError) as error:
        decode(path, sampling)
    assert error.value.cause in ("truncated", "damaged") and "download it again" in str(error.value)


@names
def test_a_hole_in_the_middle_is_a_miss(tmp_path, whole, made):
    """A block of a file that was never filled: what broken downloads and disks leave."""
    data = bytearray(whole[made.name])
    middle = len(data) // 2
    data[middle : middle + 512] = bytes(512)
    path = tmp_path / made.name
    path.write_bytes(data)
    with pytest.raises(ClipError) as error:
        decode(path, TWO)
    assert error.value.cause in ("truncated", "damaged")


@names
def test_bytes_missing_in_the_middle_are_a_miss(tmp_path, whole, made):
    data = whole[made.name]
    middle = len(data) // 2
    path = tmp_path / made.name
    path.write_bytes(data[:middle] + data[middle + 700 :])
    with pytest.raises(ClipError) as error:
        decode(path, TWO)
    assert error.value.cause in ("truncated", "damaged")


def test_a_live_recording_states_no_end_and_is_read(tmp_path):
    for name, codec, options in (("live.webm", "libvpx", FAST), ("live.mkv", "libx264", h264())):
        path = make(Made(name, codec, 50, options=options, muxing={"live": "1"}), tmp_path)
        with av.open(str(path)) as container:
            assert container.duration is None
        assert decode(path, Sampling(num_frames=8)).total == 50


def test_stamps_that_fall_are_a_miss_and_not_a_guess(tmp_path):
    """Two recordings in one file, the second with a clock of its own."""
    part = make(Made("part.mpg", "mpeg2video", 25, options=mpeg()), tmp_path)
    (tmp_path / "joined.mpg").write_bytes(part.read_bytes() * 2)
    with pytest.raises(ClipError, match="time stamps cannot be trusted .* write the file again"):
        decode(tmp_path / "joined.mpg", TWO)


@pytest.mark.parametrize("size", [(16, 4000), (4000, 16)])
def test_a_shape_that_the_processor_refuses_is_a_miss(tmp_path, size):
    path = make(Made("strip.mkv", "mpeg4", 4, options=mpeg(), size=size), tmp_path)
    with pytest.raises(ClipError, match=r"takes no frames of \d+ x \d+") as error:
        decode(path, TWO)
    assert error.value.cause == "unusable size"


def test_a_playlist_opens_no_other_file(tmp_path):
    make(Made("other.ts", "mpeg2video", 25, options=mpeg()), tmp_path)
    (tmp_path / "list.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nother.ts\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "parts.mp4").write_text("ffconcat version 1.0\nfile other.ts\n")
    for name in ("list.mp4", "parts.mp4"):
        with pytest.raises(ClipError) as error:
            decode(tmp_path / name, TWO)
        assert error.value.cause == "not decodable"
