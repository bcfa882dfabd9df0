"""The command line: ``covrr run``, ``rerun``, ``results``, ``benchmarks``, ``backbones``; what
judges and explains is in `covrr_utils.cli.quality`, what real data needs in
`covrr_utils.cli.data`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils import paths
from covrr_utils.cli import data, quality
from covrr_utils.cli.printing import results_table, text_table
from covrr_utils.files import FileError, reason

if TYPE_CHECKING:
    from covrr_utils.experiments.reruns import Execution

DEFAULT_NOTEBOOKS = (
    "00_start_here",
    "01_triplets_and_videos",
    "02_reasoning_traces",
    "03_pooling_embeddings",
    "04_retrieval",
)


def command_run(arguments: argparse.Namespace) -> int:
    """Embed the gallery, ask the queries (with progress), run the notebooks, print the table."""
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.reruns import plan, rerun
    from covrr_utils.experiments.run import Run

    begun = time.perf_counter()
    options = data.run_options(arguments)
    benchmark, backbone = data.absolute(arguments.benchmark), data.absolute(arguments.backbone)
    run = Run(
        RunConfig(
            benchmark=benchmark,
            backbone=backbone,
            seed=arguments.seed,
            limit=arguments.limit,
            **options,
        )
    )
    run.benchmark.require_targets()
    info = run.backbone.info()
    print(
        f"{run.benchmark.name}: {len(run.benchmark.triplets)} triplets, gallery of"
        f" {len(run.benchmark.gallery):,} ({run.benchmark.gallery_name})\n{info['name']}:"
        f" {info['class']}, {info['parameters']:,} parameters, {info['dtype']} on {info['device']},"
        f" weights {info['weights_hash']}"
    )
    results = []
    run.gallery()
    for strategy in run.config.strategies:
        results.append(run.evaluate(strategy).summary())
    parameters = {
        name.upper(): getattr(arguments, name)
        for name in ("seed", "limit")
        if getattr(arguments, name) != getattr(RunConfig(), name)
    }
    parameters |= {name.upper(): value for name, value in options.items()}
    run.release()  # the notebooks load the model by themselves
    failed = report(rerun(plan([backbone], [benchmark], DEFAULT_NOTEBOOKS, parameters)))
    print(f"\n{results_table(results)}")
    print(
        f"\nFigures: {paths.relative(paths.figures_dir())}   Results: {paths.relative(run.folder)} "
        f"  {time.perf_counter() - begun:.0f} s in all"
    )
    return 1 if failed else 0


def report(executions: Iterable[Execution]) -> int:
    """One line per notebook as it ends; the number of those that failed."""
    failed = 0
    for execution in executions:
        state = (
            "done before" if execution.reused else "executed   " if execution.ok else "FAILED     "
        )
        print(f"{state} {paths.relative(execution.path)} ({execution.seconds:.0f} s)", flush=True)
        if not execution.ok:
            failed += 1
            print(f"  {execution.error}", file=sys.stderr, flush=True)
    return failed


def read_parameters(path: Path) -> dict[str, object]:
    """Notebook parameters from a yaml file: an object with UPPER_CASE names.

    Raises
    ------
    ValueError
        If the file is missing or holds anything else.
    """
    import yaml

    try:
        parameters = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path}: cannot be read as a parameter file ({error}); see notebooks/parameters for"
            " examples"
        ) from error
    if not isinstance(parameters, dict) or not all(
        isinstance(name, str) and name.isupper() for name in parameters
    ):
        raise ValueError(
            f"{path}: expected notebook parameters such as 'BACKBONE: mini-3m', one a line; see"
            " notebooks/parameters for examples"
        )
    return parameters


def command_rerun(arguments: argparse.Namespace) -> int:
    """Execute notebooks for every backbone and benchmark; what is done already is not executed
    again.
    """
    from covrr_utils.backbones.registry import list_backbones
    from covrr_utils.experiments.reruns import plan, rerun

    begun = time.perf_counter()
    parameters = read_parameters(arguments.parameters) if arguments.parameters else {}
    named = parameters.pop("BENCHMARK", "mini"), parameters.pop("BACKBONE", None)
    chosen = arguments.backbones or ([named[1]] if named[1] else list(list_backbones()))
    jobs = plan(chosen, arguments.benchmarks or [named[0]], arguments.notebooks, parameters)
    failed = report(rerun(jobs, arguments.force, arguments.workers))
    print(
        f"{len(jobs)} notebooks, {failed} failed, {time.perf_counter() - begun:.0f} s; see"
        f" {paths.relative(paths.runs_dir())}"
    )
    return 1 if failed else 0


def command_backbones(arguments: argparse.Namespace) -> int:
    from covrr_utils.backbones import sizes
    from covrr_utils.backbones.registry import list_backbones

    rows = []
    if arguments.published:
        rows = [
            {
                "name": m.name,
                "class": m.architecture,
                "weights": f"{m.bf16 / 1e9:.1f} GB in bf16",
                "parameters": f"{m.parameters:,}",
                "hub": m.hub,
                "revision": m.revision,
            }
            for m in sizes.published_sizes().values()
        ]
        print(
            json.dumps(rows, indent=1)
            if arguments.json
            else f"{text_table(rows, list(rows[0]))}\n{sizes.NOT_PUBLISHED}"
        )
        return 0
    for name, folder in list_backbones().items():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        rows.append(
            {
                "name": name,
                "class": config["architectures"][0],
                "weights": f"{size / 1e6:.1f} MB",
                "folder": paths.relative(folder),
            }
        )
    print(
        json.dumps(rows, indent=1)
        if arguments.json
        else text_table(rows, ["name", "class", "weights", "folder"])
    )
    return 0


def command_benchmarks(arguments: argparse.Namespace) -> int:
    from covrr_utils.benchmarks.benchmark import list_benchmarks, load_benchmark

    rows = []
    for name in list_benchmarks():
        benchmark = load_benchmark(name)
        rows.append(
            {
                "name": name,
                "kind": benchmark.kind,
                "triplets": len(benchmark.triplets),
                "gallery": len(benchmark.gallery),
                "gallery name": benchmark.gallery_name,
                "reference excluded": benchmark.exclude_reference,
            }
        )
    columns = ["name", "kind", "triplets", "gallery", "gallery name", "reference excluded"]
    print(json.dumps(rows, indent=1) if arguments.json else text_table(rows, columns))
    return 0


def command_results(arguments: argparse.Namespace) -> int:
    from covrr_utils.experiments.results import load_results

    results = load_results()
    if arguments.json:
        print(json.dumps(results, ensure_ascii=False, indent=1))
    elif results:
        print(results_table(results))
    else:
        print(
            f"no results below {paths.relative(paths.runs_dir())} yet; `covrr run` makes the first"
        )
    return 0


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(
        prog="covrr", description="Reason-aware composed video retrieval, as a workbook."
    )
    commands = main_parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="the default job: embed, query, execute notebooks 00-04, print recalls"
    )
    run.add_argument(
        "--benchmark",
        default="mini",
        help="embedded benchmark, path of a .benchmark.json or of a label file (default: mini)",
    )
    run.add_argument(
        "--backbone",
        default="mini-3m",
        help="embedded or published backbone, checkpoint folder or hub id (default: mini-3m)",
    )
    run.add_argument(
        "--seed", type=int, default=0, help="seed of everything that is sampled (default: 0)"
    )
    run.add_argument(
        "--limit", type=int, default=None, help="only the first N triplets (default: all)"
    )
    data.add_run_options(run)
    run.set_defaults(call=command_run)
    rerun = commands.add_parser(
        "rerun",
        help=(
            "notebooks x backbones x benchmarks through papermill, resumable; rebuilds tables and"
            " figures"
        ),
    )
    rerun.add_argument(
        "--backbones",
        nargs="+",
        metavar="NAME",
        help="embedded backbones, checkpoint folders or hub ids (default: all embedded)",
    )
    rerun.add_argument(
        "--benchmarks", nargs="+", metavar="NAME", help="benchmarks by name or path (default: mini)"
    )
    rerun.add_argument(
        "--notebooks", nargs="+", metavar="NAME", help="notebooks by name (default: 00-09)"
    )
    rerun.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE",
        help="yaml with notebook parameters, such as notebooks/parameters/*.yaml",
    )
    rerun.add_argument("--force", action="store_true", help="execute also what is done already")
    rerun.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="backbones side by side (default: 1; more disturb measured seconds)",
    )
    rerun.set_defaults(call=command_rerun)
    quality.add_commands(commands)
    for name, call, help_ in (
        ("backbones", command_backbones, "the embedded backbones"),
        ("benchmarks", command_benchmarks, "the embedded benchmarks"),
        ("results", command_results, "every stored result, with its denominators"),
    ):
        sub = commands.add_parser(name, help=help_)
        sub.add_argument("--json", action="store_true", help="for machines: a list of objects")
        sub.set_defaults(call=call)
    commands.choices["backbones"].add_argument(
        "--published", action="store_true", help="the published Qwen3-VL sizes and their memory"
    )
    data.add_commands(commands)
    return main_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a mistake of the user's is one line on standard error and exit code 2, not a
    traceback.
    """
    arguments = parser().parse_args(argv)
    try:
        return arguments.call(arguments)
    # unknown names, malformed labels, a full disk: the message says what, where and what next
    except (ValueError, FileError) as error:
        print(f"covrr: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of a library's own reading or writing
        where = f"{paths.relative(Path(error.filename))}: " if error.filename else ""
        print(f"covrr: {where}{reason(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "covrr: stopped; what is finished is stored, and the same command goes on from there",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
