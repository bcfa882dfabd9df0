"""Collections whose keys are alike but for some entries: what one holds may serve another."""

from __future__ import annotations

from collections.abc import Container, Mapping

from covrr_utils import files
from covrr_utils.store.collection import Collection, Store
from covrr_utils.store.repair import KEY, read_key


def relatives(
    store: Store, kind: str, key: Mapping[str, object], differing: Container[str]
) -> list[Collection]:
    """The other collections of ``kind`` whose keys are ``key`` but for the entries ``differing``.

    One that cannot be read is named on standard error and left out.
    """
    alike = _rest(key, differing)
    collections = []
    for path in sorted((store.root / kind).glob(f"*/{KEY}")):
        try:
            other = read_key(path)
            if other is None or path.parent.name == files.digest(key):
                continue
            if _rest(other, differing) == alike:
                collections.append(Collection(path.parent, other))
        except files.FileError as error:
            files.say(str(error))
    return collections


def _rest(key: Mapping[str, object], differing: Container[str]) -> str:
    return files.digest({name: value for name, value in key.items() if name not in differing})
