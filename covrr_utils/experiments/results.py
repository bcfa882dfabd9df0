"""`Result`: the recall of one way of retrieving, with all that must be said beside it; written to
and read from ``runs/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TypedDict

from covrr_utils import paths
from covrr_utils.experiments.places import result_name
from covrr_utils.files import read_or_set_aside, write_atomically, write_json
from covrr_utils.spreadsheet import csv_bytes

COLUMNS = ["triplet", "rank", "cause", "reference", "target", "first"]  # of a result's csv


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
    """Where scores come from: all that decides them, so that two results that say the same of this
    are the same.

    Attributes
    ----------
    benchmark, backbone : the names under which results are kept (`covrr_utils.experiments.places`)
    weights_hash, labels_hash : content of the weights, and of triplets and gallery
    descriptions_key : the folder of the store in which the descriptions lie: it stands for
        weights, prompts, processing, sampling and decoding
    files : where labels, videos and checkpoint come from, as far as they are not embedded
    strategy : the reasoning strategy, or the name of another way of scoring
    samples : how many traces were sampled; None where none were
    limit : the first so many triplets; None for all
    options : what is set otherwise than by default among all else that decides
    """

    benchmark: str
    backbone: str
    weights_hash: str
    strategy: str
    pooling: str = "-"
    scheme: str = "-"
    source: str = "-"
    seed: int = 0
    grammar: str | None = None
    prompt_style: str = "slots"
    samples: int | None = None
    limit: int | None = None
    labels_hash: str = ""
    descriptions_key: str = ""
    files: Mapping[str, object] = field(default_factory=dict)
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
    # of the second look, see `covrr_utils.experiments.reranking.Reranking.summary`
    reranking: dict | None = None
    grammar: str | None = None
    # of the traces, see `covrr_utils.reasoning.validity.validity`; None where none is written
    validity: dict | None = None
    present: int | None = None
    recall_present: dict[str, float] = field(default_factory=dict)
    protocol: str = ""
    reference_excluded: bool | None = None
    prompt_style: str = "slots"
    samples: int | None = None  # traces sampled for each triplet
    limit: int | None = None  # only the first so many triplets
    labels_hash: str = ""  # content of triplets and gallery
    descriptions_key: str = ""  # the folder of the store in which the descriptions lie
    # where labels, videos and checkpoint come from, as far as they are not embedded
    files: dict[str, object] = field(default_factory=dict)
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
        return {key: value for key, value in self.to_dict().items() if key != "queries"}

    def to_dict(self) -> dict:
        """Everything by name, not copied."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def save_result(result: Result, folder: Path) -> Path:
    """Write ``<strategy>__<pooling>__<scheme>__<source>__seed<seed>.json`` into ``folder`` and,
    beside it, one csv row per query. Whatever else decides the result is named too
    (`covrr_utils.experiments.places.result_name`).
    """
    from covrr_utils.frames import pd

    path = folder / result_name(result)
    rows = [{**row, "first": row["top"][0] if row["top"] else None} for row in result.queries]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"rank": "Int64"})
    write_atomically(path.with_name(f"{path.stem}.csv"), csv_bytes(table))
    write_json(path, result.to_dict())
    paths.announce(path)
    return path


def load_results(folder: Path | None = None) -> list[dict]:
    """The summaries of every stored result below ``folder`` (default: ``runs/``), in path order;
    older ones get defaults for what came later. A damaged file is named and set aside.
    """
    summaries = []
    for path in sorted((folder or paths.runs_dir()).glob("*/*/results/*.json")):
        if (summary := read_or_set_aside(path, _summary)) is not None:
            summaries.append(summary)
    return summaries


def _summary(blob: bytes) -> dict:
    """Everything that a result's file says but its queries."""
    data = json.loads(blob)
    del data["queries"]
    later: dict[str, object] = {"source": "predicts"}
    for entry in fields(Result):
        if entry.default is not MISSING:
            later[entry.name] = entry.default
        elif entry.default_factory is not MISSING:
            later[entry.name] = entry.default_factory()
        elif entry.name not in {*data, *later}:
            raise ValueError(f"no result: it lacks {entry.name!r}")
    del later["queries"]
    return later | data
