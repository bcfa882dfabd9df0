"""One damaged file of a store costs what it holds, not what lies beside it."""

import json
from pathlib import Path

import pytest
from stores import KEY, NAMES, cut, filled, opened, record, shard_of, texts

from covrr_utils.store.collection import Store
from covrr_utils.store.repair import StoreError


@pytest.fixture
def folder(tmp_path, make_description):
    return filled(tmp_path, make_description)


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_a_damaged_or_deleted_shard_costs_its_own_descriptions(
    folder, damage, make_description, capsys
):
    path = shard_of(folder, "b")
    damage(path)
    collection = opened(folder)
    assert collection.missing(NAMES) == ["a", "b"] and texts(collection) == {
        "c": " c rests",
        "d": " d rests",
    }
    said = capsys.readouterr().err
    assert path.name in said and "2 descriptions are to be computed again; the other 2 stay" in said
    assert path.with_name(f"{path.name}.damaged").exists() == (damage is cut)
    assert opened(folder).missing(NAMES) == ["a", "b"], "the next process knows it"
    collection.add([record(make_description, name) for name in "ab"])
    again = opened(folder)
    assert again.missing(NAMES) == [] and len(texts(again)) == 4
    assert capsys.readouterr().err == "", "it is said once"


def test_a_shard_that_is_lost_while_it_is_read_is_named(folder, capsys):
    collection = opened(folder)
    cut(shard_of(folder, "a"))
    with pytest.raises(StoreError, match="its 2 descriptions are computed again, and the rest"):
        collection.record("a")
    assert collection.record("c").description.text == " c rests"
    assert collection.missing(NAMES) == ["a", "b"]


def test_what_another_process_has_computed_again_is_used(folder, make_description):
    slow, quick = opened(folder), opened(folder)
    cut(shard_of(folder, "a"))
    assert quick.missing(NAMES) == ["a", "b"]
    quick.add([record(make_description, name) for name in "ab"])
    assert slow.record("a").description.text == " a rests" and slow.missing(NAMES) == []


def test_a_shard_of_which_another_process_has_a_copy_is_not_lost(folder, make_description):
    """Two processes computed c at the same time: when one shard is lost, the other one serves."""
    one, two = opened(folder), opened(folder)
    one.add([record(make_description, "e")])
    two.add([record(make_description, "f"), record(make_description, "e")])
    cut(shard_of(folder, "e"))
    collection = opened(folder)
    assert collection.missing(["e", "f"]) == [] and collection.record("e").id == "e"


def test_a_damaged_line_costs_nothing_where_its_shard_is_intact(folder, capsys):
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"shard", b"shord", 1))
    assert list(opened(folder).records()) == ["c", "d"]
    assert opened(folder).missing(NAMES) == []
    assert "journal.jsonl: 1 lines are damaged" in capsys.readouterr().err
    assert set(texts(opened(folder))) == set(NAMES) and opened(folder).missing(["x"]) == ["x"]
    assert capsys.readouterr().err == "", "it is said once"


def test_a_deleted_journal_is_written_again(folder):
    (folder / "journal.jsonl").unlink()
    assert opened(folder).missing(NAMES) == [] and set(texts(opened(folder))) == set(NAMES)


def test_a_writer_killed_before_its_line_loses_nothing(folder):
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0])
    assert opened(folder).missing(NAMES) == []


def test_a_damaged_key_file_is_written_again(folder, make_description, capsys):
    (folder / "key.json").write_text("{")
    collection = opened(folder)
    assert "key.json is damaged" in capsys.readouterr().err and len(texts(collection)) == 4
    collection.add([record(make_description, "e")])
    assert json.loads((folder / "key.json").read_text()) == KEY


def test_a_renamed_folder_lends_nothing(folder, capsys):
    other = Store(folder.parents[1]).collection("gallery", KEY | {"weights": "abd"})
    folder.rename(other.folder)
    with pytest.raises(StoreError, match="belongs to another key.*move the folder away"):
        Store(folder.parents[1]).collection("gallery", other.key)
    (other.folder / "key.json").unlink()
    collection = Store(folder.parents[1]).collection("gallery", other.key)
    with pytest.raises(StoreError, match="belongs to another key, so the folder was renamed"):
        collection.missing(NAMES)
    assert len(list(other.folder.glob("*.safetensors"))) == 2, "nothing is set aside"
