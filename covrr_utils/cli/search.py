"""The commands for videos of your own: ``covrr index FOLDER`` and ``covrr search FOLDER``."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from covrr_utils import paths
from covrr_utils.cli.ending import Code
from covrr_utils.cli.options import Command, Request
from covrr_utils.cli.printing import say, say_json, terminal_width, text_table
from covrr_utils.experiments.options import OneOf, Options, Text, Whole
from covrr_utils.experiments.ranking_group import RANKING
from covrr_utils.reasoning.strategies import STRATEGIES

if TYPE_CHECKING:
    from covrr_utils.experiments.folders import VideoFolder
    from covrr_utils.experiments.index import Indexed
    from covrr_utils.experiments.questions import Answer, Question

BY = ("alone", "context", "words")

LEAVES = (
    *("benchmark", "videos", "gallery", "label_layout", "limit", "strategies"),
    *("embedding", *RANKING),
)

SEARCHING = tuple(name for name in LEAVES if not name.startswith("rerank"))

EXCERPT = 60  # characters of a description that the table shows


class FolderOptions(Options):
    """Which folder, and how the answer is printed."""

    folder: Annotated[str, BeforeValidator(Text(stands_for="FOLDER"))] = Field(
        "", description="folder of your videos: any containers, nested or not"
    )
    as_json: bool = Field(False, alias="json", description="for machines: one object")


class IndexOptions(FolderOptions):
    """What is indexed."""


class SearchOptions(FolderOptions):
    """What is looked for, and how much of the answer is shown."""

    reference: Annotated[Path | None, BeforeValidator(Text(optional=True, stands_for="VIDEO"))] = (
        Field(None, description="the video that is edited, inside the folder or outside")
    )
    edit: Annotated[str | None, BeforeValidator(Text(optional=True, stands_for="TEXT"))] = Field(
        None, description="what changes, in words"
    )
    text: Annotated[str | None, BeforeValidator(Text(optional=True, stands_for="TEXT"))] = Field(
        None, description="instead of reference and edit: a description of what is looked for"
    )
    strategy: Annotated[str, BeforeValidator(OneOf(names=tuple(STRATEGIES)))] = Field(
        "two_stage", description="how the description after the edit is reasoned out"
    )
    trace: Annotated[Path | None, BeforeValidator(Text(optional=True, stands_for="FILE"))] = Field(
        None, description="a trace of your own, in place of the strategy's"
    )
    by: Annotated[str, BeforeValidator(OneOf(names=BY))] = Field(
        "alone",
        description="the score that ranks: descriptions read alone, token states in their context,"
        " or words",
    )
    count: Annotated[int, BeforeValidator(Whole())] = Field(
        10, alias="top", description="how many videos are shown"
    )
    keep_reference: bool = Field(
        False, description="let the reference and its copies in the folder take part"
    )
    to: Annotated[Path | None, BeforeValidator(Text(optional=True, stands_for="FILE"))] = Field(
        None, description="where to write the page (default: beside the index, below runs)"
    )


def index(own: IndexOptions, request: Request) -> int:
    """Describe the videos of a folder: what is new or changed is computed, what was moved or is
    described already is not.
    """
    from covrr_utils.experiments.index import index as describe

    folder = _folder(own, request, "index FOLDER")
    indexed = describe(folder, request.config)
    if own.as_json:
        say_json(_indexed(indexed, folder))
    else:
        say("\n".join(_lines(indexed, folder)))
    return Code.DONE if indexed.described else Code.FAILED


def _indexed(indexed: Indexed, folder: VideoFolder) -> dict[str, object]:
    """What indexing did, for machines."""
    return {
        "folder": str(folder.root),
        "videos": indexed.videos,
        "described": indexed.described,
        "computed": indexed.computed,
        "failed": len(indexed.failures),
        "since": indexed.changes.counts(),
        "failures": [
            {"video": failure.id, "cause": failure.cause, "message": failure.message}
            for failure in indexed.failures.values()
        ],
    }


def _lines(indexed: Indexed, folder: VideoFolder) -> list[str]:
    """What indexing did, for people."""
    counts = indexed.changes.counts()
    since = ", ".join(f"{counts[name]:,} {name}" for name in counts if name != "same")
    lines = [
        f"{paths.relative(folder.root)}: {indexed.videos:,} videos; since the last time: {since}",
        f"{indexed.described:,} described, {indexed.computed:,} of them now;"
        f" {len(indexed.failures):,} failed",
    ]
    causes = Counter(failure.cause for failure in indexed.failures.values())
    for cause, count in causes.most_common():
        first = next(failure for failure in indexed.failures.values() if failure.cause == cause)
        lines.append(f"  {cause}: {count:,}, such as {first.id}: {first.message}")
    return [*lines, f"index: {paths.relative(folder.place)}"]


def search(own: SearchOptions, request: Request) -> int:
    """Rank the videos of an indexed folder, by a reference and an edit or by a text, and write the
    answer as one HTML page too.
    """
    from covrr_utils.experiments.questions import NotIndexed
    from covrr_utils.experiments.search import FolderSearch
    from covrr_utils.plotting.search_page import write_search_page

    question = _question(own)
    folder = _folder(own, request, 'search FOLDER --reference VIDEO --edit "..."')
    try:
        searching = FolderSearch(folder, request.config)
    except NotIndexed as error:
        raise ValueError(f"{error}; `{_index_command(own.folder, request)}` does that") from error
    counts = searching.changes.counts()
    if touched := {name: counts[name] for name in counts if counts[name] and name != "same"}:
        say(
            f"since the folder was indexed: {', '.join(f'{n:,} {w}' for w, n in touched.items())};"
            f" `{_index_command(own.folder, request)}` takes them in",
            error=True,
        )
    answer = searching.ask(question, own.count, own.by, own.keep_reference)
    page = write_search_page(searching, answer, own.to)
    if own.as_json:
        say_json(_answered(answer, folder, request) | {"page": str(page)})
    else:
        say("\n".join([*_told(answer), f"{paths.relative(page)}: open it in a browser"]))
    return Code.DONE


def _question(own: SearchOptions) -> Question:
    """The question, with the trace read."""
    from covrr_utils.experiments.questions import Question
    from covrr_utils.files import reading
    from covrr_utils.traces.reading import parse_trace

    trace = None
    if own.trace is not None:
        with reading(own.trace):
            text = own.trace.read_text(encoding="utf-8", errors="replace")
        try:
            trace = parse_trace(text)
        except ValueError as error:
            raise ValueError(f"{paths.relative(own.trace)}: {error}") from error
    return Question(own.reference, own.edit, own.text, own.strategy, trace)


def _told(answer: Answer) -> list[str]:
    """The answer for people: what was looked for, and the best videos as a table."""
    question = answer.question
    lines = []
    if question.reference is not None:
        lines.append(f"{paths.relative(question.reference)}, after the edit: {question.edit}")
    if answer.trace is not None:
        lines.append(f"trace:\n{answer.trace.text()}")
    lines.append(f"looked for: {answer.text}\n")
    rows = [
        {"rank": hit.rank}
        | ({} if answer.reranking is None else {"before": hit.before})
        | {name: f"{score:.4f}" for name, score in hit.parts.items()}
        | {"video": hit.video, "description": _excerpt(hit.text)}
        for hit in answer.hits
    ]
    if rows:
        lines.append(text_table(rows, list(rows[0]), terminal_width()))
    again = "" if answer.reranking is None else f", reranked by {answer.reranking['reranker']}"
    left = f", {', '.join(answer.left_out)} left out" if answer.left_out else ""
    return [
        *lines,
        f"\nbest of {answer.videos:,} videos by {answer.by}{again}{left}; {answer.seconds:.2f} s",
    ]


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 3]}..."


def _answered(answer: Answer, folder: VideoFolder, request: Request) -> dict[str, object]:
    """The answer for machines."""
    question, config = answer.question, request.config
    return {
        "folder": str(folder.root),
        "backbone": config.backbone,
        "reference": None if question.reference is None else str(question.reference),
        "edit": question.edit,
        "strategy": None if question.reference is None else question.strategy,
        "trace": None if answer.trace is None else answer.trace.to_dict(),
        "text": answer.text,
        "by": answer.by,
        "pooling": config.pooling,
        "scheme": config.scheme,
        "videos": answer.videos,
        "left_out": list(answer.left_out),
        "seconds": answer.seconds,
        "reranking": answer.reranking and dict(answer.reranking),
        "hits": [
            {
                "rank": hit.rank,
                "before": hit.before,
                "video": hit.video,
                "path": str(hit.path),
                "score": hit.score,
                "scores": dict(hit.parts),
                "description": hit.text,
                "matched": list(hit.matched),
            }
            for hit in answer.hits
        ],
    }


def _folder(own: FolderOptions, request: Request, usage: str) -> VideoFolder:
    """The folder that is asked for.

    Raises
    ------
    ValueError
        If none is named, or it is no folder.
    """
    from covrr_utils.experiments.folders import VideoFolder

    if not own.folder:
        raise ValueError(f"covrr {usage} needs the folder of your videos")
    return VideoFolder(own.folder, request.config.link_roots)


def _index_command(folder: str, request: Request) -> str:
    """The command that indexes a folder as this request would search it."""
    parts = ["covrr", "index", folder]
    for name, value in request.given.items():
        if name in INDEXING and value is not None:
            values = value if isinstance(value, list | tuple) else (value,)
            parts += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(parts)


INDEXING = (
    *("backbone", "revision", "dtype", "attention", "quantization", "link_roots"),
    *("fps", "num_frames", "video_pixels", "prompt_style", "max_new_tokens", "layers"),
)

COMMANDS = {
    "index": Command(index, IndexOptions, leaves=LEAVES, positional="folder"),
    "search": Command(search, SearchOptions, leaves=SEARCHING, positional="folder"),
}
