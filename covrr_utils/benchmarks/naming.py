"""The name under which a benchmark's results are kept: readable, and no other benchmark's.

An embedded benchmark keeps its own name. Everything else may share its name with another: label
files are called ``test.csv`` everywhere, and any file may be called ``mini.json``. Their names end
in six hex digits that stand for where the labels, the videos and the gallery's list lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.galleries import CANDIDATES, protocol
from covrr_utils.files import digest

DESCRIPTOR = ".benchmark.json"

LONGEST = 100  # bytes of the readable part: file systems take 255 for a name


def list_benchmarks() -> dict[str, Path]:
    """Name -> descriptor of every benchmark below ``data/``."""
    return dict(
        sorted(
            (path.name.removesuffix(DESCRIPTOR), path)
            for path in paths.data_dir().glob(f"*/*{DESCRIPTOR}")
        )
    )


def benchmark_label(
    benchmark: str | Path,
    videos: str | Sequence[str] = (),
    gallery: str | None = None,
    link_roots: str | Path | Sequence[str | Path] = (),
) -> str:
    """The name of the folder below ``runs/`` for a benchmark as `load_benchmark` takes it; no label
    is read.

    >>> benchmark_label("mini"), benchmark_label("mini", gallery="targets")
    ('mini', 'mini@targets')

    Raises
    ------
    UnknownProtocol
        If the gallery cannot be understood.
    """
    known = {path.resolve(): name for name, path in list_benchmarks().items()}
    path = list_benchmarks().get(str(benchmark), Path(benchmark)).resolve()
    chosen = protocol(gallery) if gallery else None
    apart: dict[str, object] = {} if path in known else {"labels": str(path)}
    if videos:
        roots = (videos,) if isinstance(videos, str) else videos
        apart["videos"] = sorted(_resolved(root) for root in roots)
    if link_roots:  # they decide which videos there are
        folders = (link_roots,) if isinstance(link_roots, str | Path) else link_roots
        apart["link_roots"] = sorted(str(Path(folder).resolve()) for folder in folders)
    if chosen and chosen.candidates not in CANDIDATES:
        apart["gallery"] = str(Path(chosen.candidates).resolve())
    bare = path.name.removesuffix(DESCRIPTOR)
    name = known.get(path) or (bare if bare != path.name else path.stem)
    return distinct(f"{name}@{chosen.slug()}" if chosen else name, apart)


def distinct(name: str, apart: Mapping[str, object]) -> str:
    """``name``, with six hex digits of what tells it ``apart`` from others, where there is such; a
    long name is cut.
    """
    short = name.encode()[:LONGEST].decode(errors="ignore")
    if short != name:
        apart = {**apart, "name": name}
    return f"{short}-{digest(apart)[:6]}" if apart else name


def _resolved(root: str) -> str:
    """A video root, ``DIR`` or ``SECTION=DIR``, with its folder resolved."""
    section, equals, folder = root.partition("=")
    if equals and not Path(root).exists():
        return f"{section}={Path(folder).resolve()}"
    return str(Path(root).resolve())
