"""The page of a search: the question, and a card for each of the best videos, in one HTML file that
opens from disk.
"""

from __future__ import annotations

from pathlib import Path

from covrr_utils import paths
from covrr_utils.experiments.places import backbone_label, file_name
from covrr_utils.experiments.questions import Answer
from covrr_utils.experiments.search import FolderSearch
from covrr_utils.files import digest, write_atomically
from covrr_utils.pages.cards import Ranked
from covrr_utils.pages.films import films
from covrr_utils.pages.rendering import render


def write_search_page(search: FolderSearch, answer: Answer, to: Path | None = None) -> Path:
    """Write the page of an answer and return its path; by default it lies beside the index, under a
    name of the question's own.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    question, config = answer.question, search.config
    places = {hit.video: hit.path for hit in answer.hits}
    reference = None if question.reference is None else str(question.reference)
    if question.reference is not None:
        places[str(question.reference)] = question.reference
    page = render(
        "covrr_utils.pages",
        "search.html.j2",
        title=question.text if question.text is not None else f"After the edit: {question.edit}",
        facts={
            "folder": paths.relative(search.folder.root),
            "videos": f"{answer.videos:,}",
            "backbone": backbone_label(config.backbone),
            "strategy": "-" if reference is None else question.strategy,
            "ranked by": answer.by if config.rerank is None else f"{answer.by}, {config.rerank}",
            "pooling": f"{config.pooling} / {config.scheme}",
        },
        films=films(lambda video: places[video], places),
        reference=reference,
        text=answer.text,
        trace=_trace(answer),
        videos=f"{answer.videos:,}",
        results=[
            Ranked(
                hit.rank,
                hit.video,
                hit.score,
                parts=tuple(hit.parts.items()),
                pieces=hit.pieces,
                href=hit.path.absolute().as_uri(),
            )
            for hit in answer.hits
        ],
    )
    path = to or search.folder.place / "searches" / page_name(search, answer)
    write_atomically(path, page)
    return path


def page_name(search: FolderSearch, answer: Answer) -> str:
    """A file's name that tells the backbone and the question, and by six digits all that decides
    the answer.
    """
    question, config = answer.question, search.config
    decided = {
        "config": config.model_dump(mode="json"),
        "reference": str(question.reference),
        "words": [question.edit, question.text],
        "strategy": question.strategy,
        "trace": question.trace and question.trace.text(),
        "by": answer.by,
        "shown": len(answer.hits),
        "left out": answer.left_out,
    }
    words = (question.text or question.edit or "")[:40]
    return file_name(backbone_label(config.backbone), words, digest(decided)[:6], suffix=".html")


def _trace(answer: Answer) -> dict[str, str]:
    """The trace slot by slot, where there is one."""
    if answer.trace is None:
        return {}
    return {
        slot: "; ".join(assertions) or "-" for slot, assertions in answer.trace.to_dict().items()
    }
