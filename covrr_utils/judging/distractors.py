"""Hard distractors for any gallery, found from what its descriptions say; and the kind of any video
in the eyes of a triplet.

A triplet's trace says what holds before and after the edit, row by row. A gallery video whose
description

    says every value after the edit                       is a ``twin``: as right as the target, as
                                                          far as words can tell
    says some changes as after the edit, others as before is ``literal`` when just those changed
                                                          that the edit asks for, ``effect_only``
                                                          when just those did not, else ``partial``
    says nothing changed                                  is ``unchanged``
    says all but the object's rows, of another object     is ``other_object``
    says all but one value, of the same object            is ``near``
    is of the same object, and wrong in several values    is ``same_object``

and everything else is ``unrelated``. An edit asks for the changes whose value its words name; where
it names none (an implicit edit: "the sun comes up"), words alone cannot tell ``literal`` from
``effect_only``, and both are ``partial``. Descriptions are written by a model and have their own
mistakes: ``slack`` says how many values of a video may fit nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.experiments.run import Run
from covrr_utils.traces.matching import STATED, slot_words, stated_share, stems
from covrr_utils.traces.trace import ReasoningTrace

MINED = ("literal", "effect_only", "partial", "other_object", "near")

KINDS = ("twin", *MINED, "unchanged", "same_object", "unrelated")

PARTIAL = ("literal", "effect_only", "partial")


class Gallery:
    """The descriptions of a gallery, ready to be asked what they say. ``texts``: video id ->
    description.
    """

    def __init__(self, texts: Mapping[str, str]):
        self.videos = list(texts)
        self._words = [slot_words(text) for text in texts.values()]
        self._stated: dict[tuple[str, str], np.ndarray] = {}

    def stated(self, slot: str, value: str) -> np.ndarray:
        """(G,) share of the value's words that each description says in that slot, in 0..1."""
        if (slot, value) not in self._stated:
            self._stated[slot, value] = np.array(
                [stated_share(slot, value, words) for words in self._words]
            )
        return self._stated[slot, value]

    def kinds(
        self, trace: ReasoningTrace, asked: frozenset[int] = frozenset(), slack: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each video is to a triplet with this trace: ((G,) kinds, (G,) how many values after
        the edit it says).

        ``asked`` numbers the rows of ``trace.rows()`` whose change the edit asks for, see
        `asked_rows`.

        Raises
        ------
        ValueError
            If the trace says nothing.
        """
        rows = trace.rows()
        if not rows:
            raise ValueError(
                "an empty trace says nothing that a video could share; mine with gold traces or"
                " another strategy's"
            )
        after = np.stack([self.stated(slot, value) for slot, _, value in rows])
        before = np.stack([self.stated(slot, value) for slot, value, _ in rows])
        changed = np.array([old != new for _, old, new in rows])
        holds = (after >= STATED) & ((after > before) | ~changed[:, None])
        held = (before >= STATED) & (before > after) & changed[:, None]
        subject = stems(rows[0][2])[-1:] or ("",)
        same_object = self.stated(rows[0][0], subject[0]) >= STATED
        elsewhere = np.array([slot != rows[0][0] for slot, _, _ in rows])
        asks = np.array([i in asked for i in range(len(rows))]) & changed
        told = (~(holds | held)).sum(axis=0) <= slack
        mixed = told & holds[changed].any(axis=0) & held[changed].any(axis=0)
        split = bool(asks.any() and (changed & ~asks).any())
        conditions = {
            "twin": holds.all(axis=0),
            "unchanged": told & ~holds[changed].any(axis=0),
            "literal": mixed & split & holds[asks].all(axis=0) & held[changed & ~asks].all(axis=0),
            "effect_only": (
                mixed & split & held[asks].all(axis=0) & holds[changed & ~asks].all(axis=0)
            ),
            "partial": mixed,
            "other_object": ~same_object & ((~holds[elsewhere]).sum(axis=0) <= slack),
            "near": same_object & (holds.sum(axis=0) >= len(rows) - 1 - slack),
            "same_object": same_object,
        }
        return np.select(
            list(conditions.values()), list(conditions), default="unrelated"
        ), holds.sum(axis=0)


def asked_rows(trace: ReasoningTrace, edit: str) -> frozenset[int]:
    """Numbers of the rows of ``trace.rows()`` whose change the edit's words name."""
    words = set(stems(edit))
    return frozenset(
        i
        for i, (_, before, after) in enumerate(trace.rows())
        if (set(stems(after)) - set(stems(before))) & words
    )


@dataclass(frozen=True)
class Mined:
    """What was found for one triplet: hard distractors by kind, the hardest first, and ``twins``,
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
    gallery, found = Gallery(texts), []
    for triplet in triplets:
        if triplet.id not in traces:
            continue
        trace = traces[triplet.id]
        kinds, holds = gallery.kinds(trace, asked_rows(trace, triplet.edit), slack)
        order = [
            i
            for i in np.argsort(-holds, kind="stable")
            if gallery.videos[i] not in (triplet.reference, triplet.target)
        ]
        by_kind = {
            kind: [gallery.videos[i] for i in order if kinds[i] == kind]
            for kind in ("twin", *MINED)
        }
        found.append(
            Mined(
                triplet.id,
                {kind: by_kind[kind][:per_kind] for kind in MINED if by_kind[kind]},
                by_kind["twin"],
            )
        )
    return found


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
                under = (
                    next((k for k, found in item.distractors.items() if video in found), None)
                    if item
                    else None
                )
                row["labelled"] += 1
                row["found"] += under is not None
                row["same kind"] += under == kind or (under in PARTIAL and kind in PARTIAL)
                row["twin"] += item is not None and video in item.twins
    return pd.DataFrame([{"kind": kind, **row} for kind, row in rows.items()])


def checked_against(
    mined: Sequence[Mined], triplets: Sequence[Triplet], truth: Mapping[str, str]
) -> pd.DataFrame:
    """How many of the mined distractors are what they were taken for, judged by true descriptions
    of the gallery: kind, mined, right.
    """
    gallery, by_id = Gallery(truth), {triplet.id: triplet for triplet in triplets}
    counts: dict[str, list[int]] = {}
    place = {video: number for number, video in enumerate(gallery.videos)}
    for item in mined:
        triplet = by_id[item.triplet]
        if triplet.gold_trace is None:
            continue
        kinds, _ = gallery.kinds(triplet.gold_trace, asked_rows(triplet.gold_trace, triplet.edit))
        for kind, videos in item.distractors.items():
            row = counts.setdefault(kind, [0, 0])
            row[0] += len(videos)
            row[1] += sum(kinds[place[video]] == kind for video in videos)
    return pd.DataFrame(
        [(kind, *row) for kind, row in counts.items()], columns=["kind", "mined", "right"]
    )
