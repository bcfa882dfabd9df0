"""Paths as people write them in options, made absolute where they name something that is there: a
kernel that runs in another folder reads the same files.
"""

from __future__ import annotations

from pathlib import Path

from covrr_utils.backbones.registry import embedded_checkpoints


def from_here(text: str) -> str:
    """``text`` as an absolute path where it names something that exists from the current folder;
    else as it is, for it may be a name, or somebody may still be told that there is no such file.

    The last part stays as written, also where it is a link: it names folders of results.
    """
    path = Path(text).expanduser()
    if not path.exists():
        return text
    if path.name in ("", ".."):
        return str(path.resolve())
    return str(path.parent.resolve() / path.name)


def checkpoint_from_here(name: str) -> str:
    """The name of an embedded checkpoint as it is; anything else as `from_here`."""
    return name if name in embedded_checkpoints() else from_here(name)
