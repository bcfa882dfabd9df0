"""The embedded checkpoints, by name. Needs no torch: listing them is instant."""

from __future__ import annotations

import json
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones.embedding_registry import embedders

# the entry of config.json that says what a small checkpoint was taught, and no more
KNOWS = "knows"


class UnknownBackbone(ValueError):
    """A backbone that cannot be had: its name is unknown, or its checkpoint is not whole."""


def list_backbones() -> dict[str, Path]:
    """Name -> folder of the embedded backbones, from small to large."""

    def size(folder: Path) -> tuple[int, str]:
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")), folder.name

    folders = (path.parent for path in paths.backbones_dir().glob("*/config.json"))
    return {folder.name: folder for folder in sorted(folders, key=size)}


def judge_models() -> dict[str, Path]:
    """Name -> folder of the embedded judges. They load like backbones; they have forgotten how to
    write traces and descriptions.
    """
    folders = (path.parent for path in paths.judges_dir().glob("*/config.json"))
    return {folder.name: folder for folder in sorted(folders)}


def reranker_models() -> dict[str, Path]:
    """Name -> folder of the embedded rerankers. They load like backbones; they have forgotten how
    to write.
    """
    folders = (path.parent for path in paths.rerankers_dir().glob("*/config.json"))
    return {folder.name: folder for folder in sorted(folders)}


def embedded_checkpoints() -> dict[str, Path]:
    """Name -> folder of everything embedded that loads like a backbone."""
    return {**list_backbones(), **judge_models(), **embedders(), **reranker_models()}


def checkpoint_folder(name: str | Path) -> Path | None:
    """The folder of an embedded checkpoint, or the folder itself; None where the name is none."""
    folder = embedded_checkpoints().get(str(name), Path(name))
    return folder if folder.is_dir() else None


def notice(name: str | Path, kind: str) -> str | None:
    """What has to be said before any number of this checkpoint on a benchmark of this kind
    (``mini`` or ``real``): that it knows its own small world only. None where nothing has to be
    said.
    """
    folder = checkpoint_folder(name)
    if folder is None or kind == "mini":
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        knows = config.get(KNOWS)
    except (OSError, ValueError, AttributeError):
        return None  # loading refuses such a folder and says why
    if not knows:
        return None
    return (
        f"{folder.name} knows {knows} and nothing else. These videos are others, so what it writes"
        " about them means nothing, and neither does any number made of it; for real videos give a"
        " published backbone, such as qwen3-vl-2b, which a CPU can run too"
    )
