"""Pooled vectors are kept beside the descriptions that they were made of, and for these alone."""

import numpy as np
import pytest
from stores import NAMES, cut, filled, opened, record, shard_of

from covrr_utils import files
from covrr_utils.backbones.description import Failure
from covrr_utils.retrieval import pooling
from covrr_utils.retrieval.pooling import NothingToPool, pool, way_of
from covrr_utils.retrieval.weights import WEIGHTINGS, WordFrequencies
from covrr_utils.store import pooled as pooled_file
from covrr_utils.store.pooled import pooled, pooled_now

MEAN = way_of("mean", "word", "predicts")


@pytest.fixture
def folder(tmp_path, make_description):
    return filled(tmp_path, make_description)


def mean(description):
    return pool(description, "mean")


def never(description):
    raise AssertionError(f"{description.text!r} was pooled again")


def vectors(folder, by=mean, names=NAMES, way=MEAN, kept_as="float32"):
    records = opened(folder).records({f"id {name}": name for name in names})
    return pooled(list(records.values()), way, by, {}, kept_as)


def test_what_was_pooled_is_read_and_is_the_same(folder):
    first, again = vectors(folder), vectors(folder, never)
    assert list(first) == list(again) == ["id a", "id b", "id c", "id d"]
    for name in NAMES:
        expected = mean(opened(folder).record(name).description)
        assert np.array_equal(first[f"id {name}"], expected)
        assert np.array_equal(again[f"id {name}"], expected)
    some = vectors(folder, never, ["d", "b"])
    assert list(some) == ["id d", "id b"] and np.array_equal(some["id b"], first["id b"])


def test_a_large_file_is_mapped_and_says_the_same(folder, monkeypatch):
    read = vectors(folder)
    monkeypatch.setattr(pooled_file, "MAPPED_BYTES", 0)
    mapped = vectors(folder, never)
    assert not isinstance(read.matrix, np.memmap) and isinstance(mapped.matrix, np.memmap)
    np.testing.assert_array_equal(mapped.matrix, read.matrix)
    vectors(folder, names=["d"], by=never)
    some = vectors(folder, never, ["b", "c"])
    assert isinstance(some.matrix, np.memmap), "neighbours stay on disk"
    np.testing.assert_array_equal(some.matrix, read.matrix[1:3])
    np.testing.assert_array_equal(mapped.lengths, read.lengths)


def test_half_precision_is_kept_beside_and_is_the_rounded_vector(folder):
    exact = vectors(folder)
    half = vectors(folder, kept_as="float16")
    again = vectors(folder, never, kept_as="float16")
    for one in (half, again):
        assert one.matrix.dtype == np.float16
        np.testing.assert_array_equal(one.matrix, exact.matrix.astype(np.float16))
    query = exact["id b"]
    assert again.cosines(query) == pytest.approx(exact.cosines(query), abs=1e-3)
    assert again.cosines(query).dtype == np.float32
    np.testing.assert_array_equal(vectors(folder, never).matrix, exact.matrix)


def test_what_is_pooled_for_now_alone_leaves_nothing(folder):
    now = pooled_now(opened(folder).records().values(), mean, {})
    assert not (folder / "pooled").exists()
    np.testing.assert_array_equal(now.matrix, vectors(folder).matrix)


def test_another_way_is_pooled_by_itself(folder):
    vectors(folder)
    for other in (way_of("max", "word", "predicts"), way_of("mean", "word", "reads")):
        with pytest.raises(AssertionError, match="was pooled again"):
            vectors(folder, never, way=other)


def test_new_records_join_and_nothing_is_pooled_twice(folder, make_description):
    vectors(folder, names=["c", "a"])
    pooled_now = []
    opened(folder).add([record(make_description, "e")])

    def noted(description):
        pooled_now.append(description.text)
        return mean(description)

    vectors(folder, noted, [*NAMES, "e"])
    assert pooled_now == [" b rests", " d rests", " e rests"]
    assert len(vectors(folder, never, [*NAMES, "e"])) == 5


def test_what_was_computed_again_is_pooled_again(folder, make_description):
    before = vectors(folder)
    cut(shard_of(folder, "a"))
    collection = opened(folder)
    collection.missing(NAMES)
    for name in "ab":
        again = record(make_description, name)
        again.description.states += 1
        collection.add([again])
    after = vectors(folder)
    assert not np.allclose(after["id a"], before["id a"])
    assert np.array_equal(after["id c"], before["id c"])
    assert np.array_equal(vectors(folder, never)["id a"], after["id a"])


def test_what_cannot_be_pooled_is_remembered_with_its_cause(folder):
    def partly(description):
        if description.text == " b rests":
            raise NothingToPool("it says nothing")
        return mean(description)

    lost = Failure("x", "video", "missing", "")
    for by in (partly, never):
        records = opened(folder).records({name: name for name in NAMES})
        found = pooled(list(records.values()), MEAN, by, {"x": lost})
        assert list(found) == ["a", "c", "d"] and found.failures["x"] == lost
        assert found.failures["b"] == Failure("b", "pooling", "nothing to pool", "it says nothing")


def test_where_nothing_can_be_pooled_there_are_no_vectors(folder):
    def silent(description):
        raise NothingToPool("it says nothing")

    for by in (silent, never):
        found = vectors(folder, by)
        assert len(found) == 0 and len(found.failures) == 4
    assert len(pooled([], MEAN, never, {})) == 0


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("part", ["header", "records", "vectors", "end", "begin"])
def test_a_damaged_file_is_set_aside_and_made_again(folder, capsys, monkeypatch, part, mapped):
    before = vectors(folder)
    (path,) = (folder / "pooled").glob("*.safetensors")
    blob = bytearray(path.read_bytes())
    if part in ("end", "begin"):
        blob = blob[:-8] if part == "end" else blob[:5]
    else:
        blob[{"header": 9, "records": blob.index(b"safetensors"), "vectors": -3}[part]] ^= 0x15
    path.write_bytes(blob)
    if mapped:
        monkeypatch.setattr(pooled_file, "MAPPED_BYTES", 0)
    assert np.array_equal(vectors(folder)["id d"], before["id d"])
    assert "is damaged" in capsys.readouterr().err
    assert vectors(folder, never).keys() == before.keys()


def test_a_store_that_cannot_be_written_is_pooled_each_time(folder, capsys, monkeypatch):
    def refused(path, blob):
        raise files.FileError("the file system is read-only")

    monkeypatch.setattr(files, "write_atomically", refused)
    assert len(vectors(folder)) == len(vectors(folder)) == 4
    assert "read-only. The vectors are pooled again next time" in capsys.readouterr().err


def test_a_way_names_all_that_decides_a_vector(monkeypatch):
    few, many = WordFrequencies(["a mug"]), WordFrequencies(["a mug", "an egg"])
    ways = [way_of("weighted_mean", scheme, "predicts", few) for scheme in WEIGHTINGS]
    ways += [way_of("weighted_mean", "idf", "predicts", many)]
    ways += [way_of(name, "word", "reads") for name in pooling.POOLINGS]
    ways += [way_of("mean", "word", "vision")]
    assert all(one != other for place, one in enumerate(ways) for other in ways[:place])
    assert way_of("max", "word", "reads") == way_of("max", "idf", "reads", few), "no weights there"
    monkeypatch.setattr(pooling, "_code", lambda: ["another version"])
    assert way_of("mean", "word", "vision") not in ways
