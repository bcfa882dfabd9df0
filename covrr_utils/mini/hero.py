"""The moving picture of the README: the book's running example, its reference and its target at
play, with what is said and what has to be inferred between them.

``python -m covrr_utils.mini.hero`` writes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from covrr_utils import paths
from covrr_utils.experiments import examples
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run
from covrr_utils.files import write_atomically
from covrr_utils.plotting.moving import webp
from covrr_utils.plotting.style import HIT, REFERENCE
from covrr_utils.traces.trace import ReasoningTrace
from covrr_utils.video.clips import Sampling
from covrr_utils.video.decoder import read_clip

PICTURE = "readme_triplet.webp"

SIDE, BORDER, MARGIN, MIDDLE = 208, 5, 12, 388  # pixels

HEIGHT = 276  # pixels

FRAMES = 24  # all that a clip of the mini world has

QUALITY = 82  # of WebP, in 0..100

INK, QUIET = (30, 30, 30), (105, 105, 105)


def moving_triplet(
    reference: UInt8[np.ndarray, "T H W 3"],
    target: UInt8[np.ndarray, "T H W 3"],
    edit: str,
    trace: ReasoningTrace,
    ranks: Sequence[str],
    seconds: float,
) -> bytes:
    """An animated WebP: the reference plays on the left and the target on the right, both for
    ``seconds``; between them stand the edit, the changes that the trace names, and the ``ranks``.

    Raises
    ------
    ValueError
        If the two clips have not the same number of frames.
    """
    if len(reference) != len(target):
        raise ValueError(f"clips of {len(reference)} and {len(target)} frames cannot play together")
    still = _still(edit, trace, ranks)
    frames = [still.copy() for _ in reference]
    for frame, left, right in zip(frames, reference, target, strict=True):
        for clip, at in ((left, MARGIN), (right, MARGIN + SIDE + MIDDLE)):
            shown = Image.fromarray(clip).resize((SIDE - 2 * BORDER,) * 2, Image.Resampling.LANCZOS)
            frame.paste(shown, (at + BORDER, MARGIN + BORDER))
    return webp(frames, round(1000 * seconds / len(frames)), quality=QUALITY)


def _still(edit: str, trace: ReasoningTrace, ranks: Sequence[str]) -> Image.Image:
    """All that does not move."""
    width = 2 * (MARGIN + SIDE) + MIDDLE
    image = Image.new("RGB", (width, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    for at, colour, name in (
        (MARGIN, REFERENCE, "reference"),
        (MARGIN + SIDE + MIDDLE, HIT, "target"),
    ):
        rgb = tuple(round(255 * part) for part in colour)
        draw.rectangle((at, MARGIN, at + SIDE - 1, MARGIN + SIDE - 1), fill=rgb)
        draw.text((at, MARGIN + SIDE + 8), name, INK, _font(13))
    centre = MARGIN + SIDE + MIDDLE // 2
    draw.text((centre, MARGIN + 14), f"“{edit}”", INK, _font(17, bold=True), anchor="mm")
    changes = [f"{slot}: {old} → {new}" for slot, old, new in trace.rows() if old != new]
    draw.text((centre, MARGIN + 52), "what the model infers", QUIET, _font(13), anchor="mm")
    for place, line in enumerate(changes[:5]):
        draw.text((centre, MARGIN + 78 + 23 * place), line, INK, _font(15), anchor="mm")
    for place, line in enumerate(ranks):
        height = MARGIN + SIDE - 8 + 22 * place
        draw.text((centre, height), line, INK, _font(14, bold=place == 0), anchor="mm")
    return image


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of the figures."""
    name = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(name), size)


def write(run: Run) -> Path:
    """Write the picture of the run's running example into ``figures/``; its path."""
    triplet = examples.running(run, "two_stage")
    place = run.benchmark.triplets.index(triplet)
    with_trace, without = (
        run.evaluate(strategy, save=False).ranks[place]
        for strategy in ("two_stage", "single_stage")
    )
    size = len(run.benchmark.gallery)
    reference, target = (
        read_clip(run.benchmark.video_path(video), Sampling(num_frames=FRAMES))
        for video in (triplet.reference, str(triplet.target))
    )
    trace = run.queries("two_stage")[triplet.id].trace
    picture = moving_triplet(
        reference.frames,
        target.frames,
        triplet.edit,
        trace or ReasoningTrace(),
        [f"rank of the target among {size:,}: {with_trace}", f"without reasoning: {without}"],
        float(reference.times[-1]) * len(reference.times) / max(len(reference.times) - 1, 1),
    )
    path = paths.figures_dir() / PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture)
    return path


def main() -> None:
    run = Run(RunConfig())
    print(paths.relative(write(run)))


if __name__ == "__main__":
    main()
