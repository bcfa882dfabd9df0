"""Commands and options for real data and real checkpoints: ``covrr check``, ``covrr submit``,
``covrr verify``, and what ``run`` shares with them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from covrr_utils import paths
from covrr_utils.cli.printing import text_table

GALLERY_HELP = (
    "gallery: [per_section:](all|targets|folder|LIST)[+reference], or a published convention"
    " (webvid-covr, covr-r, challenge)"
)

OPTIONS = (  # run option, type, help; each is a field of RunConfig and a parameter of the notebooks
    ("gallery", str, GALLERY_HELP),
    (
        "prompt_style",
        str,
        "wording of all prompts: slots, keyword, dense, reasoning (default: slots)",
    ),
    (
        "label_layout",
        str,
        (
            "label layout, where the content is not to decide: webvid-csv, dense-csv, covr-r-json,"
            " sections-json, challenge-json"
        ),
    ),
    ("batch_size", int, "prompts at a time (default: 32)"),
    ("max_new_tokens", int, "limit of every generated text (default: the checkpoint's, else 256)"),
    ("fps", float, "frames a second taken from each video (default: the checkpoint's)"),
    ("num_frames", int, "frames taken from each video, instead of --fps"),
    (
        "video_pixels",
        int,
        "pixel budget of a whole video, frames x height x width (default: the checkpoint's)",
    ),
    ("device", str, "cuda, cuda:1, cpu (default: a GPU where there is one)"),
    ("dtype", str, "bfloat16, float16, float32 (default: bfloat16 on a GPU, float32 on the CPU)"),
    ("attention", str, "sdpa, eager, flash_attention_2"),
    ("device_map", str, "auto: spread the layers over all GPUs"),
    ("quantization", str, "8bit or 4bit, by bitsandbytes"),
    ("revision", str, "branch, tag or commit of a hub model"),
)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options of a real run."""
    for name, kind, help_ in OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=None, help=help_)
    add_videos(parser)


def add_videos(parser: argparse.ArgumentParser) -> None:
    said = "folder of the videos, or SECTION=DIR; give it once for each section of the labels"
    parser.add_argument("--videos", action="append", default=[], metavar="DIR", help=said)


def run_options(arguments: argparse.Namespace) -> dict[str, object]:
    """The options that were given, by the name of their `RunConfig` field; files and folders as
    absolute paths, for notebooks run elsewhere.
    """
    given = {
        name: getattr(arguments, name)
        for name, _, _ in OPTIONS
        if getattr(arguments, name, None) is not None
    }
    if "gallery" in given:
        prefix, colon, rest = given["gallery"].rpartition("per_section:")
        source = rest.removesuffix("+reference")
        given["gallery"] = f"{prefix}{colon}{absolute(source)}{rest.removeprefix(source)}"
    if arguments.videos:
        given["videos"] = [absolute(text) for text in arguments.videos]
    return given


def absolute(text: str) -> str:
    """``text`` as an absolute path where it names something that exists, also behind ``SECTION=``;
    else as it is.
    """
    name, equals, path = text.partition("=")
    if equals and Path(path).exists() and not Path(text).exists():
        return f"{name}={Path(path).resolve()}"
    return (
        str(Path(text).resolve()) if ("/" in text or "." in text) and Path(text).exists() else text
    )


def command_check(arguments: argparse.Namespace) -> int:
    """Count what the labels name, probe the videos, write both down."""
    from covrr_utils.benchmarks import checking
    from covrr_utils.benchmarks.benchmark import load_benchmark
    from covrr_utils.benchmarks.galleries import CONVENTIONS

    benchmark = load_benchmark(
        arguments.benchmark, arguments.gallery, arguments.videos, arguments.label_layout
    )
    probed = bool(arguments.videos) or benchmark.videos_root.is_dir()
    findings = (
        checking.check_videos(benchmark, None if arguments.json else "probing videos")
        if probed
        else None
    )
    report = checking.counts(benchmark, findings)
    path = checking.save_report(report, findings, benchmark)
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False, indent=1))
        return 0
    rows = checking.rows(report)
    kept = (
        "left out of its own ranking" if benchmark.exclude_reference else "kept in its own ranking"
    )
    print(
        f"{benchmark.name}: gallery {benchmark.gallery_name} ({benchmark.protocol}), reference"
        f" {kept}"
    )
    if arguments.gallery in CONVENTIONS:
        print(
            f"convention {arguments.gallery}: {CONVENTIONS[arguments.gallery].says}"
            f" ({CONVENTIONS[arguments.gallery].where})"
        )
    print(text_table(rows, list(rows[0])))
    if findings is None:
        print(
            "videos not looked for: there is no folder of videos beside the labels; give"
            " --videos DIR"
        )
    for cause, count in report["causes"].items():
        first = next(finding for finding in findings if finding.cause == cause)
        print(f"{cause}: {count}, such as {first.video}: {first.message}")
    if report["duplicate_rows"] or report["repeated_ids"]:
        print(
            f"{report['duplicate_rows']} rows repeat another one, {report['repeated_ids']} ids"
            " occur again; every row counts"
        )
    if shared := benchmark.files.ambiguous():
        print(
            f"{len(shared)} videos share their file name with another: they are found only as"
            " folder/name, not in a flat folder"
        )
    beside = "" if findings is None else " and check.csv beside it, one row per video"
    print(f"report: {paths.relative(path)}{beside}")
    return 0


def command_submit(arguments: argparse.Namespace) -> int:
    """Answer a challenge file and write the submission, or validate one."""
    from covrr_utils.benchmarks.labels import read_json
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run
    from covrr_utils.experiments.submission import submit, validate

    labels = Path(arguments.labels)
    if arguments.validate:
        print(
            f"{paths.relative(arguments.validate)}: valid,"
            f" {validate(read_json(arguments.validate), labels):,} rows"
        )
        return 0
    options = run_options(arguments)
    run = Run(
        RunConfig(
            benchmark=str(labels),
            backbone=arguments.backbone,
            strategies=[arguments.strategy],
            seed=arguments.seed,
            **options,
        )
    )
    path = arguments.out or run.folder.parent / "submission.json"
    answers = submit(run, labels, arguments.strategy, path)
    print(
        f"{paths.relative(path)}: {len(answers.videos):,} rows, valid; gallery of"
        f" {len(run.benchmark.gallery):,} ({run.benchmark.gallery_name})"
    )
    for triplet, cause in answers.failures.items():
        print(f"no answer of its own, gallery order instead: {triplet} ({cause})")
    return 0


def command_verify(arguments: argparse.Namespace) -> int:
    """A published size with random weights, gallery and query end to end: does it fit and run here,
    and how fast?
    """
    from covrr_utils.experiments.dry_run import verify

    report = verify(
        arguments.size,
        arguments.clips,
        arguments.batch_size,
        arguments.max_new_tokens,
        arguments.device,
        arguments.side,
    )
    print(json.dumps(report, indent=1))
    return 0


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    check = commands.add_parser(
        "check",
        help=(
            "count what labels name, probe every video: present, missing, unreadable; before any"
            " GPU time"
        ),
    )
    check.add_argument(
        "benchmark",
        help="embedded benchmark, path of a .benchmark.json or of a label file (csv or json)",
    )
    add_videos(check)
    check.add_argument("--gallery", default=None, help=GALLERY_HELP)
    check.add_argument(
        "--label-layout", default=None, help="label layout, where the content is not to decide"
    )
    check.add_argument(
        "--json", action="store_true", help="for machines: the counts, and per section the same"
    )
    check.set_defaults(call=command_check)
    submit = commands.add_parser(
        "submit",
        help="write and validate the challenge's submission: 50 ranked ids and a trace per row",
    )
    submit.add_argument("labels", help="the challenge's label file, without targets")
    submit.add_argument(
        "--validate",
        type=Path,
        default=None,
        metavar="FILE",
        help="only validate this submission against the label file",
    )
    submit.add_argument(
        "--backbone",
        default="mini-3m",
        help="embedded or published backbone, checkpoint folder or hub id (default: mini-3m)",
    )
    submit.add_argument(
        "--strategy", default="two_stage", help="reasoning strategy (default: two_stage)"
    )
    submit.add_argument(
        "--seed", type=int, default=0, help="seed of everything that is sampled (default: 0)"
    )
    submit.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="FILE",
        help="where to write (default: submission.json in the run's folder)",
    )
    add_run_options(submit)
    submit.set_defaults(call=command_submit)
    verify = commands.add_parser(
        "verify",
        help=(
            "a published size with random weights, end to end: does it fit and run here, and how"
            " fast"
        ),
    )
    verify.add_argument(
        "--size", default="2B", help="2B, 4B, 8B, 32B, 30B-A3B or 235B-A22B (default: 2B)"
    )
    verify.add_argument(
        "--clips", type=int, default=2, help="clips of the mini benchmark to use (default: 2)"
    )
    verify.add_argument("--batch-size", type=int, default=1, help="prompts at a time (default: 1)")
    verify.add_argument(
        "--max-new-tokens", type=int, default=4, help="tokens to generate (default: 4)"
    )
    verify.add_argument(
        "--device", default="auto", help="cuda, cpu (default: a GPU where there is one)"
    )
    verify.add_argument(
        "--side",
        type=int,
        default=None,
        help="enlarge the frames to so many pixels each way (default: 128, as they are)",
    )
    verify.set_defaults(call=command_verify)
