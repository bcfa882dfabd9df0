"""The commands for real data and real checkpoints: ``covrr check``, ``covrr submit``, ``covrr
verify``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from covrr_utils import paths
from covrr_utils.cli.options import Command, Request
from covrr_utils.cli.printing import say, say_json, terminal_width, text_table
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.options import OneOf, Options, Text, Whole
from covrr_utils.reasoning.strategies import STRATEGIES


class CheckOptions(Options):
    """How the findings are printed."""

    as_json: bool = Field(
        False, alias="json", description="for machines: the counts, and per section the same"
    )


class SubmitOptions(Options):
    """What is written, and where."""

    strategy: Annotated[
        str | None, BeforeValidator(OneOf(names=tuple(STRATEGIES), optional=True))
    ] = Field(None, description="reasoning strategy that answers (default: the last of the run's)")
    out: Annotated[Path | None, BeforeValidator(Text(optional=True, stands_for="FILE"))] = Field(
        None, description="where to write (default: in the run's folder)"
    )
    only_validate: Annotated[
        Path | None, BeforeValidator(Text(optional=True, stands_for="FILE"))
    ] = Field(
        None, alias="validate", description="only validate this submission against the label file"
    )


class VerifyOptions(Options):
    """Which size is tried, on what."""

    size: Annotated[str, BeforeValidator(Text())] = Field(
        "2B", description="2B, 4B, 8B, 32B, 30B-A3B or 235B-A22B"
    )
    clips: Annotated[int, BeforeValidator(Whole())] = Field(
        2, description="clips of the mini benchmark to use"
    )
    side: Annotated[int | None, BeforeValidator(Whole(optional=True))] = Field(
        None,
        description="enlarge the frames to so many pixels each way (default: 128, as they are)",
    )


def check(own: CheckOptions, request: Request) -> int:
    """Count what the labels name, probe every video and write both down: present, missing,
    unreadable; before any GPU time.
    """
    config = _labelled(request, "check BENCHMARK")
    from covrr_utils.benchmarks import checking
    from covrr_utils.benchmarks.benchmark import load_benchmark
    from covrr_utils.benchmarks.galleries import CONVENTIONS

    benchmark = load_benchmark(
        config.benchmark, config.gallery, config.videos, config.label_layout, config.link_roots
    )
    probed = bool(config.videos) or benchmark.videos_root.is_dir()
    findings = (
        checking.check_videos(benchmark, None if own.as_json else "probing videos")
        if probed
        else None
    )
    report = checking.counts(benchmark, findings)
    path = checking.save_report(report, findings, benchmark)
    if own.as_json:
        say_json(report)
        return 0
    rows = checking.rows(report)
    kept = (
        "left out of its own ranking" if benchmark.exclude_reference else "kept in its own ranking"
    )
    say(
        f"{benchmark.name}: gallery {benchmark.gallery_name} ({benchmark.protocol}), reference"
        f" {kept}"
    )
    if config.gallery in CONVENTIONS:
        say(
            f"convention {config.gallery}: {CONVENTIONS[config.gallery].says}"
            f" ({CONVENTIONS[config.gallery].where})"
        )
    say(text_table(rows, list(rows[0]), terminal_width()))
    if findings is None:
        say(
            "videos not looked for: there is no folder of videos beside the labels; give"
            " --videos DIR"
        )
    for cause, count in report["causes"].items():
        first = next(finding for finding in findings or () if finding.cause == cause)
        say(f"{cause}: {count}, such as {first.video}: {first.message}")
    if report["duplicate_rows"] or report["repeated_ids"]:
        say(
            f"{report['duplicate_rows']} rows repeat another one, {report['repeated_ids']} ids"
            " occur again; every row counts"
        )
    if shared := benchmark.files.ambiguous():
        say(
            f"{len(shared)} videos share their file name with another: they are found only as"
            " folder/name, not in a flat folder"
        )
    beside = "" if findings is None else " and check.csv beside it, one row per video"
    say(f"report: {paths.relative(path)}{beside}")
    return 0


def submit(own: SubmitOptions, request: Request) -> int:
    """Answer a challenge file, which has no targets, and write a validated submission: 50 ranked
    ids and a trace for every row.
    """
    config = _labelled(request, "submit LABELS")
    from covrr_utils.benchmarks.labels import read_json
    from covrr_utils.experiments.places import output_name
    from covrr_utils.experiments.run import Run
    from covrr_utils.experiments.submission import submit as answer_and_write
    from covrr_utils.experiments.submission import validate

    labels = Path(config.benchmark)
    if own.only_validate:
        count = validate(read_json(own.only_validate), labels)
        say(f"{paths.relative(own.only_validate)}: valid, {count:,} rows")
        return 0
    strategy = own.strategy or config.strategies[-1]
    run = Run(config.replace(strategies=[strategy]))
    method = run.method(strategy, config.pooling, config.scheme, config.source)
    path = own.out or run.folder.parent / output_name("submission", method)
    answers = answer_and_write(run, labels, strategy, path)
    say(
        f"{paths.relative(path)}: {len(answers.videos):,} rows, valid; gallery of"
        f" {len(run.benchmark.gallery):,} ({run.benchmark.gallery_name})"
    )
    for triplet, cause in answers.failures.items():
        say(f"no answer of its own, gallery order instead: {triplet} ({cause})")
    return 0


def verify(own: VerifyOptions, request: Request) -> int:
    """Build a published size with random weights and run gallery and query end to end: does it fit
    and run here, and how fast?
    """
    from covrr_utils.experiments.dry_run import verify as dry_run

    config = request.config
    report = dry_run(
        own.size, own.clips, config.batch_size, config.max_new_tokens or 1, config.device, own.side
    )
    say_json(report)
    return 0


def _labelled(request: Request, usage: str) -> RunConfig:
    """The configuration, if it was said which labels: a default would answer another question.

    Raises
    ------
    ValueError
        If neither the command line nor a parameter file names them.
    """
    if "benchmark" not in request.given:
        raise ValueError(
            f"covrr {usage} needs an embedded benchmark, or the path of a .benchmark.json or of a"
            " label file (csv, json); or --parameters FILE with BENCHMARK in it"
        )
    return request.config


COMMANDS = {
    "check": Command(
        check,
        CheckOptions,
        takes=("benchmark", "videos", "link_roots", "gallery", "label_layout"),
        positional="benchmark",
    ),
    "submit": Command(submit, SubmitOptions, leaves=("strategies",), positional="benchmark"),
    "verify": Command(
        verify,
        VerifyOptions,
        takes=("batch_size", "max_new_tokens", "device"),
        usual={"batch_size": 1, "max_new_tokens": 4},
    ),
}
