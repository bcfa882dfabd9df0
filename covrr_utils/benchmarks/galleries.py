"""What a query is ranked against: the gallery protocols, and the conventions of published work by
name.

A protocol is written ``[per_section:]source[+reference]``. The source is ``all`` videos that the
labels name, their ``targets``, every video file in the ``folder``, or a list file. ``per_section``
ranks a triplet within its own section only. ``+reference`` lets the reference take part in its own
ranking; without it, it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from covrr_utils import paths
from covrr_utils.benchmarks.filenames import written_one_way
from covrr_utils.benchmarks.labels import read_json, read_text
from covrr_utils.benchmarks.triplets import LabelError, Triplet, first_repeated, video_id

ALL, TARGETS, FOLDER = CANDIDATES = ("all", "targets", "folder")

PER_SECTION, REFERENCE = "per_section", "+reference"

IN_WORDS = {
    ALL: "all videos of the labels",
    TARGETS: "targets of the labels",
    FOLDER: "every video file in the folder, and all targets",
}


class UnknownProtocol(ValueError):
    """A gallery protocol that cannot be read."""


@dataclass(frozen=True)
class Protocol:
    """Where the gallery comes from (one of `CANDIDATES` or the path of a list), and who takes part
    in a ranking.
    """

    candidates: str = ALL
    per_section: bool = False
    exclude_reference: bool = True

    def __str__(self) -> str:
        """As it is written on the command line."""
        name = (
            self.candidates
            if self.candidates in CANDIDATES
            else f"list-{Path(self.candidates).stem}"
        )
        section = f"{PER_SECTION}:" if self.per_section else ""
        reference = "" if self.exclude_reference else REFERENCE
        return f"{section}{name}{reference}"

    def in_words(self) -> str:
        """In words, for results."""
        candidates = IN_WORDS.get(self.candidates) or f"the list {Path(self.candidates).name}"
        return f"{candidates}{', each section by itself' if self.per_section else ''}"

    def slug(self) -> str:
        """As part of a folder's name."""
        return re.sub(r"[^\w.+-]+", "-", str(self))


@dataclass(frozen=True)
class Convention:
    """How a published evaluation chooses its gallery, and where that can be read."""

    protocol: str
    says: str
    where: str


CONVENTIONS = {
    "webvid-covr": Convention(
        "targets",
        "the target of every row is a candidate, the reference is masked out",
        "public evaluation code of CoVR (Ventura et al., AAAI 2024): src/test, class"
        " TestWebVidCoVR, remove_self_similarity=True",
    ),
    "covr-r": Convention(
        "folder",
        "every video that was embedded, that is, every file in the video folder, is a candidate;"
        " the reference is masked out",
        "public code of CoVR-R (mbzuai-oryx/CoVR-R): evaluate.py, generate_embeddings.py",
    ),
    "challenge": Convention(
        "per_section:folder",
        "each section is ranked against its own videos, never the source; the score is the mean of"
        " the sections",
        "format of the CoVR-R challenge's submissions; the mean of the sections is derived from"
        " published scores",
    ),
}


def protocol(text: str) -> Protocol:
    """Read a protocol, or the name of one of the `CONVENTIONS`.

    >>> protocol("per_section:targets+reference")
    Protocol(candidates='targets', per_section=True, exclude_reference=False)

    Raises
    ------
    UnknownProtocol
        If it is neither, nor the path of a list.
    """
    written = CONVENTIONS[text].protocol if text in CONVENTIONS else text
    rest = written.removesuffix(REFERENCE)
    per_section = rest == PER_SECTION or rest.startswith(f"{PER_SECTION}:")
    source = (rest.removeprefix(PER_SECTION).removeprefix(":") or ALL) if per_section else rest
    if source not in CANDIDATES and not Path(source).is_file():
        raise UnknownProtocol(
            f"unknown gallery {text!r}: expected [per_section:]SOURCE[+reference] with SOURCE one"
            f" of {', '.join(CANDIDATES)} or the path of a list of video ids (json, or one a line),"
            f" or a published convention: {', '.join(CONVENTIONS)}"
        )
    return Protocol(source, per_section, not written.endswith(REFERENCE))


def gallery_of(
    chosen: Protocol,
    triplets: Sequence[Triplet],
    sections: Sequence[str],
    listed: Callable[[], list[str]],
    where: str,
) -> tuple[str, ...]:
    """The video ids of the gallery, each once; ``listed`` gives the ids of the files in the folder.

    A target whose file is missing from the folder belongs to the gallery all the same: its triplet
    counts, as a miss.

    Raises
    ------
    LabelError If there are no targets though they are asked for, or the list is malformed;
        ``where`` names the label file.
    """
    if chosen.candidates == TARGETS and any(triplet.target is None for triplet in triplets):
        raise LabelError(
            f"{where}: these labels have no targets, so they cannot be the gallery; choose all,"
            " folder or a list"
        )
    targets = [triplet.target for triplet in triplets if triplet.target is not None]
    named = [*targets, *(triplet.reference for triplet in triplets)]
    if chosen.candidates == TARGETS:
        return tuple(dict.fromkeys(targets))
    if chosen.candidates == ALL:
        return tuple(dict.fromkeys(named))
    if chosen.candidates == FOLDER:
        return tuple(dict.fromkeys([*listed(), *targets]))
    spellings = {written_one_way(video): video for video in named}
    listed_ids = read_gallery(Path(chosen.candidates), sections)
    return tuple(spellings.get(written_one_way(video), video) for video in listed_ids)


def read_gallery(path: Path, sections: Sequence[str] = ()) -> tuple[str, ...]:
    """A list of video ids: a json list, a json object of lists by section, or a text with one id a
    line.

    Raises
    ------
    LabelError If it is empty or malformed, an id occurs twice, or it names a section that the
        labels do not have.
    """
    where = paths.relative(path)
    if not path.is_file():
        raise LabelError(f"{where}: no such file, though its benchmark names it as gallery")
    if path.suffix == ".json":
        data = read_json(path)
        if (
            isinstance(data, dict)
            and data
            and all(isinstance(videos, list) for videos in data.values())
        ):
            data = [
                f"{section}/{video_id(video, f'{where}, section {section!r}')}"
                for section, videos in data.items()
                for video in videos
            ]
    else:
        data = [line for line in read_text(path).splitlines() if line.strip()]
    if not isinstance(data, list) or not data:
        raise LabelError(
            f"{where}: expected a non-empty list of video ids, found {type(data).__name__}"
        )
    gallery = tuple(
        video_id(value, f"{where}, entry {number}") for number, value in enumerate(data)
    )
    if (twice := first_repeated(gallery)) is not None:
        raise LabelError(
            f"{where}: video {twice!r} occurs more than once; a gallery lists each video once"
        )
    if len(sections) > 1:
        for video in gallery:
            if video.partition("/")[0] not in sections:
                raise LabelError(
                    f"{where}: video {video!r}: with several sections an id begins with one of"
                    f" them: {', '.join(sections)}"
                )
    return gallery
