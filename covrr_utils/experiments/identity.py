"""What the outputs of a notebook depend on, as one hash: a notebook is done when everything that it
read still holds what it held.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones import sizes
from covrr_utils.backbones.registry import embedded_checkpoints
from covrr_utils.benchmarks.benchmark import Benchmark, load_benchmark
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.jobs import Job
from covrr_utils.experiments.ranking_group import MODELS
from covrr_utils.experiments.workbook import code_cells, own_parameters
from covrr_utils.files import FileError, content_hash, digest, reason
from covrr_utils.video.clips import ClipError

_contents: dict[tuple[int, ...], str] = {}  # by device, number, size and times of change

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pandas", "matplotlib", "av", "decord2")


def identity(job: Job) -> str:
    """A hash of all that a notebook's outputs depend on.

    Parameters, the notebook's own code, the package and the versions of what computes; the embedded
    data; of the benchmark its labels, its gallery and the content of every video that is there (one
    that is missing counts as missing); of every backbone all files of its checkpoint folder, or for
    a model of the hub the commit that lies in the cache.
    """
    parameters_of_notebook = own_parameters([job.notebook])
    config = RunConfig.from_parameters(job.parameters, (*parameters_of_notebook, "BACKBONES"))
    backbones = job.parameters.get("BACKBONES") or [config.backbone]
    assert isinstance(backbones, Sequence)
    beside = {name: getattr(config, name) for name in MODELS.values()}
    return digest(
        {
            "parameters": dict(job.parameters),
            "cells": code_cells(job.notebook),
            "code": _folder(Path(__file__).resolve().parents[1], "__pycache__"),
            "versions": {package: _version(package) for package in PACKAGES},
            "data": _folder(paths.data_dir()),
            "benchmark": _benchmark(config),
            "backbones": {str(name): _backbone(str(name), config.revision) for name in backbones},
            "reranker": config.rerank_model and _backbone(config.rerank_model, None),
        }
        | {name: _backbone(model, None) for name, model in beside.items() if model}
    )


def _benchmark(config: RunConfig) -> object:
    """Labels, gallery and videos; what is wrong with them, where they cannot be read."""
    try:
        benchmark = load_benchmark(
            config.benchmark, config.gallery, config.videos, config.label_layout
        ).head(config.limit)
        about = {each.name: repr(getattr(benchmark, each.name)) for each in fields(benchmark)}
        return about | {"files": [_video(benchmark, video) for video in benchmark.videos()]}
    except (ValueError, FileError, OSError) as error:  # the notebook will say the same
        return str(error)


def _video(benchmark: Benchmark, video: str) -> str | None:
    """The content of a video's file; None where it is missing, else the cause."""
    try:
        return _file(str(benchmark.video_path(video)))
    except ClipError as error:
        return str(error)


def _backbone(name: str, revision: str | None) -> object:
    """All files of a checkpoint folder, or the snapshot of a hub model; None if nothing is here."""
    folder = embedded_checkpoints().get(name, Path(name))
    if folder.is_dir():
        return _folder(folder)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    published = sizes.find(name)
    try:
        config = try_to_load_from_cache(
            published.hub if published else name, "config.json", revision=revision
        )
    except HFValidationError:
        return None
    return Path(config).parent.name if isinstance(config, str) else None


def _folder(folder: Path, without: str = "") -> dict[str, str]:
    """The content of every file below a folder, but for those in folders named ``without``.

    Links to folders are not followed. This is asked for some thousand files before and after every
    notebook, so the paths stay text.
    """
    contents, above = {}, len(os.path.join(folder, ""))
    for inside, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != without]
        for name in files:
            path = os.path.join(inside, name)
            if (content := _file(path)) is not None:
                contents[path[above:]] = content
    return contents


def _file(path: str) -> str | None:
    """The hash of a file's content; None where there is none, the reason where it is not readable.

    A file is read once in a process, whatever path leads to it, until its size or a time of change
    is another.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return "no regular file"
        times = status.st_mtime_ns, status.st_ctime_ns
        key = (status.st_dev, status.st_ino, status.st_size, *times)
        if key not in _contents:
            _contents[key] = content_hash(Path(path))
        return _contents[key]
    except FileNotFoundError:
        return None
    except OSError as error:
        return reason(error)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
