"""Runs on a disk that refuses every write: what is finished is served, and what would have to be
written is one sentence.
"""

import builtins
import errno
import io
import json
import os
from contextlib import contextmanager

import pytest

from covrr_utils.cli.ending import Code
from covrr_utils.cli.main import main


@contextmanager
def read_only(folder, number):
    """Meanwhile no file below ``folder`` can be written."""

    def refused(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    opened, descriptor = io.open, os.open

    def reading(file, mode="r", *args, **kwargs):
        below = isinstance(file, str | os.PathLike) and str(file).startswith(str(folder))
        if below and set(mode) & set("wax+"):
            refused()
        return opened(file, mode, *args, **kwargs)

    def reading_descriptor(path, flags, *args, **kwargs):
        below = str(path).startswith(str(folder))
        if below and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refused()
        return descriptor(path, flags, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(builtins, "open", reading)
        patched.setattr(io, "open", reading)
        patched.setattr(os, "open", reading_descriptor)
        for name in ("replace", "rename", "mkdir", "unlink"):
            patched.setattr(os, name, refused)
        yield


@pytest.mark.slow
def test_a_finished_run_is_served_from_a_disk_that_refuses_writing(small_benchmark, runs, capsys):
    run = ["--benchmark", str(small_benchmark), "--backbone", "mini-3m"]
    score = ["score", *run, "--strategies", "two_stage", "--json"]
    report = ["report", *run, "--to", str(runs / "page.html")]
    assert [main(command) for command in (score, report)] == [0, 0]
    first = capsys.readouterr().out
    for number in (errno.EROFS, errno.ENOSPC):
        with read_only(runs, number):
            assert [main(command) for command in (score, report)] == [0, 0]
            assert capsys.readouterr().out == first
            assert main(["results", "--json"]) == 0
            (result,) = json.loads(capsys.readouterr().out)
            assert result["strategy"] == "two_stage" and result["triplets"] == 6
    with read_only(runs, errno.EROFS):
        assert main(["score", *run, "--strategies", "single_stage"]) == Code.FAILED
    said = capsys.readouterr().err
    assert "the file system is read-only" in said and "Set COVRR_RUNS" in said
