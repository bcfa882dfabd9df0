"""Hard distractors for any gallery, mined from what its descriptions say.

Which kinds there are, and how they are decided: `covrr_utils.judging.kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.experiments.run import Run
from covrr_utils.frames import pd
from covrr_utils.judging.kinds import KINDS, Gallery
from covrr_utils.traces.trace import ReasoningTrace

MINED = tuple(kind.name for kind in KINDS.values() if kind.mined)

# without words for the changes, both of the others are taken for the first
PARTIAL = ("partial", "literal", "effect_only")


@dataclass(frozen=True)
class Mined:
    """What mining yields for a triplet: hard distractors by kind, the hardest first, and ``twins``,
    to be looked at before anything is added.
    """

    triplet: str
    distractors: dict[str, list[str]]
    twins: list[str]


def mine(
    triplets: Sequence[Triplet],
    texts: Mapping[str, str],
    traces: Mapping[str, ReasoningTrace],
    per_kind: int = 3,
    slack: int = 0,
) -> list[Mined]:
    """Hard distractors of every triplet that has a trace, from the gallery descriptions ``texts``
    (video id -> description).

    At most ``per_kind`` of each kind, those that say most of the target's values first, then in
    gallery order; never the reference or the target.
    """
    if per_kind < 1 or slack < 0:
        raise ValueError(
            f"per_kind must be at least 1 and slack at least 0, got {per_kind} and {slack}"
        )
    gallery, mined = Gallery(texts), []
    for triplet in triplets:
        if triplet.id not in traces:
            continue
        trace = traces[triplet.id]
        kinds, holds = gallery.kinds(trace, triplet.edit, slack)
        order = [
            i
            for i in np.argsort(-holds, kind="stable")
            if gallery.videos[i] not in (triplet.reference, triplet.target)
        ]
        by_kind = {
            kind: [gallery.videos[i] for i in order if kinds[i] == kind]
            for kind in ("twin", *MINED)
        }
        mined.append(
            Mined(
                triplet.id,
                {kind: by_kind[kind][:per_kind] for kind in MINED if by_kind[kind]},
                by_kind["twin"],
            )
        )
    return mined


def traces_for_mining(run: Run, source: str = "gold") -> dict[str, ReasoningTrace]:
    """Traces by triplet id: the benchmark's (``gold``), or those a strategy has written.

    Raises
    ------
    ValueError
        If there are none.
    """
    if source == "gold":
        traces = {
            triplet.id: triplet.gold_trace
            for triplet in run.benchmark.triplets
            if triplet.gold_trace
        }
    else:
        traces = {id_: query.trace for id_, query in run.queries(source).items() if query.trace}
    if not traces:
        raise ValueError(
            f"{run.benchmark.name} has no traces from {source!r}; mine with a strategy that writes"
            " them, such as two_stage"
        )
    return traces


def mine_run(run: Run, source: str = "gold", per_kind: int = 3, slack: int = 0) -> list[Mined]:
    """`mine` with a run's own gallery descriptions."""
    texts = {video: described.text for video, described in run.gallery().items()}
    return mine(run.benchmark.triplets, texts, traces_for_mining(run, source), per_kind, slack)


def compared_with_labels(mined: Sequence[Mined], triplets: Sequence[Triplet]) -> pd.DataFrame:
    """How many of the labelled distractors mining finds, per labelled kind: ``found`` under any
    kind, ``same kind`` (``partial`` counts for ``literal`` and ``effect_only``), ``twin`` where the
    descriptions cannot tell it from the target."""
    by_id = {item.triplet: item for item in mined}
    rows: dict[str, dict[str, int]] = {}
    for triplet in triplets:
        item = by_id.get(triplet.id)
        for kind, videos in triplet.distractors.items():
            row = rows.setdefault(kind, {"labelled": 0, "found": 0, "same kind": 0, "twin": 0})
            for video in videos:
                mined_as = (
                    next((name for name, all_ in item.distractors.items() if video in all_), None)
                    if item
                    else None
                )
                row["labelled"] += 1
                row["found"] += mined_as is not None
                row["same kind"] += mined_as == kind or (mined_as in PARTIAL and kind in PARTIAL)
                row["twin"] += item is not None and video in item.twins
    return pd.DataFrame([{"kind": kind, **row} for kind, row in rows.items()])
