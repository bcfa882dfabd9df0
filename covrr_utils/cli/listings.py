"""The commands that list what is there: ``covrr results``, ``covrr backbones``, ``covrr
benchmarks``. They load no model and no torch.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from covrr_utils import paths
from covrr_utils.cli.options import Command, Request
from covrr_utils.cli.printing import results_table, say, say_json, terminal_width, text_table
from covrr_utils.experiments.options import Options


class Listing(Options):
    """How a list is printed."""

    as_json: bool = Field(False, alias="json", description="for machines: a list of objects")


class Backbones(Listing):
    """Which backbones are listed."""

    published: bool = Field(False, description="the published Qwen3-VL sizes and their memory")


def results(own: Listing, request: Request | None) -> int:
    """List every stored result, with its denominators."""
    from covrr_utils.experiments.results import load_results

    stored = load_results()
    if own.as_json:
        say_json(stored)
    elif stored:
        say(results_table(stored, terminal_width()))
    else:
        say(f"no results below {paths.relative(paths.runs_dir())} yet; `covrr run` makes the first")
    return 0


def backbones(own: Backbones, request: Request | None) -> int:
    """List the embedded backbones, or the published sizes."""
    from covrr_utils.backbones import sizes
    from covrr_utils.backbones.registry import list_backbones

    rows: list[dict[str, object]]
    if own.published:
        rows = [
            {
                "name": model.name,
                "class": model.architecture,
                "weights": f"{model.bf16 / 1e9:.1f} GB in bf16",
                "parameters": f"{model.parameters:,}",
                "hub": model.hub,
                "revision": model.revision,
            }
            for model in sizes.published_sizes().values()
        ]
    else:
        rows = [
            {
                "name": name,
                "class": json.loads((folder / "config.json").read_text(encoding="utf-8"))[
                    "architectures"
                ][0],
                "weights": f"{_weights(folder) / 1e6:.1f} MB",
                "folder": paths.relative(folder),
            }
            for name, folder in list_backbones().items()
        ]
    _print(own, rows)
    if own.published and not own.as_json:
        say(sizes.NOT_PUBLISHED)
    return 0


def benchmarks(own: Listing, request: Request | None) -> int:
    """List the embedded benchmarks."""
    from covrr_utils.benchmarks.benchmark import list_benchmarks, load_benchmark

    rows = [
        {
            "name": name,
            "kind": benchmark.kind,
            "triplets": len(benchmark.triplets),
            "gallery": len(benchmark.gallery),
            "gallery name": benchmark.gallery_name,
            "reference excluded": benchmark.exclude_reference,
        }
        for name in list_benchmarks()
        for benchmark in [load_benchmark(name)]
    ]
    _print(own, rows)
    return 0


def _weights(folder: Path) -> int:
    """Bytes of the weights in a checkpoint folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _print(own: Listing, rows: list[dict[str, object]]) -> None:
    """Rows for machines, or as a table for people."""
    if own.as_json:
        say_json(rows)
    elif rows:
        say(text_table(rows, list(rows[0]), terminal_width()))
    else:
        say(f"none below {paths.relative(paths.data_dir())}")


COMMANDS = {
    "results": Command(results, Listing, takes=()),
    "backbones": Command(backbones, Backbones, takes=()),
    "benchmarks": Command(benchmarks, Listing, takes=()),
}
