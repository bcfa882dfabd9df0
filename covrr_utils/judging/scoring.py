"""The Reasoning Score of a run: its triplets as cases for a judge, the mean with its interval, and
the tests of the judge itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from covrr_utils import paths
from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.places import output_name
from covrr_utils.experiments.run import Run
from covrr_utils.files import read_or_set_aside, write_json
from covrr_utils.judging.judges import Case, Judge, Verdict
from covrr_utils.retrieval import metrics

SCALE = "0-10"

# the key of the gold reasoning in CoVR-R's label files
GOLD_TEXT = "reasoned_target_video_description__main"


class NoTraces(ValueError):
    """A judge of traces, for a strategy that writes none."""


@dataclass(frozen=True)
class Score:
    """The scores of one strategy under one judge: ``mean`` over the ``judged`` of ``triplets``,
    with its bootstrap interval over triplets.

    ``parts`` are means over the cases that the judge itself has scored; ``causes`` counts why
    others scored 0, or were not scored.
    """

    judge: str
    version: str
    strategy: str
    backbone: str
    kind: str
    triplets: int
    judged: int
    mean: float | None
    interval: tuple[float, float] | None
    parts: dict[str, float]
    causes: dict[str, int]
    verdicts: tuple[Verdict, ...] = field(repr=False, default=())
    scale: str = SCALE

    def summary(self) -> dict:
        """Everything but the verdicts."""
        return {key: value for key, value in asdict(self).items() if key != "verdicts"}

    def line(self) -> str:
        """The score in print: never without its judge, version, scale and denominator."""
        if self.mean is None or self.interval is None:
            return f"{self.strategy}: no score by {self.judge} ({self.version}); {self.causes}"
        low, high = self.interval
        return (
            f"{self.strategy}: {self.mean:.2f} [{low:.2f}, {high:.2f}] on {self.scale} by"
            f" {self.judge} ({self.version}), {self.judged} of {self.triplets} triplets judged,"
            f" {self.backbone}, {self.kind}"
        )


def cases(run: Run, strategy: str) -> list[Case]:
    """One case per triplet, in the benchmark's order.

    Reference and target are described by the labels, else by the backbone's gallery texts.
    """
    queries = run.queries(strategy)
    described = all(
        _text(triplet, key)
        for triplet in run.benchmark.triplets
        for key in ("description_source", "description_target")
    )
    texts = (
        {} if described else {video: described.text for video, described in run.gallery().items()}
    )
    collected = []
    for triplet in run.benchmark.triplets:
        query, failure = queries.get(triplet.id), queries.failures.get(triplet.id)
        collected.append(
            Case(
                triplet.id,
                triplet.edit,
                query.trace if query else None,
                query.text if query else None,
                triplet.gold_trace,
                _text(triplet, GOLD_TEXT),
                _text(triplet, "description_source") or texts.get(triplet.reference),
                _text(triplet, "description_target") or texts.get(triplet.target or ""),
                triplet.reference,
                f"{failure.stage}: {failure.cause}" if failure else None,
            )
        )
    return collected


def _text(triplet: Triplet, key: str) -> str | None:
    """What a label row says under ``key``, where that is a text."""
    value = triplet.extra.get(key)
    return value if isinstance(value, str) else None


def judged(judge: Judge, cases: Iterable[Case]) -> list[Verdict]:
    """One verdict per case, in order.

    A case with nothing to judge scores 0 with its cause, without asking the judge.
    """
    cases, verdicts = list(cases), {}
    judgeable = []
    for case in cases:
        shown = (
            case.description
            if judge.reads == "description"
            else case.trace and any(case.trace.to_dict().values())
        )
        if case.failure or not shown:
            verdicts[case.id] = Verdict(case.id, 0.0, cause=case.failure or f"no {judge.reads}")
        else:
            judgeable.append(case)
    verdicts |= {verdict.id: verdict for verdict in judge.verdicts(judgeable)}
    return [verdicts[case.id] for case in cases]


def score(run: Run, strategy: str, judge: Judge) -> Score:
    """The Reasoning Score of a strategy.

    Raises
    ------
    NoTraces
        If the judge reads traces and the strategy writes none.
    """
    seen = cases(run, strategy)
    answered = [case for case in seen if case.failure is None]
    if judge.reads == "trace" and answered and not any(case.trace for case in answered):
        raise NoTraces(
            f"{strategy} writes no traces for the judge {judge.name!r} to read; the judge 'outcome'"
            " scores its descriptions"
        )
    return summary(
        judge,
        judged(judge, seen),
        strategy,
        run.descriptions.identity.name,
        f"measured here, {run.benchmark.kind}",
    )


def summary(
    judge: Judge, verdicts: Sequence[Verdict], strategy: str, backbone: str, kind: str
) -> Score:
    """Mean, interval, parts and causes of the verdicts."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.parts)
    parts = {
        name: float(np.mean([verdict.parts[name] for verdict in verdicts if name in verdict.parts]))
        for name in names
    }
    return Score(
        judge.name,
        judge.version,
        strategy,
        backbone,
        kind,
        len(verdicts),
        len(scores),
        float(np.mean(scores)) if scores else None,
        metrics.bootstrap_interval(scores) if scores else None,
        parts,
        dict(Counter(v.cause for v in verdicts if v.cause)),
        tuple(verdicts),
    )


def save_score(score: Score, run: Run) -> Path:
    """Write a score with every verdict to ``score__<strategy>__<judge>__seed<seed>.json`` in the
    run's quality folder; whatever else decides it is named too.
    """
    path = run.quality_folder / output_name("score", run.method(score.strategy), score.judge)
    write_json(path, asdict(score))
    return path


def load_scores(folder: Path | None = None) -> list[dict]:
    """Every stored score below ``folder`` (default: ``runs/``) without its verdicts, with its
    benchmark's name, in path order. A damaged file is named and set aside.
    """
    scores = []
    for path in sorted((folder or paths.runs_dir()).glob("*/*/quality/score__*.json")):
        if (data := read_or_set_aside(path, _without_verdicts)) is not None:
            scores.append({"benchmark": path.parents[2].name, **data})
    return scores


def _without_verdicts(blob: bytes) -> dict:
    """Everything that a score's file says but its verdicts."""
    data = json.loads(blob)
    del data["verdicts"]
    needed = {entry.name for entry in fields(Score) if entry.default is entry.default_factory}
    if missing := needed - data.keys():
        raise ValueError(f"no score: it lacks {min(missing)!r}")
    return data


def agreement(first: Score, second: Score) -> dict[str, float | int | str]:
    """How far two judges agree on what both have scored themselves: Spearman's rho with interval,
    mean absolute difference (points of 10).

    Triplets without a usable trace score 0 under every judge; that is no agreement, and they are
    left out.

    Raises
    ------
    ValueError
        If there are fewer than three such triplets.
    """
    other = {verdict.id: verdict.score for verdict in second.verdicts if verdict.cause is None}
    pairs = [
        (verdict.score, other[verdict.id])
        for verdict in first.verdicts
        if verdict.cause is None and verdict.id in other
    ]
    if len(pairs) < 3:
        raise ValueError(
            f"{first.judge} and {second.judge} have scored {len(pairs)} triplets in common;"
            " agreement needs at least three"
        )
    one, two = np.array(pairs).T
    rho, low, high = metrics.rank_correlation(one, two)
    return {
        "first": f"{first.judge} ({first.version})",
        "second": f"{second.judge} ({second.version})",
        "n": len(pairs),
        "spearman": rho,
        "low": low,
        "high": high,
        "mean absolute difference": float(np.abs(one - two).mean()),
    }
