import numpy as np
import pytest
from transformers import Qwen3VLVideoProcessor
from transformers.video_utils import VideoMetadata

from covrr_utils import paths
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.files import content_hash
from covrr_utils.mini.build import write_video
from covrr_utils.video.clips import CAUSES, DECORD, ClipError, Sampling
from covrr_utils.video.containers import survey
from covrr_utils.video.decoder import read_clip
from covrr_utils.video.readers import by_av, decode

FOUR = Sampling(fps=4.0)


@pytest.fixture(scope="module")
def mp4():
    benchmark = load_benchmark("mini-val")
    return benchmark.video_path(benchmark.gallery[0])


def test_frames_come_with_their_times(mp4):
    clip = read_clip(mp4, FOUR, "some/id")
    assert (
        clip.id == "some/id"
        and clip.frames.shape == (8, 128, 128, 3)
        and clip.frames.dtype == np.uint8
    )
    assert (
        clip.metadata.frames_indices == [0, 3, 7, 10, 13, 16, 20, 23] and clip.metadata.fps == 12.0
    )
    assert np.allclose(clip.times, np.array([0, 3, 7, 10, 13, 16, 20, 23]) / 12)


@pytest.mark.parametrize("total", [1, 2, 3, 24, 100, 751])
@pytest.mark.parametrize("fps", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("video_fps", [8.0, 23.976, 30.0])
def test_sampling_is_the_processors_own(total, fps, video_fps):
    processor = Qwen3VLVideoProcessor(fps=fps, cap_pixels_per_frame=True)
    theirs = processor.sample_frames(VideoMetadata(total_num_frames=total, fps=video_fps), fps=fps)
    assert Sampling(fps=fps).indices(total, video_fps).tolist() == theirs.tolist()


@pytest.mark.parametrize("total, video_fps", [(1, 30.0), (3, 8.0), (24, 12.0), (751, 23.976)])
def test_sampling_keeps_the_processors_bounds(total, video_fps):
    processor = Qwen3VLVideoProcessor(
        fps=2.0, min_frames=2, max_frames=6, cap_pixels_per_frame=True
    )
    metadata = VideoMetadata(total_num_frames=total, fps=video_fps)
    bounded = Sampling(fps=2.0, min_frames=2, max_frames=6).indices(total, video_fps)
    assert (
        bounded.tolist() == processor.sample_frames(metadata, fps=2.0).tolist()
        and len(bounded) <= 6
    )
    fixed = Sampling(num_frames=5).indices(total, video_fps)
    assert (
        fixed.tolist() == processor.sample_frames(metadata, num_frames=5).tolist()
        and len(fixed) == 5
    )


def test_sampling_needs_one_of_two():
    with pytest.raises(ValueError, match="exactly one"):
        Sampling()
    with pytest.raises(ValueError, match="exactly one"):
        Sampling(fps=2.0, num_frames=8)


def damaged(folder, mp4, how):
    path = folder / "video.mp4"
    if how == "empty file":
        path.touch()
    elif how == "truncated":
        path.write_bytes(mp4.read_bytes()[: mp4.stat().st_size // 2])
    elif how == "text":
        path.write_text("this is no video\n" * 50)
    elif how == "too short":
        write_video(path, np.zeros((1, 128, 128, 3), np.uint8))
    return path


@pytest.mark.parametrize(
    "how, cause",
    [
        ("missing", "missing"),
        ("empty file", "empty file"),
        ("truncated", "not decodable"),
        ("text", "not decodable"),
        ("too short", "too short"),
    ],
)
def test_faulty_files_have_a_cause(tmp_path, mp4, how, cause):
    with pytest.raises(ClipError) as caught:
        read_clip(damaged(tmp_path, mp4, how), FOUR)
    assert caught.value.cause == cause and cause in CAUSES and "video.mp4" in str(caught.value)


def test_content_hash_follows_the_bytes(tmp_path, mp4):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(mp4.read_bytes())
    assert content_hash(copy) == content_hash(mp4)
    copy.write_bytes(mp4.read_bytes() + b"x")
    assert content_hash(copy) != content_hash(mp4)


def test_errors_show_paths_relative_to_the_repository():
    with pytest.raises(ClipError, match=r"^data/mini/videos/none.mp4: no such file"):
        read_clip(paths.mini_dir() / "videos" / "none.mp4", FOUR)


def encode(path, codec, width, height):
    """Three seconds at 12 frames a second, each frame brighter than the one before."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(36):
            file.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(
                        np.full((height, width, 3), 5 * number, np.uint8), "rgb24"
                    )
                )
            )
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    "name, codec, size",
    [
        ("clip.webm", "libvpx-vp9", (426, 240)),
        ("clip.mp4", "libx264", (596, 336)),
        ("clip.mkv", "libx264", (426, 240)),
        ("clip.avi", "mpeg4", (426, 240)),
        ("narrow.mp4", "libx264", (144, 240)),
        ("narrow.webm", "libvpx-vp9", (96, 64)),
    ],
)
def test_the_containers_and_sizes_of_real_benchmarks_are_read(tmp_path, name, codec, size):
    """WebVid comes as mp4, Something-Something v2 as webm (VP9); widths of 96 and 144 are those
    that decord2 cannot copy.
    """
    path = encode(tmp_path / name, codec, *size)
    assert decode(path, Sampling(num_frames=2)).frames.shape[0] == 2
    clip = read_clip(path, Sampling(fps=2))
    assert clip.frames.shape == (6, size[1], size[0], 3) and clip.metadata.fps == pytest.approx(
        12, abs=0.01
    )
    assert (
        clip.metadata.total_num_frames == 36 and (clip.metadata.width, clip.metadata.height) == size
    )
    assert np.abs(clip.frames.mean((1, 2, 3)) - 5 * np.array([0, 7, 14, 21, 28, 35])).max() < 6, (
        "the frames asked for, in their order"
    )


def test_both_readers_give_the_same_frames_of_the_embedded_clips():
    for path in sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[::20]:
        decoded = decode(path, FOUR)
        frames, picked = by_av(path, survey(path), FOUR)
        assert decoded.reader == DECORD
        assert np.array_equal(decoded.frames, frames)
        assert np.array_equal(decoded.indices, picked.indices)
