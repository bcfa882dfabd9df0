"""The decoding process: what it imports, what it says when it dies, who decodes through it."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from covrr_utils import paths
from covrr_utils.video import decoder as decoding
from covrr_utils.video.clips import ClipError, Sampling
from covrr_utils.video.decoder import Decoder, read_clip, shared
from covrr_utils.video.readers import _decord

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


@pytest.mark.parametrize("for_cuda", [False, True])
def test_decord_is_imported_without_the_libraries_of_cuda_where_it_can_be(
    tmp_path, monkeypatch, for_cuda
):
    """It would load all that lie beside torch; one that was built for CUDA needs them."""
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "decord").mkdir()
    (tmp_path / "decord" / "__init__.py").write_text(f"""
from importlib.util import find_spec
seen = find_spec("nvidia") is not None
if {for_cuda} and not seen:
    raise OSError("libcudart.so.13: cannot open shared object file")
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [*sys.modules]:
        if name.split(".")[0] in ("decord", "nvidia"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "decord", None)  # as it was is restored afterwards
    del sys.modules["decord"]
    assert _decord().seen == for_cuda
    assert _decord() is sys.modules["decord"] and importlib.util.find_spec("nvidia")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells what a process has loaded")
def test_a_decoding_process_loads_no_libraries_of_cuda(mp4):
    with Decoder() as decoder:
        decoder.submit(mp4, TWO).result()
        loaded = Path(f"/proc/{decoder._processes[0].pid}/maps").read_text()
    assert "libdecord" in loaded and "/nvidia/" not in loaded


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
