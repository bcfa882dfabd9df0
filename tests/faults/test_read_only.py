"""Runs on a disk that refuses every write: what is finished is served, and what would have to be
written is one sentence.
"""

import errno
import json

import pytest
from disks import read_only

from covrr_utils.cli.ending import Code
from covrr_utils.cli.main import main


@pytest.mark.slow
def test_a_finished_run_is_served_from_a_disk_that_refuses_writing(
    small_benchmark, filled_runs, capsys
):
    run = ["--benchmark", str(small_benchmark), "--backbone", "mini-3m"]
    score = ["score", *run, "--strategies", "two_stage", "--json"]
    report = ["report", *run, "--to", str(filled_runs / "page.html")]
    assert [main(command) for command in (score, report)] == [0, 0]
    first = capsys.readouterr().out
    for number in (errno.EROFS, errno.ENOSPC):
        with read_only(filled_runs, number):
            assert [main(command) for command in (score, report)] == [0, 0]
            assert capsys.readouterr().out == first
            assert main(["results", "--json"]) == 0
            (result,) = json.loads(capsys.readouterr().out)
            assert result["strategy"] == "two_stage" and result["triplets"] == 6
    with read_only(filled_runs, errno.EROFS):
        assert main(["score", *run, "--strategies", "gold_trace"]) == Code.FAILED
    said = capsys.readouterr().err
    assert "the file system is read-only" in said and "Set COVRR_RUNS" in said
