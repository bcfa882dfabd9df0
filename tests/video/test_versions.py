"""What was stored from frames that an earlier release read wrongly is not used; all else is."""

import shutil

import pytest
from corpus import CORPUS, make

from covrr_utils import paths
from covrr_utils.files import content_hash
from covrr_utils.video.versions import VERSION, frames_hash

AGAIN = ("mpeg4.mp4", "trimmed.mp4", "trimmed.mov", "trimmed-plain.mp4", "trimmed-mpeg4.mp4")

AS_BEFORE = (
    "plain.mp4",
    "b.mp4",
    "front.mp4",
    "fragments.mp4",
    "late.mp4",
    "ten-bit.mp4",
    "hevc.mp4",
    "trimmed-at-key.mp4",
    "h264.mov",
)

OTHERS = ("h264-12-0.avi", "mpeg4-12-2.avi", "vp8.webm", "h264.mkv", "trimmed.ts")


@pytest.mark.parametrize("name", [*AGAIN, *AS_BEFORE, *OTHERS])
def test_the_name_of_a_content_says_how_it_was_read(name, tmp_path):
    (made,) = [made for made in CORPUS if made.name == name]
    path = make(made, tmp_path)
    version = "" if name in AS_BEFORE else f"-{VERSION}"
    assert frames_hash(path) == f"{content_hash(path)}{version}"


def test_embedded_clips_are_named_as_they_always_were():
    clips = sorted((paths.mini_dir() / "videos").rglob("*.mp4"))[::50]
    assert len(clips) > 50 and all(frames_hash(clip) == content_hash(clip) for clip in clips)


def test_any_bytes_have_a_name(tmp_path):
    clip = next((paths.mini_dir() / "videos" / "val").glob("*.mp4"))
    path = tmp_path / "0.mp4"
    whole = clip.read_bytes()
    for blob in (b"", b"ftyp", whole[:40], whole[:-200], bytes(4000), whole[:100] + whole[900:]):
        path.write_bytes(blob)
        assert frames_hash(path).startswith(content_hash(path))
    shutil.copy(clip, path)
    assert frames_hash(path) == content_hash(path)
