"""Videos as the world has them: each is decoded right, or is a failure with its cause."""

import os
import random
import shutil
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from stub_run import TWO

from covrr_utils import paths
from covrr_utils.video.clips import CAUSES, ClipError, Sampling
from covrr_utils.video.decoder import Decoder, read_clip
from covrr_utils.video.readers import decode


def encode(path, frames, times=None, rate=12, audio=False):
    """An H.264 mp4 of ``frames`` (T, H, W, 3), at ``times`` seconds where given; or an audio-only
    file.
    """
    with av.open(str(path), "w", format="mp4") as container:
        if audio:
            stream = container.add_stream("aac", rate=44100)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
            sound.sample_rate = 44100
            container.mux(stream.encode(sound) + stream.encode(None))
            return path
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts, picture.time_base = (
                round(1000 * (number / rate if times is None else times[number])),
                Fraction(1, 1000),
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def grey(count, size=64):
    """Frames whose brightness tells their number."""
    return np.stack(
        [
            np.full((size, size, 3), 20 + 200 * number // max(count - 1, 1), np.uint8)
            for number in range(count)
        ]
    )


def test_every_faulty_file_has_its_cause(tmp_path, faults):
    good = (sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[0]).read_bytes()
    files = {
        "zero.mp4": b"",
        "truncated.mp4": good[: len(good) // 2],
        "text.mp4": b"<html>404</html>" * 50,
        "noise.mp4": random.Random(1).randbytes(5000),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    encode(tmp_path / "one.mp4", grey(1))
    encode(tmp_path / "audio.mp4", None, audio=True)
    with Decoder() as decoder:
        answers = {
            path.name: decoder.submit(path, TWO)
            for path in [*sorted(tmp_path.iterdir()), tmp_path / "gone.mp4"]
        }
        causes = {}
        for name, answer in answers.items():
            with pytest.raises(ClipError) as error:
                answer.result()
            causes[name] = error.value.cause
    assert causes == {
        "zero.mp4": "empty file",
        "truncated.mp4": "not decodable",
        "text.mp4": "not decodable",
        "noise.mp4": "not decodable",
        "one.mp4": "too short",
        "audio.mp4": "not decodable",
        "gone.mp4": "missing",
    }
    faults("faulty video file (recorded with its cause)", len(answers), len(causes))


def test_a_webm_named_mp4_and_other_names_are_read(tmp_path, videos):
    name = os.fsdecode(b"caf\xe9.mp4")  # Latin-1 bytes: no UTF-8
    shutil.copy(min(videos.glob("*.mp4")), tmp_path / name)
    assert decode(tmp_path / name, TWO).frames.shape == (2, 128, 128, 3)
    with Decoder() as decoder:
        assert decoder.submit(tmp_path / name, TWO).result().total == 24


def test_very_long_and_very_large_videos(tmp_path):
    encode(tmp_path / "long.mp4", grey(2000, 48))
    assert read_clip(tmp_path / "long.mp4", Sampling(fps=4.0, max_frames=16)).frames.shape == (
        16,
        48,
        48,
        3,
    )
    encode(tmp_path / "large.mp4", np.zeros((2, 2160, 4096, 3), np.uint8))
    with Decoder() as decoder:
        assert decoder.submit(tmp_path / "large.mp4", TWO).result().frames.shape == (
            2,
            2160,
            4096,
            3,
        )


def test_a_rotated_video_stands_upright(tmp_path, videos):
    path = min(videos.glob("*.mp4"))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 0x40000000)
    (tmp_path / "rotated.mp4").write_bytes(data)
    upright, turned = decode(path, TWO).frames, decode(tmp_path / "rotated.mp4", TWO).frames
    assert np.array_equal(np.rot90(upright, 3, axes=(1, 2)), turned)


def test_a_variable_frame_rate_gives_true_times(tmp_path):
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 2.0, 3.0, 4.0]
    clip = read_clip(encode(tmp_path / "vfr.mp4", grey(10), times), Sampling(num_frames=5))
    # evenly in time: 0, 1, 2, 3, 4 seconds, that is frames 0, 6, 7, 8, 9, which their brightness
    # tells
    shown = [round((frame.mean() - 20) / 200 * 9) for frame in clip.frames.astype(float)]
    assert shown == [0, 6, 7, 8, 9]
    assert np.allclose(clip.times, [0, 1, 2, 3, 4], atol=0.5 / clip.metadata.fps + 0.05)


@pytest.mark.slow
def test_any_bytes_are_a_clip_or_a_cause(tmp_path, videos, faults):
    """Two hundred damaged copies of real clips: each is decoded, or is a failure with a cause; the
    decoding process may die, the run may not.
    """
    rng, outcomes = random.Random(3), []
    originals = [path.read_bytes() for path in sorted(videos.glob("*.mp4"))]
    with Decoder(seconds=20) as decoder:
        for number in range(200):
            data = bytearray(rng.choice(originals))
            for _ in range(rng.choice([1, 10, 100])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            if rng.random() < 0.2:
                del data[rng.randrange(len(data)) :]
            path = tmp_path / f"{number}.mp4"
            path.write_bytes(data)
            try:
                outcomes.append(decoder.submit(path, TWO).result().frames.shape[0])
            except ClipError as error:
                outcomes.append(error.cause)
    assert set(outcomes) <= {2, *CAUSES} and 2 in outcomes and "not decodable" in outcomes
    faults("video with random damage (decoded, or recorded)", 200, len(outcomes))
