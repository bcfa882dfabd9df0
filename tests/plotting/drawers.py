"""Every figure of the workbook, drawn with one given text wherever a text comes from data."""

import numpy as np
import pandas as pd
from transformers.video_utils import VideoMetadata

from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.plotting import (
    charts,
    growth,
    judging_charts,
    paper_figures,
    pictures,
    printed_figures,
    training,
)
from covrr_utils.traces.trace import SLOTS, ReasoningTrace
from covrr_utils.video.clips import Clip, ClipError

YELLOW = (231, 200, 41)


def clip(frames=8, colour=YELLOW):
    picture = np.full((frames, 16, 16, 3), colour, np.uint8)
    return Clip("c", picture, VideoMetadata(frames, 4.0, frames_indices=list(range(frames))))


def clip_of(video):
    if video == "gone":
        raise ClipError("missing", "no file")
    return clip(1 if video == "still" else 8)


def trace(text):
    return ReasoningTrace(**{slot: (f"{text} -> {text}!",) for slot in SLOTS})


def triplet(text, reference="r", target="t"):
    return Triplet("0", reference, text, target, "", (), trace(text), {"near": ("a", "b", "c")})


def row(text, top=("t", "b", "c", "d", "e"), rank=1, reference="r"):
    return {"edit": text, "reference": reference, "target": "t", "rank": rank, "note": text} | {
        "top": list(top),
        "scores": [0.5] * len(top),
    }


def measured(text, count=2):
    """A table that has the columns of every chart."""
    shares = {"share": 5.0, "score": 5.0, "R@1": 5.0, "score low": 4.0, "score high": 6.0}
    bounds = {"recall": 5.0, "low": 4.0, "high": 6.0, "R@1 low": 4.0, "R@1 high": 6.0, "n": 3}
    words = dict.fromkeys(("name", "tag", "strategy", "kind", "judge", "traces"))
    return pd.DataFrame(
        [
            {word: f"{text}{number}" for word in words} | shares | bounds | {"tokens": 30.0}
            for number in range(count)
        ]
    )


def results(text, count=2):
    numbers = {"recall": {"1": 0.5}, "interval": {"1": (0.4, 0.6)}, "triplets": 3, "kind": "k"}
    return [{"strategy": f"{text}{number}"} | numbers for number in range(count)]


CHARTS = {
    "recall bars": lambda text, n=2: charts.recall_bars(results(text, n), "strategy", text, "1")[0],
    "forest": lambda text, n=2: charts.forest(measured(text, n), text, measured(text, n), "kind"),
    "by tag": lambda text, n=2: charts.by_tag(measured(text, n), text),
    "gain and cost": lambda text, n=2: charts.gain_and_cost(measured(text, n), text),
    "scaling": lambda text, n=2: charts.scaling(
        measured(text, n).assign(parameters=range(1, n + 1)),
        {text: ["recall", "score"]},
        [text],
        measured(text, n).assign(size=range(4, n + 4)),
    ),
    "growth": lambda text, n=2: growth.growth(
        measured(text, n).assign(videos=range(1, n + 1), seconds=5.0), text
    ),
    "score and recall": lambda text, n=2: judging_charts.score_and_recall(
        measured(text, n), text, text
    ),
    "judges": lambda text, n=2: judging_charts.judges_on_sabotage(measured(text, n), text),
    "misses": lambda text, n=2: judging_charts.shares_of_misses(
        measured(text, n), [f"{text}{i}" for i in range(n)], [f"{text}{i}" for i in range(n)], text
    ),
}

PICTURES = {
    "contact sheet": lambda text: pictures.contact_sheet([clip(), clip(1)], [text, text]),
    "triplet": lambda text: pictures.triplet_figure(
        clip(), text, clip(), {text: clip()}, trace(text)
    ),
    "rows": lambda text: pictures.retrieval_rows([row(text), row(text)], clip_of),
    "sentence": lambda text: pictures.token_sentence([text, text], [1.0, 0.5], text),
    "query": lambda text: paper_figures.query_figure(
        [triplet(text)], [["t", "a", "b", "c"]], [trace(text)], clip_of
    ),
    "traces": lambda text: paper_figures.trace_figure([triplet(text)], clip_of),
}

PRINTED = {
    "query columns": lambda text, n=1: printed_figures.query_columns(
        [triplet(text)] * n, [["t", "a", text, "gone"]] * n, [trace(text)] * n, clip_of
    ),
    "trace rows": lambda text, n=1: printed_figures.trace_rows(
        [triplet(text, "gone")] * n, clip_of
    ),
}

FIGURES = (
    CHARTS
    | PICTURES
    | PRINTED
    | {
        "training": lambda text: training.training_curve(
            pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0]}), [(text, 2)], text
        )
    }
)
