"""The decoding process: what it imports, what it says when it dies, who decodes through it."""

import os
import signal
import sys

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.video import decoder as decoding
from covrr_utils.video.clips import ClipError, Sampling
from covrr_utils.video.decoder import Decoder, read_clip, shared

TWO = Sampling(num_frames=2)


@pytest.fixture(scope="module")
def mp4():
    return min((paths.mini_dir() / "videos" / "val").glob("*.mp4"))


@pytest.mark.parametrize("name", ["queue.py", "numpy.py", "av.py", "json.py", "sitecustomize.py"])
def test_nothing_is_imported_from_the_folder_in_which_the_user_works(
    tmp_path, monkeypatch, mp4, name
):
    (tmp_path / name).write_text("raise RuntimeError('a file of the user was imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f":.:{tmp_path}")
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Decoder() as decoder:
        assert decoder.submit(mp4, TWO).result().frames.shape == (2, 128, 128, 3)


def test_a_dead_process_shows_the_last_line_of_its_own_error(monkeypatch, mp4):
    broken = decoding.START.replace("serve()", "raise ImportError('libfoo.so is missing')")
    monkeypatch.setattr(decoding, "START", broken)
    with Decoder() as decoder:
        with pytest.raises(ClipError, match=r"exit code 1\): ImportError: libfoo.so is missing"):
            decoder.submit(mp4, TWO).result()


def test_what_was_said_about_an_earlier_clip_is_no_last_word(mp4):
    with Decoder() as decoder:
        assert decoder.submit(mp4, TWO).result().total == 24
        (process,) = decoder._processes
        errors = decoder._threads.submit(lambda: decoder._own.process.errors).result()
        os.write(errors.fileno(), b"a warning about that clip\n")
        process.send_signal(signal.SIGSTOP)
        answer = decoder.submit(mp4, TWO)
        process.kill()
        with pytest.raises(ClipError, match=r"the decoder died \(exit code -9\); convert the file"):
            answer.result()


def test_single_clips_are_decoded_in_one_process_apart(mp4):
    clips = [read_clip(mp4, TWO, "some/id"), read_clip(mp4, TWO)]
    assert [clip.id for clip in clips] == ["some/id", mp4.stem]
    assert np.array_equal(clips[0].frames, clips[1].frames)
    (process,) = [one for one in shared()._processes if one.poll() is None]
    assert process.args[0] == sys.executable


def test_frames_that_do_not_fit_into_memory_are_a_miss(monkeypatch, mp4):
    def full(*arguments):
        raise MemoryError

    with Decoder() as decoder:
        assert decoder.submit(mp4, TWO).result().total == 24
        monkeypatch.setattr(decoding.np, "empty", full)
        with pytest.raises(ClipError, match="do not fit into the memory that is left") as error:
            decoder.submit(mp4, TWO).result()
        monkeypatch.undo()
        assert error.value.cause == "too large"
        assert decoder.submit(mp4, TWO).result().total == 24


def test_a_working_folder_that_is_gone_costs_no_clip(tmp_path, monkeypatch):
    clip = next((paths.mini_dir() / "videos" / "val").glob("*.mp4"))
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    monkeypatch.setattr(sys, "path", ["", "packages", *sys.path])
    with Decoder() as decoder:
        assert len(decoder.submit(clip, Sampling(num_frames=4)).result().frames) == 4
