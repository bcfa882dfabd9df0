"""What goes wrong in long work, done on purpose: nothing finished is lost, every failure has a
cause, and the rest goes on.
"""

import errno
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, Record
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.places import file_name
from covrr_utils.experiments.run import Run
from covrr_utils.files import DiskFull
from covrr_utils.store import prefetch
from covrr_utils.store.batches import fill
from covrr_utils.store.collection import Store, StoreError
from covrr_utils.store.prefetch import Work
from covrr_utils.video.clips import CAUSES, Clip, ClipError, Sampling
from covrr_utils.video.decoder import Decoder, read_clip
from covrr_utils.video.readers import decode

sys.path.insert(0, str(Path(__file__).parent))
from stub_run import description  # noqa: E402

TWO = Sampling(num_frames=2)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Thirty clips of the validation split in a folder of their own."""
    folder = tmp_path_factory.mktemp("videos")
    for path in sorted((paths.mini_dir() / "videos" / "val").glob("*.mp4"))[:30]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def work(videos, monkeypatch):
    """Thirty things to compute and a way to start on them with any ``compute``."""
    monkeypatch.setattr(prefetch, "as_clip", lambda found, id_: Clip(id_, found.frames, None))
    files = {path.stem: path for path in sorted(videos.glob("*.mp4"))}

    def start(collection, compute, size=4, path_of=files.__getitem__):
        fill(
            collection,
            [Work(name, name, name) for name in files],
            path_of,
            TWO,
            compute,
            size,
            "test",
        )

    start.names = list(files)
    return start


def compute(items):
    return [Record(name, description(name)) for name, _ in items], []


def stub(store, videos, pause=0.06):
    return subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).parent / "stub_run.py"),
            str(store),
            str(videos),
            str(pause),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def contents(store):
    records = Store(store).collection("gallery", {"stub": 1}).records()
    return {
        name: (record.description.text, record.description.states.tobytes())
        for name, record in records.items()
    }


@pytest.mark.slow
def test_fifty_kills_lose_nothing_that_was_finished(tmp_path, videos, faults):
    """kill -9 at random moments, five to a store, ten stores: what is stored is right each time,
    and the resumed result is the same.
    """
    begun = time.perf_counter()
    assert stub(tmp_path / "whole", videos).wait() == 0
    seconds, whole = time.perf_counter() - begun, contents(tmp_path / "whole")
    assert len(whole) == 30
    rng, lost, grown, right = random.Random(7), 0, 0, 0
    for number in range(10):
        store, before = tmp_path / f"store{number}", {}
        for _ in range(5):
            process = stub(store, videos)
            time.sleep(rng.uniform(0.3, 0.9) * seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
            stored = contents(store)
            lost += sum(name not in stored for name in before)
            grown += len(stored) > len(before)
            right += all(whole[name] == what for name, what in stored.items())
            before = stored
        assert stub(store, videos).wait() == 0
        assert contents(store) == whole
    faults("kill -9 while a store is filled", 50, right, lost)
    assert (right, lost) == (50, 0) and grown >= 8, (
        "kills came while work was done, and no finished record went away"
    )


RUN = """
import sys
from covrr_utils.config import RunConfig
from covrr_utils.experiment import Run
from covrr_utils.results import file_name
run = Run(
    RunConfig(benchmark=sys.argv[1], backbone="mini-3m", batch_size=2, device="cpu", samples=2)
)
for strategy in ("two_stage", "self_consistency"):
    run.evaluate(strategy)
"""
KILLS = int(os.environ.get("COVRR_KILLS", "2"))


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_in_the_same_results(small_benchmark, tmp_path, faults):
    """kill -9 of a whole run (gallery, two strategies, evaluation) at random moments;
    ``COVRR_KILLS`` says how many.
    """

    def start(runs):
        environment = os.environ | {"COVRR_RUNS": str(runs), "PYTHONPATH": str(paths.ROOT)}
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(small_benchmark)],
            env=environment,
            stderr=subprocess.DEVNULL,
        )

    def results(runs):
        found = {
            path.name: json.loads(path.read_text())
            for path in sorted(runs.glob("*/*/results/*.json"))
        }
        for data in found.values():
            assert data.pop("seconds_per_query") > 0
        return found

    begun = time.perf_counter()
    assert start(tmp_path / "whole").wait() == 0
    seconds, whole = time.perf_counter() - begun, results(tmp_path / "whole")
    rng, same, killed, store = random.Random(11), 0, 0, 0
    while killed < KILLS and store < KILLS:  # a run may end before its kill
        store += 1
        for _ in range(2):  # two kills, then to the end
            process = start(tmp_path / str(store))
            time.sleep(rng.uniform(0.4, 1.0) * seconds)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        assert start(tmp_path / str(store)).wait() == 0
        same += results(tmp_path / str(store)) == whole
    faults("kill -9 of a whole run", killed, killed if same == store else 0)
    assert len(whole) == 2 and same == store and killed > 0


@pytest.mark.slow
def test_two_processes_on_one_store(tmp_path, videos, faults):
    one, two = stub(tmp_path, videos, 0.01), stub(tmp_path, videos, 0.013)
    assert (one.wait(), two.wait()) == (0, 0)
    assert {name: text for name, (text, _) in contents(tmp_path).items()} == {
        path.stem: path.stem for path in videos.glob("*.mp4")
    }
    faults("two processes that fill one store", 1, 1)


@pytest.mark.slow
def test_a_killed_rerun_goes_on_where_it_stopped(tmp_path, faults):
    import nbformat

    folder = tmp_path / "root" / "notebooks"
    folder.mkdir(parents=True)
    for link in ("data", "figures"):
        (tmp_path / "root" / link).symlink_to(paths.ROOT / link)
    for name, code in (
        ("10_quick", "print(1)"),
        ("11_slow", "import time, os\nos.path.exists('go') or time.sleep(60)"),
    ):
        cells = [
            nbformat.v4.new_code_cell("BENCHMARK = 'mini'\nBACKBONE = 'x'"),
            nbformat.v4.new_code_cell(code),
        ]
        cells[0].metadata["tags"] = ["parameters"]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, folder / f"{name}.ipynb")
    environment = os.environ | {
        "COVRR_ROOT": str(tmp_path / "root"),
        "COVRR_RUNS": str(tmp_path / "runs"),
    }
    command = [
        sys.executable,
        "-m",
        "covrr_utils.cli.main",
        "rerun",
        "--backbones",
        "x",
        "--notebooks",
        "10_quick",
        "11_slow",
    ]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    done = tmp_path / "runs" / "mini" / "x" / "10_quick" / "done.json"
    limit = time.time() + 90
    while not done.exists() and time.time() < limit:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (folder / "go").touch()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (
        again.returncode == 0
        and again.stdout.count("done before") == 1
        and again.stdout.count("executed") == 1
    ), again.stderr[-500:]
    faults("kill -9 of a rerun of notebooks", 1, 1)


def test_ctrl_c_says_what_is_done_and_how_to_go_on(tmp_path, work, capsys, faults):
    collection, calls = Store(tmp_path).collection("gallery", {}), []

    def interrupted(items):
        calls.append(len(items))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(items)

    with pytest.raises(KeyboardInterrupt):
        work(collection, interrupted)
    assert (
        "test: stopped. 8 of 30 are done and stored; run the same again" in capsys.readouterr().err
    )
    assert len(Store(tmp_path).collection("gallery", {})) == 8
    asked = []
    work(
        Store(tmp_path).collection("gallery", {}),
        lambda items: asked.extend(items) or compute(items),
    )
    assert len(asked) == 22 and len(Store(tmp_path).collection("gallery", {})) == 30
    faults("Ctrl-C", 1, 1, lost=len(asked) - 22)


def test_a_batch_that_does_not_fit_is_halved_and_the_size_kept(tmp_path, work, faults):
    collection, sizes = Store(tmp_path).collection("gallery", {}), []

    def small(items):
        sizes.append(len(items))
        if len(items) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(items)

    work(collection, small, size=12)
    assert len(collection) == 30 and not collection.failures()
    assert sizes[:3] == [12, 6, 3] and max(sizes[9:]) <= 3, (
        "later batches are not tried at the size that failed"
    )
    faults(
        "batch too large for memory",
        sum(size > 3 for size in sizes),
        sum(size > 3 for size in sizes),
        lost=30 - len(collection),
    )


def test_one_item_too_large_for_memory_is_a_failure(tmp_path, work):
    collection, large = Store(tmp_path).collection("gallery", {}), work.names[5]

    def greedy(items):
        if any(name == large for name, _ in items):
            raise MemoryError("Unable to allocate 40 GiB")
        return compute(items)

    work(collection, greedy)
    assert len(collection) == 29 and collection.failures() == {
        large: Failure(large, "model", "out of memory", "Unable to allocate 40 GiB")
    }


def test_other_errors_of_a_model_are_not_hidden(tmp_path, work):
    def broken(items):
        raise RuntimeError("captured 0 states")

    with pytest.raises(RuntimeError, match="captured 0 states"):
        work(Store(tmp_path).collection("gallery", {}), broken)


def test_states_that_are_not_finite_cost_one_item(tmp_path, work, faults):
    from covrr_utils.backbones.description import NotFinite

    collection, (nan, large) = (
        Store(tmp_path).collection("gallery", {}),
        (work.names[2], work.names[9]),
    )

    def sick(items):
        if any(name == nan for name, _ in items):
            raise NotFinite("the states of the description are not finite")
        records, _ = compute(items)
        for record in records:
            if record.id == large:
                record.description.states[0, 0] = 1e6  # finite, but not in float16
        return records, []

    work(collection, sick)
    assert len(collection) == 28 and {
        name: f.cause for name, f in collection.failures().items()
    } == {nan: "states not finite", large: "states not finite"}
    faults("description whose states are not finite (recorded)", 2, 2, lost=28 - len(collection))


def test_a_disk_too_small_for_the_rest_is_said_after_the_first_batch(tmp_path, work, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6)
    )
    collection = Store(tmp_path).collection("gallery", {})
    with pytest.raises(
        DiskFull, match="the 26 that are left need about.*What is done is stored; make room"
    ):
        work(collection, compute)
    assert len(collection) == 4


def test_a_decoder_that_hangs_or_dies_costs_one_clip(videos, faults):
    path = min(videos.glob("*.mp4"))
    with Decoder(seconds=2) as decoder:
        assert decoder.submit(path, TWO).result().frames.shape == (2, 128, 128, 3)
        process = decoder._processes[-1]
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(ClipError, match="did not answer within 2 s") as hung:
            decoder.submit(path, TWO).result()
        assert decoder.submit(path, TWO).result().total > 2, "a new process goes on"
        process = decoder._processes[-1]
        process.send_signal(signal.SIGSTOP)
        answer = decoder.submit(path, TWO)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(ClipError, match=r"the decoder died \(exit code -9\)") as died:
            answer.result()
        assert decoder.submit(path, TWO).result().total > 2
    assert {hung.value.cause, died.value.cause} == {"decoder hung", "decoder died"} <= set(CAUSES)
    assert all(process.poll() is not None for process in decoder._processes), (
        "no process is left behind"
    )
    faults("decoder that hangs or dies (recorded)", 2, 2)


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


def test_links_do_not_lead_out_of_the_video_folder(small_benchmark, runs, tmp_path):
    run = Run(
        RunConfig(benchmark=str(small_benchmark), backbone="mini-3m", batch_size=8, device="cpu")
    )
    first = run.benchmark.triplets[0]
    path = run.benchmark.video_path(first.reference)
    shutil.copy(path, tmp_path / "secret.mp4")
    path.unlink()
    path.symlink_to(tmp_path / "secret.mp4")
    result = run.evaluate("single_stage")
    assert (
        result.queries[0]["cause"] == "video: outside the video folder"
        and result.triplets == 6
        and result.ranks[0] is None
    )
    with pytest.raises(ClipError, match="leads outside"):
        run.clip(first.reference)


def test_the_same_run_gives_the_same_bytes_apart_from_times(small_benchmark, tmp_path, monkeypatch):
    found = []
    for number in range(2):
        monkeypatch.setenv("COVRR_RUNS", str(tmp_path / str(number)))
        run = Run(
            RunConfig(
                benchmark=str(small_benchmark),
                backbone="mini-3m",
                batch_size=8,
                device="cpu",
                samples=2,
            )
        )
        for strategy in ("two_stage", "self_consistency"):
            run.evaluate(strategy)
        files = sorted((tmp_path / str(number)).glob("*/*/results/*.json"))
        texts = [json.loads(path.read_text()) for path in files]
        for data in texts:
            assert data.pop("seconds_per_query") > 0
        found.append([path.name for path in files] + [json.dumps(data) for data in texts])
    assert found[0] == found[1]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    what=st.sampled_from(["journal.jsonl", "key.json", "shard"]),
)
def test_any_damage_of_a_store_is_named_or_harmless(tmp_path, at, byte, what):
    folder = tmp_path / f"{at}-{byte}-{what}"
    collection = Store(folder).collection("gallery", {"a": "b"})
    for name in ("x", "y"):
        collection.add([Record(name, description(name))])
    path = (
        next(collection.folder.glob("*.safetensors"))
        if what == "shard"
        else collection.folder / what
    )
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        found = Store(folder).collection("gallery", {"a": "b"}).records()
        for name, record in found.items():
            assert (
                record.description.states.tobytes()
                == description(name).states.astype(np.float16).astype(np.float32).tobytes()
            )
    except StoreError as error:
        assert "computed again" in str(error) or "computed, " in str(error) or "key" in str(error)
    finally:
        shutil.rmtree(folder)


@given(
    st.lists(
        st.text() | st.sampled_from(["..", "/etc/passwd", "a\\b", "\0"]), min_size=1, max_size=3
    )
)
def test_no_name_of_a_result_leads_out_of_its_folder(tmp_path_factory, parts):
    name = file_name("two_stage", *parts)
    folder = tmp_path_factory.getbasetemp()
    assert (folder / name).resolve().parent == folder.resolve() and len(name.encode()) < 255


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


def test_a_full_disk_ends_a_run_with_an_intact_store(tmp_path, work, monkeypatch, faults):
    collection, real, left = Store(tmp_path).collection("gallery", {}), os.fsync, [4]

    def full(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="the disk is full"):
        work(collection, compute)
    monkeypatch.undo()
    monkeypatch.setattr(prefetch, "as_clip", lambda found, id_: Clip(id_, found.frames, None))
    stored = Store(tmp_path).collection("gallery", {})
    assert 0 < len(stored) < 30 and all(
        record.description.text == name for name, record in stored.records().items()
    )
    work(stored, compute)
    assert len(Store(tmp_path).collection("gallery", {})) == 30
    faults("disk that is full", 1, 1, lost=30 - len(Store(tmp_path).collection("gallery", {})))
