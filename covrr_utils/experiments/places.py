"""Where results go and what their files are called, so that no run writes over another's.

A run's folder is ``runs/<benchmark>/<backbone>``. What is embedded or published has one name
everywhere; any other label file or checkpoint may share its name with another, so its folder ends
in six hex digits of where it lies (`covrr_utils.benchmarks.naming`). A file's name says everything
else that decides what is in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils import paths
from covrr_utils.backbones.embedding_registry import embedders
from covrr_utils.backbones.registry import embedded_checkpoints
from covrr_utils.backbones.sizes import find
from covrr_utils.benchmarks.galleries import CANDIDATES, protocol
from covrr_utils.benchmarks.naming import benchmark_label, distinct, list_benchmarks
from covrr_utils.experiments.config import RunConfig, default
from covrr_utils.experiments.engines import server_of
from covrr_utils.experiments.ranking_group import RANKING
from covrr_utils.files import digest

if TYPE_CHECKING:
    from covrr_utils.benchmarks.benchmark import Benchmark
    from covrr_utils.experiments.results import Method, Result

# the options that say how descriptions are compared, beside pooling, scheme and source
RETRIEVING = ("embedding", "vectors", *RANKING)

LONGEST = 180  # bytes of a file's name: file systems take 255, and writers add to it


def backbone_label(backbone: str) -> str:
    """The name of the folder of a backbone as `Backbone.load` takes it; no weights are read.

    An embedded or published model keeps its name, a model of the hub is ``owner--name``, a
    checkpoint folder its own name and six hex digits of where it lies.
    """
    checkpoint = _checkpoint(backbone)
    if checkpoint is None:
        return Path(backbone).name
    if isinstance(checkpoint, Path):
        return distinct(checkpoint.name, {"checkpoint": str(checkpoint)})
    published = find(backbone)
    return published.name if published else distinct(checkpoint.replace("/", "--"), {})


def _checkpoint(backbone: str) -> Path | str | None:
    """Where a backbone comes from: its folder, or its id on the hub; None for an embedded one."""
    embedded = embedded_checkpoints()
    folder = embedded.get(backbone, Path(backbone)).resolve()
    if folder in {path.resolve() for path in embedded.values()}:
        return None
    if folder.is_dir():
        return folder
    published = find(backbone)
    return published.hub if published else backbone


def benchmark_folder(config: RunConfig) -> Path:
    """``runs/<benchmark>``: everything that is measured on the benchmark of this configuration."""
    return paths.runs_dir() / benchmark_label(
        config.benchmark, config.videos, config.gallery, config.link_roots
    )


def run_folder(config: RunConfig) -> Path:
    """``runs/<benchmark>/<backbone>``: everything that one backbone did on one benchmark."""
    return benchmark_folder(config) / backbone_label(config.backbone)


def outside_files(config: RunConfig) -> dict[str, object]:
    """Where labels, videos, gallery list, checkpoint and texts come from, as far as they are not
    embedded, or written by this package.
    """
    files: dict[str, object] = {}
    embedded = list_benchmarks()
    labels = embedded.get(config.benchmark, Path(config.benchmark)).resolve()
    if labels not in {path.resolve() for path in embedded.values()}:
        files["labels"] = str(labels)
    if config.videos:
        files["videos"] = list(config.videos)
    if config.link_roots:
        files["link_roots"] = list(config.link_roots)
    if config.gallery and (listed := protocol(config.gallery).candidates) not in CANDIDATES:
        files["gallery"] = str(Path(listed).resolve())
    if (checkpoint := _checkpoint(config.backbone)) is not None:
        files["checkpoint"] = str(checkpoint)
    if (server := server_of(config.engine)) is not None:
        files["server"] = server
    if config.embedder is not None and config.embedder not in embedders():
        files["embedder"] = config.embedder
    if config.text_model is not None:
        files["text_model"] = config.text_model
    return files


def deciding(config: RunConfig, strategy: str) -> dict[str, object]:
    """What decides a result and has no place of its own in `Method`, by name: only what is set
    otherwise than by default, and only where it matters to this strategy.
    """
    chosen = dict(config.options())
    names = ["max_new_tokens", "layers", *RETRIEVING]
    if strategy == "self_consistency":
        names.append("synthesis")
    for name in names:
        if (value := getattr(config, name)) != default(name):
            chosen[name] = list(value) if isinstance(value, tuple) else value
    return chosen


def labels_hash(benchmark: Benchmark) -> str:
    """The content of triplets and gallery, as far as it decides a result: 16 hex digits."""
    return digest(
        {
            "triplets": [
                (t.id, t.reference, t.edit, t.target, t.gold_trace and t.gold_trace.text())
                for t in benchmark.triplets
            ],
            "gallery": benchmark.gallery,
            "exclude_reference": benchmark.exclude_reference,
            "per_section": benchmark.per_section,
        }
    )


def name_parts(method: Method | Result) -> list[str]:
    """What decides a result beside strategy and pooling, as parts of a file's name: seed, grammar,
    limit, options, and, where not all of it is embedded, six hex digits of the content: of labels,
    weights and all else that decides descriptions.
    """
    parts = [f"seed{method.seed}"]
    if method.grammar:
        parts.append(method.grammar)
    if method.limit is not None:
        parts.append(f"first{method.limit}")
    for name, value in method.options.items():
        parts.append(f"{name}-{'-'.join(map(str, value)) if isinstance(value, list) else value}")
    if method.files:
        content = {"descriptions": method.descriptions_key, "labels": method.labels_hash}
        parts.append(digest(content)[:6])
    return parts


def result_name(method: Method | Result, suffix: str = ".json") -> str:
    """The name of the file of a result, also of one that is still to be made."""
    how = method.pooling, method.scheme, method.source
    return file_name(_strategy(method), *how, *name_parts(method), suffix=suffix)


def output_name(what: str, method: Method, *more: object) -> str:
    """The name of anything else that is written of a run, such as ``score`` or ``submission``;
    ``more``: what decides it beside the method.
    """
    how = [part for part in (method.pooling, method.scheme, method.source) if part != "-"]
    return file_name(what, _strategy(method), *more, *how, *name_parts(method))


def _strategy(method: Method | Result) -> str:
    return f"{method.strategy}{method.samples or ''}"


def file_name(*parts: object, suffix: str = ".json") -> str:
    """The parts that are not None, joined by ``__``, as a file's name that leads nowhere else.

    Different parts give different names, also where letters are the same for a file system: what
    cannot stand in a name as it is, or is long, ends in eight hex digits of what it was.
    """
    name = "__".join(_plain(str(part)) for part in parts if part is not None)
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}-{digest({'name': name})[:8]}"
    return f"{name}{suffix}"


def _plain(text: str) -> str:
    """Small letters, digits and ``. - _``, at most 60 of them."""
    plain = re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).lower()
    if plain == text == "-" or (plain == text and re.fullmatch(r"\w(?!.*__).{0,59}", text)):
        return text
    return f"{plain.strip('.-_')[:40]}-{digest({'text': text})[:8]}".lstrip("-")
