"""What a notebook leaves behind: what it measured, and the mark that it is done.

``done.json`` is written last, and only for a notebook that ended well. It names every file that the
notebook made with the hash of its content, so that "done" can be checked against what lies there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from covrr_utils import paths
from covrr_utils.experiments.jobs import Execution, Job
from covrr_utils.files import content_hash, delete, read_or_set_aside, write_atomically, write_json
from covrr_utils.spreadsheet import csv_bytes

WRITTEN = ".written"  # in a job's folder: what its notebook has written so far, one path per line

DONE = "done.json"

OWN_FILES = ("result.json", "queries.csv", "parameters.json")


def finished(job: Job, identity: str) -> Execution | None:
    """The earlier execution of this very job, if it ended well, and everything that it made is
    still there as it was.
    """
    done = read_or_set_aside(job.folder / DONE, json.loads)
    if not isinstance(done, dict) or done.get("identity") != identity:
        return None
    made = done.get("made", {})
    if not made or any(_hash(_place(name)) != content for name, content in made.items()):
        return None
    return Execution(job.notebook, executed_path(job), done["seconds"], reused=True)


def executed_path(job: Job) -> Path:
    """Where the executed copy of a job's notebook lies."""
    return job.folder / f"{job.notebook}.ipynb"


def record(job: Job, execution: Execution, before: str, after: str) -> Execution:
    """Write what the notebook measured beside it; only then, and only if it ended well, mark it
    done. ``before`` and ``after`` are its identities when it began and when it ended: where they
    differ, something changed meanwhile, and the notebook is not done.
    """
    marker, written = job.folder / DONE, job.folder / WRITTEN
    delete(marker)
    made = _announced(written)
    results = [result for path in made if (result := _result(path)) is not None]
    write_json(job.folder / "parameters.json", dict(job.parameters))
    write_atomically(job.folder / "queries.csv", _queries(results))
    summaries = [
        {name: value for name, value in result.items() if name != "queries"} for result in results
    ]
    write_json(
        job.folder / "result.json",
        {"notebook": job.notebook, "error": execution.error, "results": summaries},
    )
    delete(written)
    if execution.ok and before == after:
        everything = [*made, executed_path(job), *(job.folder / name for name in OWN_FILES)]
        write_json(
            marker,
            {
                "identity": after,
                "seconds": execution.seconds,
                "made": {_name(path): _hash(path) for path in everything},
            },
        )
    return execution


def _announced(written: Path) -> list[Path]:
    """The files that the notebook said it wrote (`paths.announce`), each once, in order."""
    if not written.is_file():
        return []
    return [Path(line) for line in dict.fromkeys(written.read_text(encoding="utf-8").splitlines())]


def _result(path: Path) -> dict | None:
    """A result that the notebook wrote; None for its other files."""
    if path.suffix != ".json":
        return None
    data = read_or_set_aside(path, json.loads)
    return data if isinstance(data, dict) and "queries" in data else None


def _queries(results: Sequence[Mapping]) -> bytes:
    """One csv row per result and triplet."""
    from covrr_utils.frames import pd

    of_result = ["strategy", "pooling", "scheme", "source"]
    of_query = ["triplet", "rank", "cause", "reference", "target"]
    rows = [
        [
            *(result[column] for column in of_result),
            *(row[column] for column in of_query),
            (row["top"] or [None])[0],
        ]
        for result in results
        for row in result["queries"]
    ]
    table = pd.DataFrame(rows, columns=[*of_result, *of_query, "first"]).astype({"rank": "Int64"})
    return csv_bytes(table)


def _name(path: Path) -> str:
    """A file's name in the mark: relative to ``runs/`` where it lies there, so that runs can be
    moved.
    """
    root = paths.runs_dir()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _place(name: str) -> Path:
    return paths.runs_dir() / name


def _hash(path: Path) -> str | None:
    try:
        return content_hash(path)
    except OSError:  # gone, or not to be read: not what was made
        return None
