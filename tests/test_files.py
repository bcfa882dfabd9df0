"""Reading and writing: what a file system refuses is one sentence, nothing is half written, one
damaged file hides no other, and no link is followed.
"""

import errno
import json
import os
import subprocess
import sys

import filelock
import pytest

from covrr_utils import files, paths
from covrr_utils.files import DiskFull, FileError, Locked, read_or_set_aside, write_atomically

REFUSALS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this disk is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EIO: "the disk reports an input/output error",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.ESTALE: os.strerror(errno.ESTALE),
}


@pytest.fixture
def refuse(monkeypatch):
    """``refuse(name, number)``: that function of the operating system fails so from now on."""

    def start(name, number):
        def refused(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, name, refused)

    return start


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("at", ["mkdir", "fsync", "replace"])
def test_what_cannot_be_written_is_one_sentence_that_names_the_variable(runs, refuse, at, number):
    refuse(at, number)
    with pytest.raises(FileError) as error:
        files.write_json(runs / "mini" / "x.json", {})
    said = str(error.value)
    assert said.startswith(f"{REFUSALS[number]}") and "x.json could not be written" in said
    assert "set covrr_runs to a folder" in said.lower() and "run the same command again" in said
    assert "\n" not in said
    assert isinstance(error.value, DiskFull) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert not list(runs.rglob("*.json")) and not list(runs.rglob(".*")), "nothing is half written"


def test_the_variable_that_is_named_fits_the_folder(runs, tmp_path, refuse):
    refuse("replace", errno.ENOSPC)
    for path, named in (
        (tmp_path / "figures" / "a.png", "COVRR_FIGURES"),
        (runs / "a.json", "COVRR_RUNS"),
        (tmp_path / "elsewhere" / "page.html", "name a folder"),
    ):
        with pytest.raises(DiskFull, match=named):
            write_atomically(path, b"")


def test_what_lies_there_already_is_not_written_again(tmp_path, refuse):
    write_atomically(tmp_path / "a", b"1")
    for name in ("mkdir", "fsync", "replace", "unlink"):
        refuse(name, errno.EROFS)
    write_atomically(tmp_path / "a", b"1")
    with pytest.raises(FileError, match="read-only"):
        write_atomically(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_link_is_replaced_and_never_followed(runs, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("kept")
    runs.mkdir()
    (runs / "a.json").symlink_to(outside / "secret")
    write_atomically(runs / "a.json", b"kept")  # the same bytes, yet not this file's
    assert not (runs / "a.json").is_symlink() and (outside / "secret").read_text() == "kept"
    (runs / "mini").symlink_to(outside)
    for path in (runs / "mini" / "b.json", runs / "mini" / "new" / "b.json", runs / ".." / "b"):
        with pytest.raises(FileError, match="outside the runs folder.*COVRR_RUNS"):
            write_atomically(path, b"1")
    with pytest.raises(FileError, match="outside the runs folder"), files.locked(runs / "mini/l"):
        pass
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_the_runs_folder_itself_may_be_a_link(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "scratch")
    monkeypatch.setenv("COVRR_RUNS", str(tmp_path / "runs"))
    write_atomically(tmp_path / "runs" / "mini" / "a", b"1")
    assert (tmp_path / "scratch" / "mini" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("damage", [b"", b'{"a": ', b"\xff\xfe", b"[" * 100_000, b"null", b"[]"])
def test_a_damaged_file_is_named_and_set_aside(tmp_path, damage, capsys):
    path = tmp_path / "a.json"
    path.write_bytes(damage)
    assert read_or_set_aside(path, lambda blob: json.loads(blob)["a"]) is None
    said = capsys.readouterr().err
    assert "a.json is damaged" in said and "it is now a.json.damaged" in said
    assert not path.exists() and path.with_name("a.json.damaged").read_bytes() == damage
    assert read_or_set_aside(path, json.loads) is None and capsys.readouterr().err == ""


def test_an_unreadable_file_is_named_and_left_where_it_is(tmp_path, capsys):
    (tmp_path / "a.json").mkdir()
    assert read_or_set_aside(tmp_path / "a.json", json.loads) is None
    assert "a.json could not be read" in capsys.readouterr().err and (tmp_path / "a.json").is_dir()


def test_a_damaged_file_on_a_read_only_disk_is_left_out(tmp_path, refuse, capsys):
    (tmp_path / "a.json").write_text("{")
    refuse("replace", errno.EROFS)
    assert read_or_set_aside(tmp_path / "a.json", json.loads) is None
    assert "could not be renamed (the file system is read-only)" in capsys.readouterr().err


HOLD = """
import sys
from covrr_utils.files import locked
from pathlib import Path
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(tmp_path):
    lock = tmp_path / "new" / ".lock"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(Locked, match="another process is at work here"):
        with files.locked(lock, wait=False):
            pass
    other.communicate(b"")
    with files.locked(lock, wait=False), files.locked(tmp_path / "another"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_said(runs, monkeypatch, number):
    def refused(lock, *args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with pytest.raises(FileError, match="refuses locks.*Set COVRR_RUNS to a folder"):
        with files.locked(runs / ".lock"):
            pass
