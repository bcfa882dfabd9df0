"""A store on a file system that refuses: what only cannot be read is not called damaged, what is
stored is served, and what cannot be written is one sentence.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stores import KEY, NAMES, cut, filled, opened, record, shard_of, texts

from covrr_utils import paths
from covrr_utils.backbones.description import Failure, Record
from covrr_utils.files import FileError
from covrr_utils.store.collection import Store
from covrr_utils.store.repair import StoreError


@pytest.fixture
def folder(tmp_path, make_description):
    return filled(tmp_path, make_description)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EMFILE, "too many files open; raise the limit"),
        (errno.EACCES, "permission is denied"),
        (errno.EIO, "input/output error"),
        (errno.ESTALE, "errno"),
    ],
)
def test_what_cannot_be_read_is_not_called_damaged(folder, monkeypatch, number, words):
    def refused(path, *args, **kwargs):
        raise OSError(number, os.strerror(number))

    collection, before = opened(folder), sorted(folder.iterdir())
    monkeypatch.setattr("builtins.open", refused)
    for read in (lambda: collection.missing(NAMES), lambda: collection.record("a")):
        with pytest.raises(FileError) as error:
            read()
        assert not isinstance(error.value, StoreError)
        assert words in str(error.value) and "delete" not in str(error.value)
        assert "Nothing is known to be wrong with its content" in str(error.value)
    monkeypatch.undo()
    assert sorted(folder.iterdir()) == before and collection.missing(NAMES) == []


FEW_FILES = """
import resource, sys
from pathlib import Path
from covrr_utils.store.collection import Store
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
key = {"prompt": "Describe.", "weights": "abc"}
collection = Store(Path(sys.argv[1])).collection("gallery", key)
assert collection.missing(collection.records()) == []
records = [collection.records()[id_] for id_ in sorted(collection.records(), reverse=True)]
print(len(records))
"""


def test_a_store_of_many_shards_needs_few_open_files(tmp_path, make_description):
    collection = Store(tmp_path).collection("gallery", KEY)
    for number in range(150):
        collection.add([Record(str(number), make_description([" a"], seed=number))])
    process = subprocess.run(
        [sys.executable, "-c", FEW_FILES, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(paths.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (process.stdout, process.stderr) == ("150\n", "")


def test_reading_a_store_leaves_no_file_open(folder):
    collection = opened(folder)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert collection.missing(NAMES) == [] and len(texts(collection)) == 4
    assert collection.record("a").id == "a"
    assert not before or len(os.listdir("/proc/self/fd")) == before


class Unwritable:
    """Every way to write, refused: what a read-only or full disk does."""

    def __init__(self, monkeypatch, number):
        real = os.open

        def refused(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        def reading_only(path, flags, *args, **kwargs):
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                refused()
            return real(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", reading_only)
        for name in ("replace", "mkdir", "unlink", "fsync", "truncate"):
            monkeypatch.setattr(os, name, refused)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_full_store_on_a_disk_that_refuses_writing_serves_all(folder, monkeypatch, number):
    failure = Failure("x", "video", "missing", "gone")
    opened(folder).record_failures([failure])
    Unwritable(monkeypatch, number)
    collection = opened(folder)
    assert collection.missing(NAMES) == [] and len(texts(collection)) == 4
    collection.record_failures([failure])  # tried again, and failed as before: nothing to write
    assert collection.failures() == {"x": failure}


def test_a_damaged_shard_on_a_read_only_disk_is_left_out(folder, monkeypatch, capsys):
    cut(shard_of(folder, "a"))
    Unwritable(monkeypatch, errno.EROFS)
    collection = opened(folder)
    assert collection.missing(NAMES) == ["a", "b"] and len(texts(collection)) == 2
    assert "read-only" in capsys.readouterr().err
    collection.record_failures([Failure("x", "video", "missing", "gone")])
    assert "x" in collection.failures() and "read-only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOLCK, "the file system refuses locks"),
        (errno.ENOTSUP, "the file system refuses locks"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota of this disk is used up"),
    ],
)
def test_a_store_that_cannot_be_written_says_why_and_names_the_variable(
    tmp_path, monkeypatch, make_description, number, words
):
    import filelock

    def refused(lock, *args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("COVRR_RUNS", str(tmp_path))
    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    collection = Store(tmp_path / "store").collection("gallery", KEY)
    with pytest.raises(FileError, match=f"^{words}.*COVRR_RUNS") as error:
        collection.add([record(make_description, "a")])
    assert "\n" not in str(error.value) and len(collection) == 0


def test_no_link_is_followed_when_writing(tmp_path, monkeypatch, make_description):
    monkeypatch.setenv("COVRR_RUNS", str(tmp_path / "runs"))
    collection = Store(tmp_path / "runs" / "store").collection("gallery", KEY)
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "secret"
    secret.write_text("kept")
    collection.folder.mkdir(parents=True)
    for name in ("journal.jsonl", ".lock", "key.json"):
        (collection.folder / name).unlink(missing_ok=True)
        (collection.folder / name).symlink_to(secret)
        try:
            collection.add([record(make_description, name[1])])
        except FileError as error:
            assert name in str(error) or "written" in str(error)
        assert secret.read_text() == "kept"
        (collection.folder / name).unlink()
    for path in sorted(collection.folder.iterdir()):
        path.unlink()
    collection.folder.rmdir()
    collection.folder.symlink_to(outside)
    with pytest.raises(FileError, match="a link leads to .*outside the runs folder"):
        collection.add([record(make_description, "z")])
    assert [path.name for path in outside.iterdir()] == ["secret"]
