"""The embedders that are known by name: the embedded ones, and the published Qwen3-VL-Embedding.
Needs no torch.

The facts of the published ones are data (``data/qwen3_vl_embedding.json``): sizes, the instruction,
and the budgets within which they were trained to see a video and read a text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from covrr_utils import paths


@dataclass(frozen=True)
class Budget:
    """How much of an input an embedder takes.

    Attributes
    ----------
    fps, max_frames : frames a second, and at most
    frame_pixels, video_pixels : height x width of a frame, and frames x height x width, at most;
        larger frames are scaled down
    tokens : of the whole prompt; the text is cut where it would be longer
    """

    fps: float
    max_frames: int
    frame_pixels: int
    video_pixels: int
    tokens: int


@dataclass(frozen=True)
class PublishedEmbedder:
    """One published size."""

    name: str
    parameters: int
    width: int
    layers: int

    @property
    def hub(self) -> str:
        """The hub id."""
        return f"Qwen/{self.name}"


@cache
def _data() -> dict:
    return json.loads((paths.data_dir() / "qwen3_vl_embedding.json").read_text(encoding="utf-8"))


def published_embedders() -> dict[str, PublishedEmbedder]:
    """Name (as ``Qwen3-VL-Embedding-2B``) -> facts, smallest first."""
    return {name: PublishedEmbedder(name, **about) for name, about in _data()["sizes"].items()}


def published_budget() -> Budget:
    """The budget of the published embedders."""
    return Budget(**_data()["budget"])


def published_instruction() -> str:
    """What the system says of every input unless another instruction is given."""
    return _data()["instruction"]


def embedders() -> dict[str, Path]:
    """Name -> folder of the embedded embedders."""
    folders = (path.parent for path in paths.embedders_dir().glob("*/config.json"))
    return {folder.name: folder for folder in sorted(folders)}


def find_embedder(name: str) -> PublishedEmbedder | None:
    """The published embedder that a hub id or a name (``qwen3-vl-embedding-2b``) means; None if it
    is none of them.
    """
    by_name = {known.lower(): model for known, model in published_embedders().items()}
    return by_name.get(name.lower().removeprefix("qwen/"))


def source_of(name: str) -> str:
    """Where an embedder is loaded from: its folder, or its id on the hub.

    Raises
    ------
    ValueError
        If it is none of those known by name, no folder, and no hub id.
    """
    if (folder := embedders().get(name)) is not None:
        return str(folder)
    if Path(name).is_dir():
        return name
    if published := find_embedder(name):
        return published.hub
    if "/" not in name:
        known = ", ".join([*embedders(), *published_embedders()])
        raise ValueError(
            f"unknown embedder {name!r}; known: {known}. Or give the folder of a downloaded"
            " checkpoint, or a hub id of the form owner/name"
        )
    return name
