"""A benchmark: triplets, the gallery they are ranked against, and where the videos lie.

It is a descriptor ``<name>.benchmark.json`` beside its labels, or a bare label file with a gallery
protocol and the folders of its videos. The gallery is part of the benchmark (no two published peers
agree on it otherwise), and the id of a video is its path inside the dataset, without extension
(basenames of different folders collide).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.descriptors import Descriptor, read_descriptor, undescribed
from covrr_utils.benchmarks.galleries import CANDIDATES, CONVENTIONS, Protocol, gallery_of, protocol
from covrr_utils.benchmarks.labels import read_labels
from covrr_utils.benchmarks.naming import DESCRIPTOR, benchmark_label, list_benchmarks
from covrr_utils.benchmarks.triplets import LabelError, Triplet
from covrr_utils.benchmarks.videofiles import VideoFiles, parse_link_roots, parse_roots


class UnknownBenchmark(ValueError):
    """A benchmark name or path that leads nowhere."""


@dataclass(frozen=True)
class Benchmark:
    """Triplets with the gallery they are ranked against."""

    name: str
    kind: str  # "mini" or "real": the two kinds of measured number
    triplets: tuple[Triplet, ...]
    gallery: tuple[str, ...]
    gallery_name: str
    videos_root: Path
    extension: str
    exclude_reference: bool
    description: str = ""
    per_section: bool = False
    roots: Mapping[str, Path] = field(default_factory=dict)
    protocol: str = ""
    # the named sections of the labels; with several, every id begins with its section
    sections: tuple[str, ...] = ()
    link_roots: tuple[Path, ...] = ()  # into which links among the videos may lead
    label: str = ""  # the name under which results are kept, see `covrr_utils.benchmarks.naming`

    @cached_property
    def files(self) -> VideoFiles:
        """Where the files of the videos lie."""
        return VideoFiles(
            self.videos(),
            self.sections,
            self.videos_root,
            self.roots,
            self.extension,
            self.link_roots,
        )

    @property
    def has_targets(self) -> bool:
        """Whether triplets can be scored; a challenge file leaves the targets out."""
        return self.triplets[0].target is not None

    def require_targets(self) -> None:
        """Refuse what needs targets before anything is computed.

        Raises
        ------
        ValueError
            If this is a challenge set.
        """
        if not self.has_targets:
            raise ValueError(
                f"{self.name} has no targets, so there is no recall; `covrr submit` writes what a"
                " challenge takes"
            )

    @property
    def has_gold_traces(self) -> bool:
        """Whether any triplet has a gold trace."""
        return any(triplet.gold_trace is not None for triplet in self.triplets)

    def require_gold_traces(self) -> None:
        """Refuse what compares with gold traces before anything is computed.

        Raises
        ------
        ValueError
            If no triplet has one.
        """
        if not self.has_gold_traces:
            raise ValueError(
                f"{self.name} has no gold traces, so nothing says which trace is right; give its"
                " json rows a key 'gold_trace' (data/mini/README.md). Recall needs none (notebooks"
                " 04 to 08), nor do the judges of `covrr score --judge backbone` and `endpoint`"
            )

    def video_path(self, video: str) -> Path:
        """Where the file of video id ``video`` lies (it need not exist)."""
        return self.files.path(video)

    def videos(self) -> list[str]:
        """All distinct video ids: the gallery, then the references that are not in it."""
        return list(
            dict.fromkeys([*self.gallery, *(triplet.reference for triplet in self.triplets)])
        )

    def section_of(self, video: str) -> str:
        """The section that a video belongs to: the first part of its id where there are several,
        else the only one.
        """
        return video.partition("/")[0] if len(self.sections) > 1 else "".join(self.sections)

    def outside(self, videos: Sequence[str]) -> dict[str, set[int]]:
        """For each section, the places in ``videos`` that take no part in rankings of that section;
        empty without ``per_section``.
        """
        if not self.per_section:
            return {section: set() for section in self.sections or ("",)}
        homes = [self.section_of(video) for video in videos]
        return {
            section: {place for place, home in enumerate(homes) if home != section}
            for section in self.sections or ("",)
        }

    def left_out(
        self, triplet: Triplet, index: Mapping[str, int], outside: Mapping[str, set[int]]
    ) -> set[int]:
        """The places that take no part in the ranking of a triplet: the reference, if left out, and
        what is ``outside`` its section.

        ``index`` gives the place of every video, ``outside`` is that of `Benchmark.outside`.
        """
        reference = (
            {index[triplet.reference]}
            if self.exclude_reference and triplet.reference in index
            else set()
        )
        return reference | outside.get(triplet.section, set())

    def head(self, count: int | None) -> Benchmark:
        """The first ``count`` triplets against the same gallery (None: all of them)."""
        return self if count is None else replace(self, triplets=self.triplets[:count])


def load_benchmark(
    name: str | Path,
    gallery: str | None = None,
    videos: str | Sequence[str] = (),
    layout: str | None = None,
    link_roots: str | Path | Sequence[str | Path] = (),
) -> Benchmark:
    """Read a benchmark by name (see `benchmarks`), by the path of its descriptor, or from a bare
    label file.

    Parameters
    ----------
    gallery : a protocol or a convention's name (`covrr_utils.benchmarks.galleries.protocol`);
        default: the descriptor's, and for a bare label file ``all``, or ``per_section:folder``
        where it has no targets and folders are given
    videos : ``DIR``, or ``SECTION=DIR`` for each section; default: the descriptor's, for a bare
        label file the folder ``videos`` beside it
    layout : the label layout, where it is not to be told by the content
        (`covrr_utils.benchmarks.labels.LAYOUTS`)
    link_roots : folders into which links among the videos may lead, as those of a hub's cache and
        of most clusters do; other links that lead out of the video folder are refused

    Raises
    ------
    UnknownBenchmark
        If there is no such benchmark.
    UnknownProtocol
        If the gallery cannot be understood.
    LabelError
        If descriptor, labels, gallery or folders are malformed.
    """
    known = list_benchmarks()
    path = known.get(str(name), Path(name))
    if not path.is_file():
        raise UnknownBenchmark(
            f"unknown benchmark {str(name)!r}; embedded: {', '.join(known) or 'none'}; the path of"
            " a <name>.benchmark.json or of a label file (csv or json) works as well"
        )
    bare = not path.name.endswith(DESCRIPTOR)
    about = undescribed(path) if bare else read_descriptor(path)
    labels = path.parent / about.labels
    triplets = tuple(read_labels(labels, layout))
    sections = tuple(dict.fromkeys(triplet.section for triplet in triplets if triplet.section))
    root, roots = parse_roots(videos, sections)
    linked = parse_link_roots(link_roots)
    folder = root or path.parent / about.videos
    default = "per_section:folder" if videos and triplets[0].target is None else "all"
    chosen = _own_protocol(path, about) if not (gallery or bare) else protocol(gallery or default)
    files = VideoFiles(
        (id_ for t in triplets for id_ in (t.reference, t.target) if id_),
        sections,
        folder,
        roots,
        about.extension,
        linked,
    )
    collected = gallery_of(chosen, triplets, sections, files.listed, paths.relative(labels))
    _check_targets(triplets, collected, chosen, paths.relative(labels), paths.relative(path))
    # results of another gallery must not replace those of the benchmark's own
    other = gallery and not (bare and str(chosen) == default)
    return Benchmark(
        f"{about.name}@{chosen.slug()}" if other else about.name,
        about.kind,
        triplets,
        collected,
        chosen.in_words() if gallery or bare else about.gallery_name,
        folder,
        about.extension,
        chosen.exclude_reference,
        about.description,
        chosen.per_section,
        roots,
        f"{gallery} = {chosen}" if gallery in CONVENTIONS else str(chosen),
        sections,
        linked,
        benchmark_label(name, videos, gallery, link_roots),
    )


def _own_protocol(path: Path, about: Descriptor) -> Protocol:
    """The gallery of a descriptor: a list file beside it, or a protocol."""
    if (candidates := about.gallery.removeprefix("per_section:")) in (*CANDIDATES, "per_section"):
        return replace(protocol(about.gallery), exclude_reference=about.exclude_reference)
    return Protocol(
        str(path.parent / candidates), about.gallery != candidates, about.exclude_reference
    )


def _check_targets(
    triplets: Sequence[Triplet], gallery: Sequence[str], chosen: Protocol, labels: str, where: str
) -> None:
    """Every target must be in the gallery, and must not be a reference that is left out."""
    inside = set(gallery)
    for triplet in triplets:
        if triplet.target is not None and triplet.target not in inside:
            raise LabelError(
                f"{labels}: target {triplet.target!r} of triplet {triplet.id} is not in the gallery"
                f" {paths.relative(Path(chosen.candidates))}; add it there or name another gallery"
                f" in {where}"
            )
        if chosen.exclude_reference and triplet.target == triplet.reference:
            raise LabelError(
                f"{labels}: triplet {triplet.id} has {triplet.target!r} as reference and as target,"
                f" but {where} leaves the reference out of the ranking; correct the row, set"
                " 'exclude_reference' to false, or add +reference to the gallery protocol"
            )
