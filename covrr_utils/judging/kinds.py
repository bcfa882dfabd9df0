"""What a gallery video is to a triplet: one table of kinds, what each means and how it is decided.

A triplet's trace says what holds before and after the edit, row by row, and a gallery video's
description says some of these values. `KINDS` is read from the top: a video is of the first kind
whose test it passes. Labelled distractors keep the kind of their label (`kind_of`).

An edit names the changes whose new value its words say. Where it names none (an implicit edit:
"the sun comes up"), words alone cannot tell ``literal`` from ``effect_only``, and both are
``partial``. Descriptions are written by a model and have mistakes of their own: ``slack`` says how
many values of a video may fit nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from covrr_utils.benchmarks.benchmark import Triplet
from covrr_utils.traces.matching import STATED, slot_words, stated_share, stems
from covrr_utils.traces.trace import ReasoningTrace

FAILED = "failed"

UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Comparison:
    """The R rows of a trace beside the descriptions of G gallery videos.

    ``after`` and ``before``, (R, G) bool: the description says the value after, or before, the
    edit; never both of a row that changes. ``changed``, ``named``, ``of_object``, (R,) bool: the
    row changes, the edit names its change, it is about the object. ``same_object``, (G,) bool.
    """

    after: np.ndarray
    before: np.ndarray
    changed: np.ndarray
    named: np.ndarray
    of_object: np.ndarray
    same_object: np.ndarray
    slack: int

    @property
    def complete(self) -> np.ndarray:
        """(G,) every row is as before or as after the edit, but for ``slack`` of them."""
        return (~(self.after | self.before)).sum(axis=0) <= self.slack

    @property
    def mixed(self) -> np.ndarray:
        """(G,) some changes have happened and others have not."""
        changed = self.changed
        return self.complete & self.after[changed].any(axis=0) & self.before[changed].any(axis=0)

    def only(self, happened: np.ndarray) -> np.ndarray:
        """(G,) of the changes, just the rows ``happened``, (R,) bool, are as after the edit;
        nobody where that is all of them, or none.
        """
        rest = self.changed & ~happened
        if not happened.any() or not rest.any():
            return np.zeros_like(self.same_object)
        return self.mixed & self.after[happened].all(axis=0) & self.before[rest].all(axis=0)


@dataclass(frozen=True)
class Kind:
    """What a gallery video, or a miss, can be to a triplet.

    ``meaning`` completes "first came ..."; ``decide`` is its test by descriptions, None where
    something else decides; ``mined``: a hard distractor that mining looks for.
    """

    name: str
    meaning: str
    decide: Callable[[Comparison], np.ndarray] | None = None
    mined: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "twin",
            "a video described just like the target",
            lambda c: np.logical_and.reduce(c.after, axis=0),
        ),
        Kind(
            "unchanged",
            "a video described like the reference",
            lambda c: c.complete & ~c.after[c.changed].any(axis=0),
        ),
        Kind(
            "literal",
            "the edit taken at its word, without its after-effects",
            lambda c: c.only(c.named),
            mined=True,
        ),
        Kind(
            "effect_only",
            "the after-effects, without what the edit itself asks for",
            lambda c: c.only(c.changed & ~c.named),
            mined=True,
        ),
        Kind("partial", "some of the changes, without the others", lambda c: c.mixed, mined=True),
        Kind(
            "other_object",
            "all that the target shows, with another object",
            lambda c: ~c.same_object & ((~c.after[~c.of_object]).sum(axis=0) <= c.slack),
            mined=True,
        ),
        Kind(
            "near",
            "the target but for one value",
            lambda c: c.same_object & ((~c.after).sum(axis=0) <= 1 + c.slack),
            mined=True,
        ),
        Kind("same_object", "the right object, with several wrong values", lambda c: c.same_object),
        Kind(
            "unrelated",
            "another object, with other wrong values",
            lambda c: np.ones_like(c.same_object),
        ),
        Kind(FAILED, "nothing: the triplet was never ranked, for a cause that is named"),
        Kind(UNEXPLAINED, "a video that no label names and no gold trace explains"),
    )
}


class Gallery:
    """The descriptions of a gallery, ready to be compared with traces. ``texts``: video id ->
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

    def compare(self, trace: ReasoningTrace, edit: str = "", slack: int = 0) -> Comparison:
        """The descriptions beside the rows of a trace; ``edit`` tells which changes are named.

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
        words = set(stems(edit))
        subject = stems(rows[0][2])[-1:] or ("",)
        return Comparison(
            (after >= STATED) & ((after > before) | ~changed[:, None]),
            (before >= STATED) & (before > after) & changed[:, None],
            changed,
            changed & [bool((set(stems(new)) - set(stems(old))) & words) for _, old, new in rows],
            np.array([slot == rows[0][0] for slot, _, _ in rows]),
            self.stated(rows[0][0], subject[0]) >= STATED,
            slack,
        )

    def kinds(
        self, trace: ReasoningTrace, edit: str = "", slack: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each video is to a triplet with this trace and edit: ((G,) names of kinds, (G,) how
        many values after the edit its description says). Raises what `compare` raises.
        """
        comparison = self.compare(trace, edit, slack)
        tests = {kind.name: kind.decide(comparison) for kind in KINDS.values() if kind.decide}
        names = np.select(list(tests.values()), list(tests), default=UNEXPLAINED)
        return names, comparison.after.sum(axis=0)


def kind_of(triplet: Triplet, video: str | None, texts: Mapping[str, str]) -> str:
    """What a gallery video is to a triplet: the labelled kind, else the one its description speaks
    for, else ``unexplained``.
    """
    if labelled := [kind for kind, videos in triplet.distractors.items() if video in videos]:
        return labelled[0]
    gold = triplet.gold_trace
    if gold is None or not gold.rows() or video is None or video not in texts:
        return UNEXPLAINED
    return str(Gallery({video: texts[video]}).kinds(gold, triplet.edit)[0][0])


def meaning(name: str) -> str:
    """What the kind of this name is, in words; a label file may bring kinds of its own."""
    return KINDS[name].meaning if name in KINDS else "a distractor that the label file calls so"
