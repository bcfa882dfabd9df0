"""What the CoVR-R challenge takes: the rows of its file, each with its 50 best videos and a
reasoning trace; written and validated.

A submission keeps the sections, their order and every row of the challenge file, and adds to each
row ``video_target``, 50 distinct video ids, best first, never the source, and ``reasoning_trace``,
a text. Ids are written as in the file: without the section's name, and as numbers in a section
whose sources are numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils import paths
from covrr_utils.benchmarks.labels import label_sections, read_labels
from covrr_utils.benchmarks.triplets import LabelError, video_id
from covrr_utils.files import write_json
from covrr_utils.retrieval.ranking import top

if TYPE_CHECKING:
    from covrr_utils.experiments.run import Run

TOP = 50

ADDED = ("video_target", "reasoning_trace")


class SubmissionError(ValueError):
    """A submission that the challenge would not take; the message names section, row and key."""


@dataclass
class Answers:
    """For every triplet id the ranked video ids and the trace; ``failures`` says why a triplet has
    no ranking of its own.
    """

    videos: dict[str, list[str]] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def answer(run: Run, strategy: str, count: int = TOP) -> Answers:
    """Rank the gallery for every triplet, targets or not.

    A query that failed (its source is missing, its trace unusable) still needs a full row: it gets
    the gallery's first videos in their declared order, no better than chance, and is listed under
    ``failures``. Where a strategy writes no trace, the description is the trace.

    Raises
    ------
    SubmissionError
        If fewer than ``count`` videos besides the source can be ranked for a triplet.
    """
    queries, benchmark, answers = run.queries(strategy), run.benchmark, Answers()
    scores = run.scores(strategy, run.config.pooling, run.config.scheme, run.config.source)
    index = {video: place for place, video in enumerate(scores.videos)}
    outside = benchmark.outside(scores.videos)
    for triplet in benchmark.triplets:
        left_out = benchmark.left_out(triplet, index, outside) | (
            {index[triplet.reference]} if triplet.reference in index else set()
        )
        if failure := scores.failures.get(triplet.id):
            places = [place for place in range(len(index)) if place not in left_out][:count]
            answers.failures[triplet.id] = f"{failure.stage}: {failure.cause}"
            answers.traces[triplet.id] = f"Not available ({failure.cause})."
        else:
            places = top(scores.by_query[triplet.id], count, left_out).tolist()
            query = queries[triplet.id]
            answers.traces[triplet.id] = query.trace.text() if query.trace else query.text
        answers.videos[triplet.id] = [scores.videos[place] for place in places]
        if len(places) < count:
            raise SubmissionError(
                f"triplet {triplet.id}: only {len(places)} videos can be ranked besides the source,"
                f" but {count} are needed; of the gallery's {len(benchmark.gallery)} videos"
                f" {len(scores.gallery_failures)} could not be described (gallery:"
                f" {benchmark.gallery_name})"
            )
    return answers


def build(labels: Path, answers: Answers) -> list[dict]:
    """The submission as data, in the shape of the challenge file ``labels``."""
    _, parts = label_sections(labels)
    triplets, built = iter(read_labels(labels)), []
    for section, rows in parts:
        numbers = all(isinstance(row["video_source"], int) for row in rows)
        done = []
        for row in rows:
            triplet = next(triplets)
            names = [
                video.partition("/")[2] if len(parts) > 1 else video
                for video in answers.videos[triplet.id]
            ]
            ids = [int(name) if numbers and name.isdecimal() else name for name in names]
            done.append(row | dict(zip(ADDED, (ids, answers.traces[triplet.id]))))
        built.append((section, done))
    return built[0][1] if built[0][0] == "" else [{section: rows} for section, rows in built]


def validate(
    data: object, labels: Path, gallery: Sequence[str] | None = None, count: int = TOP
) -> int:
    """The number of rows of a valid submission.

    Raises
    ------
    SubmissionError If sections, rows or anything in a row are not those of the challenge file, or a
        row does not list ``count`` distinct videos (of the ``gallery``, where it is given) without
        the source, best first, and a trace.
    """
    _, parts = label_sections(labels)
    if not isinstance(data, list):
        raise SubmissionError(
            f"expected a list as in {paths.relative(labels)}, found {type(data).__name__}"
        )
    given = (
        data
        if parts[0][0] == ""
        else [rows for part in data if isinstance(part, dict) for rows in part.values()]
    )
    names = (
        []
        if parts[0][0] == ""
        else [name for part in data if isinstance(part, dict) for name in part]
    )
    if parts[0][0] and names != [name for name, _ in parts]:
        raise SubmissionError(
            f"expected the sections {', '.join(name for name, _ in parts)} in this order, found"
            f" {', '.join(names) or 'none'}"
        )
    allowed, total = None if gallery is None else set(gallery), 0
    for (section, rows), mine in zip(parts, [given] if parts[0][0] == "" else given):
        where = f"section {section!r}" if section else "submission"
        if not isinstance(mine, list) or len(mine) != len(rows):
            raise SubmissionError(
                f"{where}: expected {len(rows)} rows, found"
                f" {len(mine) if isinstance(mine, list) else type(mine).__name__}"
            )
        for number, (row, answer) in enumerate(zip(rows, mine)):
            _check_row(
                row,
                answer,
                f"{where}, row {number}",
                section if len(parts) > 1 else "",
                allowed,
                count,
            )
        total += len(rows)
    return total


def _check_row(
    row: Mapping, answer: object, where: str, section: str, allowed: set[str] | None, count: int
) -> None:
    if not isinstance(answer, dict) or {key: answer.get(key) for key in row} != dict(row):
        raise SubmissionError(
            f"{where}: expected the challenge's row with {' and '.join(ADDED)} added; what the row"
            " had must not change"
        )
    if set(answer) != {*row, *ADDED}:
        raise SubmissionError(
            f"{where}: expected the keys {', '.join([*row, *ADDED])}; found {', '.join(answer)}"
        )
    videos = answer["video_target"]
    if not isinstance(videos, list) or len(videos) != count:
        number = len(videos) if isinstance(videos, list) else videos
        raise SubmissionError(
            f"{where}: key 'video_target': expected {count} video ids, found {number!r}"
        )
    try:
        ids = [video_id(video, f"{where}: key 'video_target'") for video in videos]
        source = video_id(row["video_source"], where)
    except LabelError as error:
        raise SubmissionError(str(error)) from error
    if len(set(ids)) != count:
        raise SubmissionError(
            f"{where}: key 'video_target': {next(id_ for id_ in ids if ids.count(id_) > 1)!r}"
            " occurs more than once"
        )
    if source in ids:
        raise SubmissionError(
            f"{where}: key 'video_target': the source {source!r} must not be among the answers"
        )
    if allowed is not None and (
        strange := [id_ for id_ in ids if (f"{section}/{id_}" if section else id_) not in allowed]
    ):
        raise SubmissionError(f"{where}: key 'video_target': {strange[0]!r} is not in the gallery")
    if not isinstance(answer["reasoning_trace"], str) or not answer["reasoning_trace"].strip():
        raise SubmissionError(
            f"{where}: key 'reasoning_trace': expected a text, found {answer['reasoning_trace']!r}"
        )


def submit(run: Run, labels: Path, strategy: str, path: Path) -> Answers:
    """Answer the challenge file ``labels``, validate the submission, and write it to ``path``;
    nothing is written if it is not valid.
    """
    answers = answer(run, strategy)
    data = build(labels, answers)
    validate(data, labels, run.benchmark.gallery)
    write_json(path, data)
    return answers
