"""What a batch can suffer: memory that is too small, states that are no numbers, a disk that is
full, a decoder that hangs or dies. The rest goes on.
"""

import errno
import os
import shutil
import signal
import threading

import pytest
from stub_run import TWO, compute

from covrr_utils.backbones.description import Failure, NotFinite
from covrr_utils.files import DiskFull
from covrr_utils.store.collection import Store
from covrr_utils.video.clips import CAUSES, ClipError
from covrr_utils.video.decoder import Decoder


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


def test_a_full_disk_ends_a_run_with_an_intact_store(tmp_path, work, monkeypatch, faults):
    collection, real, left = Store(tmp_path).collection("gallery", {}), os.fsync, [4]

    def full(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull, match="the disk is full"):
            work(collection, compute)
    stored = Store(tmp_path).collection("gallery", {})
    assert 0 < len(stored) < 30 and all(
        record.description.text == name for name, record in stored.records().items()
    )
    work(stored, compute)
    assert len(Store(tmp_path).collection("gallery", {})) == 30
    faults("disk that is full", 1, 1, lost=30 - len(Store(tmp_path).collection("gallery", {})))


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


def test_as_many_batches_are_computed_at_once_as_there_are_ways_to_compute(tmp_path, work):
    collection = Store(tmp_path).collection("gallery", {})
    together, shares = threading.Barrier(2, timeout=60), ([], [])

    def lane(share):
        def meeting(items):
            together.wait()  # a batch alone would wait in vain
            share.extend(name for name, _ in items)
            return compute(items)

        return meeting

    work(collection, *map(lane, shares), size=5)
    assert len(collection) == 30 and sorted(shares[0] + shares[1]) == sorted(work.names)
    assert [len(share) for share in shares] == [15, 15]


def test_an_error_in_one_of_two_lanes_ends_the_work_with_what_was_stored(tmp_path, work):
    collection, begun = Store(tmp_path).collection("gallery", {}), []

    def broken(items):
        begun.append(len(items))
        if len(begun) == 2:
            raise RuntimeError("captured 0 states")
        return compute(items)

    with pytest.raises(RuntimeError, match="captured 0 states"):
        work(collection, compute, broken, size=5)
    assert 10 <= len(collection) < 30
    work(collection, compute, size=5)
    assert len(collection) == 30, "the same again goes on from there"
