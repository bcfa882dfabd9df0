"""A descriptor ``<name>.benchmark.json``: what a benchmark is called, and where labels, gallery and
videos lie, relative to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.labels import read_json
from covrr_utils.benchmarks.triplets import LabelError


@dataclass(frozen=True)
class Descriptor:
    """What a descriptor says; ``kind`` is "mini" or "real"."""

    name: str
    kind: str
    labels: str
    gallery: str
    gallery_name: str
    videos: str
    extension: str
    exclude_reference: bool
    description: str


KEYS = tuple(field.name for field in fields(Descriptor))


def undescribed(path: Path) -> Descriptor:
    """What holds for a bare label file."""
    return Descriptor(path.stem, "real", path.name, "all", "", "videos", ".mp4", True, "")


def read_descriptor(path: Path) -> Descriptor:
    """Read and check a descriptor.

    Raises
    ------
    LabelError
        If it is not an object with exactly the keys and kinds of values that are expected.
    """
    where, descriptor = paths.relative(path), read_json(path)
    if not isinstance(descriptor, dict) or set(descriptor) != set(KEYS):
        kind = type(descriptor).__name__
        shown = sorted(descriptor) if isinstance(descriptor, dict) else kind
        raise LabelError(
            f"{where}: expected an object with exactly the keys {', '.join(KEYS)}; found {shown}"
        )
    if descriptor["kind"] not in ("mini", "real"):
        raise LabelError(
            f"{where}: key 'kind': expected 'mini' or 'real', found {descriptor['kind']!r}"
        )
    if not isinstance(descriptor["exclude_reference"], bool):
        raise LabelError(
            f"{where}: key 'exclude_reference': expected true or false, found"
            f" {descriptor['exclude_reference']!r}"
        )
    for key in set(KEYS) - {"kind", "exclude_reference"}:
        if not isinstance(descriptor[key], str):
            raise LabelError(f"{where}: key {key!r}: expected a text, found {descriptor[key]!r}")
    if not re.fullmatch(r"\w[\w.@+-]{0,99}", descriptor["name"]):  # it names folders below runs/
        raise LabelError(
            f"{where}: key 'name': expected up to 100 letters, digits and . _ @ + -, with a letter"
            f" or digit first, found {descriptor['name']!r}"
        )
    if not re.fullmatch(r"\.\w{1,10}", descriptor["extension"]):  # it ends names of files
        raise LabelError(
            f"{where}: key 'extension': expected one such as '.mp4', found"
            f" {descriptor['extension']!r}"
        )
    return Descriptor(**descriptor)
