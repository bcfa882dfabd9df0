"""`Result`: the recall of one way of retrieving, with all that must be said beside it; written to
and read from ``runs/``.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TypedDict

from covrr_utils import paths
from covrr_utils.files import write_atomically, write_json


class Recalls(TypedDict):
    """Number and recall (0..1, by K) of some triplets, and of those of them that are present."""

    triplets: int
    recall: dict[str, float]
    present: int
    recall_present: dict[str, float]


class QueryRank(TypedDict):
    """What became of one triplet: the rank of its target, or the cause of a miss; the best gallery
    videos with their scores. ``present``: whether reference and target could be read as videos.
    """

    triplet: str
    rank: int | None
    cause: str | None
    target: str
    reference: str
    present: bool
    top: list[str]
    scores: list[float]


@dataclass(frozen=True)
class Method:
    """Where scores come from: everything that decides them beside benchmark and gallery."""

    backbone: str
    weights_hash: str
    strategy: str
    pooling: str = "-"
    scheme: str = "-"
    source: str = "-"
    seed: int = 0
    grammar: str | None = None
    prompt_style: str = "slots"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Result:
    """Recall of one strategy under one pooling, with all that must be said beside it.

    ``recall`` is over all triplets; ``recall_present`` over the ``present`` ones, those whose
    reference and target video could be read (empty if there are none). The second is easier, for
    missing gallery videos cannot get in the way: never show it alone. ``sections`` holds the same
    for every section of the labels, where there are several.
    """

    kind: str
    benchmark: str
    gallery: str
    gallery_size: int
    gallery_coverage: float
    backbone: str
    weights_hash: str
    strategy: str
    pooling: str
    scheme: str
    source: str
    seed: int
    triplets: int
    coverage: float
    recall: dict[str, float]
    interval: dict[str, tuple[float, float]]
    failures: dict[str, int]
    retried: int = 0  # queries whose trace was asked for again, under a grammar
    # "queries" and "gallery": descriptions that ended at the limit of new tokens
    cut_off: dict[str, int] = field(default_factory=dict)
    tokens_per_query: float | None = None
    seconds_per_query: float | None = None
    grammar: str | None = None
    # of the traces, see `covrr_utils.reasoning.validity.validity`; None where none is written
    validity: dict | None = None
    present: int | None = None
    recall_present: dict[str, float] = field(default_factory=dict)
    protocol: str = ""
    reference_excluded: bool | None = None
    prompt_style: str = "slots"
    options: dict[str, object] = field(default_factory=dict)
    sections: dict[str, Recalls] = field(default_factory=dict)
    queries: list[QueryRank] = field(repr=False, default_factory=list)

    @property
    def ranks(self) -> list[int | None]:
        """Rank of every triplet's target, None where it failed, in the benchmark's order."""
        return [query["rank"] for query in self.queries]

    @property
    def title(self) -> str:
        """What stands over a chart or table of this result: backbone, benchmark, and the kind of
        number.
        """
        return f"{self.backbone} on {self.benchmark} ({self.kind})"

    def summary(self) -> dict:
        """Everything but the queries."""
        return {key: value for key, value in asdict(self).items() if key != "queries"}


def file_name(*parts: object) -> str:
    """The parts that are not None, joined by ``__``: no character that leads elsewhere, and a long
    text, as a schema is, by its checksum.
    """
    texts = [
        text if len((text := str(part)).encode()) <= 60 else f"{zlib.crc32(text.encode()):08x}"
        for part in parts
        if part is not None
    ]
    return re.sub(r"[^\w.-]+", "-", "__".join(texts), flags=re.ASCII) + ".json"


def save_result(
    result: Result, folder: Path, limit: int | None = None, samples: int | None = None
) -> Path:
    """Write ``<strategy>__<pooling>__<scheme>__<source>__seed<seed>.json`` into ``folder`` and,
    beside it, one csv row per query.

    ``limit``, ``samples``, the grammar and the result's ``options`` are named where they were set.
    """
    limited = None if limit is None else f"first{limit}"
    chosen = [f"{name}-{value}" for name, value in result.options.items()]
    strategy = f"{result.strategy}{samples or ''}"
    path = folder / file_name(
        strategy,
        result.pooling,
        result.scheme,
        result.source,
        f"seed{result.seed}",
        result.grammar,
        limited,
        *chosen,
    )
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["triplet", "rank", "cause", "reference", "target", "first"])
    for row in result.queries:
        writer.writerow(
            [
                row["triplet"],
                row["rank"],
                row["cause"],
                row["reference"],
                row["target"],
                row["top"][0] if row["top"] else None,
            ]
        )
    write_atomically(path.with_suffix(".csv"), table.getvalue().encode())
    write_json(path, asdict(result))
    paths.announce(path)
    return path


def load_results(folder: Path | None = None) -> list[dict]:
    """The summaries of every stored result below ``folder`` (default: ``runs/``), in path order;
    older ones get defaults for what came later.
    """
    root = folder or paths.runs_dir()
    later = {entry.name: entry.default for entry in fields(Result) if entry.default is not MISSING}
    later |= {
        entry.name: entry.default_factory()
        for entry in fields(Result)
        if entry.default_factory is not MISSING
    }
    later.pop("queries")
    summaries = []
    for path in sorted(root.glob("*/*/results/*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        data.pop("queries")
        summaries.append(later | {"source": "predicts"} | data)
    return summaries
