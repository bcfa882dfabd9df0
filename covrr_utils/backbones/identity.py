"""What a checkpoint is, so that nothing stored under one is ever taken for another's: its weights,
every small file beside them, and the libraries that compute with them.

Stores from before this module knew weights, template and video sizes only. They stay readable: the
files of the embedded checkpoints and the versions of that time add nothing to a key. Anything else
does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from covrr_utils.files import content_hash, digest

SMALL_FILES = ("*.json", "*.jinja", "merges.txt")

# the libraries whose numbers a description holds, in the versions that first filled stores
VERSIONS = {"torch": "2.15", "transformers": "5.23"}

# the small files of the embedded checkpoints, as shipped first and since config.json has ``knows``
EMBEDDED: frozenset[str] = frozenset(
    {
        "165dda27a49a8479",  # mini-1m
        "83a763ada80fa140",  # mini-3m
        "f7a692c135e7775c",  # mini-10m
        "4a772c766d0a27d1",  # mini-judge
        "cc6e1360a95756ac",
        "7959556f2bd69e2b",
        "0162f1d3fd0eda83",
        "40efabac35be8c11",
    }
)


@dataclass(frozen=True)
class Identity:
    """All of a backbone that decides what it writes: what store keys and results say of it.

    Attributes
    ----------
    name : as results show it
    weights_hash : 16 hex digits that stand for the weights
    dtype : of the weights, as torch writes it: ``torch.float32``
    processing : canonical JSON of everything beside the weights that shapes a description
    sampling : how frames are taken from a video (`covrr_utils.video.clips.Sampling.to_dict`)
    max_new_tokens : the checkpoint's limit of a generated text
    server : of a server that writes its texts, what decides them; empty where none does
    """

    name: str
    weights_hash: str
    dtype: str
    processing: str
    sampling: dict[str, object]
    max_new_tokens: int
    server: dict[str, object] = field(default_factory=dict)


def weights_hash(weights: Path | str, name: str) -> str:
    """16 hex digits of the SHA-256 over the safetensors files, in name order (hub models: over the
    id and the commit).
    """
    if isinstance(weights, str):
        return hashlib.sha256(f"{name}@{weights}".encode()).hexdigest()[:16]
    total = hashlib.sha256()
    for file in sorted(weights.glob("*.safetensors")):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 24):
                total.update(block)
    return total.hexdigest()[:16]


def files_hash(folder: Path) -> str:
    """16 hex digits over the names and contents of a checkpoint's small files: configuration,
    tokenizer, template, processor, end tokens.
    """
    files = {file for pattern in SMALL_FILES for file in folder.glob(pattern)}
    return digest({file.name: content_hash(file) for file in sorted(files)})


def differences(weights: Path | str) -> dict[str, object]:
    """What a store key holds beside the weights: ``files`` where a folder's small files are not
    those of an embedded checkpoint, ``versions`` where a library is not of `VERSIONS`; empty where
    neither differs. A model of the hub is pinned by its commit.
    """
    parts: dict[str, object] = {}
    if isinstance(weights, Path) and (files := files_hash(weights)) not in EMBEDDED:
        parts["files"] = files
    here = {name: ".".join(version(name).split(".")[:2]) for name in VERSIONS}
    if changed := {name: here[name] for name in VERSIONS if here[name] != VERSIONS[name]}:
        parts["versions"] = changed
    return parts
