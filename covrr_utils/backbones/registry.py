"""The embedded checkpoints, by name. Needs no torch: listing them is instant."""

from __future__ import annotations

from pathlib import Path

from covrr_utils import paths


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


def checkpoint_folder(name: str | Path) -> Path | None:
    """The folder of an embedded backbone or judge, or the folder itself; None where the name is
    neither.
    """
    folder = {**list_backbones(), **judge_models()}.get(str(name), Path(name))
    return folder if folder.is_dir() else None
