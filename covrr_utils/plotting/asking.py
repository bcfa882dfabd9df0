"""A box below a chapter's cell: somebody types an edit and sees trace, description and the first
videos, again and again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from IPython.core.error import StdinNotImplementedError
from IPython.display import display

from covrr_utils.backbones.backbone import Prompt
from covrr_utils.experiments.run import Run
from covrr_utils.plotting.moving import moving
from covrr_utils.reasoning import prompts
from covrr_utils.retrieval.pooling import pool
from covrr_utils.retrieval.weights import IDF
from covrr_utils.video.clips import ClipError

NOBODY = (
    "Nobody sits before this notebook. Run it in JupyterLab or VS Code, and a box asks for an edit."
)


@dataclass(frozen=True)
class Answer:
    """What the model makes of one question: ``ranked`` holds the first videos of the gallery with
    their cosines, the highest first.
    """

    trace: str
    description: str
    ranked: tuple[tuple[str, float], ...]


def answered(run: Run, reference: str, edit: str, first: int = 5) -> Answer:
    """Ask the run's backbone for the video ``reference`` after ``edit``: the trace as the model
    wrote it, the description, and the ``first`` videos, the reference left out.

    Raises
    ------
    ClipError
        If the reference cannot be read.
    """
    clip, style = run.clip(reference), run.config.prompt_style
    (trace,) = run.backbone.write([Prompt(clip, prompts.trace(edit, style))], run.generation)
    after = Prompt(clip, prompts.after_trace(edit, trace, style))
    (description,) = run.backbone.describe([after], run.generation)
    gallery = run.pooled_gallery(run.config.pooling, run.config.scheme, run.config.source)
    videos = [video for video in gallery if video != reference]
    words = run.words if run.config.scheme == IDF else None
    query = pool(description, run.config.pooling, run.config.scheme, run.config.source, words)
    cosines = np.stack([gallery[video] for video in videos]) @ query
    best = np.argsort(-cosines, kind="stable")[:first]
    return Answer(
        trace, description.text, tuple((videos[place], float(cosines[place])) for place in best)
    )


def ask(run: Run, reference: str) -> None:
    """Ask for an edit in a box below the cell and show the answer, until the box stays empty. A
    line ``video: edit`` takes another video of the gallery than ``reference``.

    Where a notebook is executed without a reader, one sentence says so and nothing is asked.
    """
    known = set(run.benchmark.gallery)
    while True:
        try:
            line = input(f"An edit of {reference}, or 'video: edit' (nothing ends it): ").strip()
        except (StdinNotImplementedError, EOFError, OSError):  # the last: input is closed
            print(NOBODY)
            return
        if not line:
            return
        video, colon, edit = (part.strip() for part in line.partition(":"))
        if not colon or video not in known:
            video, edit = reference, line
        try:
            show(run, video, edit)
        except ClipError as error:
            print(error)


def show(run: Run, reference: str, edit: str) -> None:
    """Print the trace and the description of an `Answer`, and play the reference and the videos
    that come first.
    """
    answer = answered(run, reference, edit)
    print(f"{answer.trace}\n\n{answer.description}")
    captions = [f"{place}.  {cosine:.4f}" for place, (_, cosine) in enumerate(answer.ranked, 1)]
    videos = [reference, *(video for video, _ in answer.ranked)]
    display(moving(run.benchmark.video_path, videos, ["reference", *captions]))
