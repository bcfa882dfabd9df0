import errno
import os

import numpy as np
import pytest

from covrr_utils.backbones.description import Failure, Record
from covrr_utils.files import DiskFull
from covrr_utils.store.collection import Store

KEY = {"prompt": "Describe.", "weights": "abc"}


def records(make_description, *names):
    return [
        Record(
            name, make_description([" mug", " rests", "<|im_end|>"], seed=n), {"trace": "t" + name}
        )
        for n, name in enumerate(names)
    ]


def test_what_was_stored_comes_back(tmp_path, make_description):
    collection = Store(tmp_path).collection("gallery", KEY)
    given = records(make_description, "a", "b")
    collection.add(given[:1])
    collection.add(given[1:])
    found = Store(tmp_path).collection("gallery", KEY).records()
    assert list(found) == ["a", "b"]
    for record in given:
        back = found[record.id]
        assert (back.extra, back.description.text, back.description.tokens) == (
            record.extra,
            record.description.text,
            record.description.tokens,
        )
        assert np.array_equal(back.description.token_ids, record.description.token_ids)
        assert np.array_equal(back.description.logprobs, record.description.logprobs)
        assert back.description.special.tolist() == [False, False, True] and back.description.ended
        assert np.array_equal(
            back.description.states, record.description.states.astype(np.float16).astype(np.float32)
        )


def test_another_key_is_another_collection(tmp_path, make_description):
    store = Store(tmp_path)
    store.collection("gallery", KEY).add(records(make_description, "a"))
    assert "a" in store.collection("gallery", KEY)
    for changed in (KEY | {"prompt": "Describe!"}, KEY | {"weights": "abd"}, KEY | {"more": 1}):
        assert "a" not in store.collection("gallery", changed)
    assert "a" not in store.collection("queries", KEY)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_never_was(tmp_path, make_description, cut):
    """A process killed while it announces a shard leaves part of a line: the shard does not exist,
    and the next write heals the journal.
    """
    collection = Store(tmp_path).collection("gallery", KEY)
    collection.add(records(make_description, "a"))
    collection.add(records(make_description, "b"))
    journal = collection.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    again = Store(tmp_path).collection("gallery", KEY)
    assert list(again.records()) == ["a"]
    again.add(records(make_description, "b"))
    again.add(records(make_description, "c"))
    assert list(Store(tmp_path).collection("gallery", KEY).records()) == ["a", "b", "c"]


def test_two_writers_keep_each_others_shards(tmp_path, make_description):
    one, two = (Store(tmp_path).collection("gallery", KEY) for _ in range(2))
    first, second, third = records(make_description, "a", "b", "c")
    one.add([first])
    two.add([second])
    one.add([third])
    assert set(Store(tmp_path).collection("gallery", KEY).records()) == {"a", "b", "c"}


def test_two_writers_of_the_same_record_keep_the_first(tmp_path, make_description):
    one, two = (Store(tmp_path).collection("gallery", KEY) for _ in range(2))
    one.add(records(make_description, "a"))
    two.add(records(make_description, "b", "a"))  # does not know yet that there is an "a"
    found = Store(tmp_path).collection("gallery", KEY).records()
    assert set(found) == {"a", "b"} and np.array_equal(
        found["a"].description.states, two.record("a").description.states
    )


def test_records_can_be_given_other_names(tmp_path, make_description):
    collection = Store(tmp_path).collection("gallery", KEY)
    collection.add(records(make_description, "a", "b"))
    found = collection.records({"x": "b", "y": "not stored"})
    assert (
        list(found) == ["x"]
        and found["x"].id == "x"
        and found["x"].extra == {"trace": "tb"}
        and "y" not in found
    )


# full while the shard is written; full while it is announced
@pytest.mark.parametrize("lucky", [0, 1])
def test_a_full_disk_is_said_and_harms_nothing(tmp_path, make_description, monkeypatch, lucky):
    collection = Store(tmp_path).collection("gallery", KEY)
    collection.add(records(make_description, "a"))
    left = [os.fsync] * lucky

    def full(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="the disk is full.*run the same command again to go on"):
        collection.add(records(make_description, "b"))
    monkeypatch.undo()
    assert list(Store(tmp_path).collection("gallery", KEY).records()) == ["a"]
    assert [path.name for path in collection.folder.glob(".*")] == [".lock"], (
        "no half-written file is left"
    )
    collection.add(records(make_description, "b"))
    assert list(Store(tmp_path).collection("gallery", KEY).records()) == ["a", "b"]


def test_failures_are_kept_until_they_succeed(tmp_path, make_description):
    collection = Store(tmp_path).collection("gallery", KEY)
    collection.record_failures(
        [Failure("a", "video", "missing", "first"), Failure("b", "video", "missing", "x")]
    )
    collection.record_failures([Failure("a", "video", "not decodable", "second")])
    again = Store(tmp_path).collection("gallery", KEY)
    assert again.failures()["a"].cause == "not decodable" and len(again.failures()) == 2
    again.add(records(make_description, "a"))
    assert set(Store(tmp_path).collection("gallery", KEY).failures()) == {"b"}


def test_what_does_not_fit_is_refused(tmp_path, make_description):
    collection = Store(tmp_path).collection("gallery", KEY)
    (record,) = records(make_description, "a")
    collection.add([record])
    with pytest.raises(ValueError, match="already stored"):
        collection.add([record])
    with pytest.raises(ValueError, match="'c' is given twice"):
        collection.add(records(make_description, "c", "c"))
    (large,) = records(make_description, "b")
    large.description.states[0, 0] = 1e6
    with pytest.raises(ValueError, match="not finite in float16"):
        collection.add([large])
    assert len(Store(tmp_path).collection("gallery", KEY)) == 1


def test_layers_and_visual_tokens_are_kept_where_there_are_some(tmp_path, make_description):
    rng = np.random.default_rng(1)
    records = [Record(str(n), make_description([" a"] * (n + 2))) for n in range(3)]
    for record in records:
        record.description.layers = rng.standard_normal(
            (2, len(record.description.tokens), 5)
        ).astype(np.float32)
        record.description.vision = rng.standard_normal(5).astype(np.float32)
    collection = Store(tmp_path).collection("gallery", {"a": 1})
    collection.add(records)
    collection.add([Record("plain", make_description([" b"]))])
    stored = Store(tmp_path).collection("gallery", {"a": 1}).records()
    for record in records:
        assert np.allclose(
            stored[record.id].description.layers, record.description.layers, atol=2e-3
        )
        assert np.array_equal(stored[record.id].description.vision, record.description.vision)
    assert stored["plain"].description.layers is None and stored["plain"].description.vision is None
