"""What the mini judge says of the traces of a run, judgement by judgement, and how far that agrees
with the exact judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from covrr_utils.frames import pd
from covrr_utils.judging.judges import SlotsJudge
from covrr_utils.judging.rubric import DIMENSIONS
from covrr_utils.mini.judgements import rubric_scores
from covrr_utils.retrieval import metrics
from covrr_utils.traces.trace import ReasoningTrace

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.experiments.run import Run
    from covrr_utils.judging.judges import Case, Verdict

ALL = "all of these"

SPOILED = 100  # traces of each kind of sabotage


@dataclass(frozen=True)
class Opinion:
    """What is thought of one trace: the judge's score and ten numbers, the numbers that it should
    have given, and the score of the exact judge ``slots``.

    ``like`` says that almost the same slots change in the trace as in the right one: at most one
    differs.
    """

    score: float
    numbers: Mapping[str, float]
    truth: Mapping[str, int]
    exact: float
    like: bool


def chosen_cases(run: Run) -> dict[str, list[Case]]:
    """The traces of a run's two_stage that are judged, by kind: all as written, the first `SPOILED`
    of each kind of sabotage. Empty ones are left out: they score 0 under every judge, unasked.
    """
    from covrr_utils.judging.sabotage import sabotaged
    from covrr_utils.judging.scoring import cases

    return {
        kind: traces if kind == "as written" else traces[:SPOILED]
        for kind, traces in sabotaged(cases(run, "two_stage")).items()
        if kind != "empty"
    }


def opinion_rows(
    run: Run, model: Backbone, cases: Mapping[str, Sequence[Case]] | None = None
) -> pd.DataFrame:
    """What the judge says of these ``cases`` of a run, by default of all `chosen_cases`: a row a
    judgement, with backbone, kind of trace, triplet, the judge's ten numbers, the truth's
    (``right: ...``), the score of ``slots`` and whether like slots change. Traces that the judge
    could not score are left out.
    """
    from covrr_utils.judging.model_judge import backbone_judge
    from covrr_utils.judging.scoring import judged

    judge, rows = backbone_judge(model, run.clip), []
    for kind, traces in (chosen_cases(run) if cases is None else cases).items():
        for case, verdict in zip(traces, judged(judge, traces)):
            opinion = opinion_of(case, verdict)
            if opinion is not None:
                rows.append(
                    {
                        "backbone": run.backbone.name,
                        "traces": kind,
                        "triplet": case.id,
                        **{name: int(opinion.numbers[name]) for name in DIMENSIONS},
                        **{f"right: {name}": opinion.truth[name] for name in DIMENSIONS},
                        "slots": round(opinion.exact, 6),
                        "like": opinion.like,
                    }
                )
    return pd.DataFrame(rows)


def opinions_in(rows: pd.DataFrame) -> list[Opinion]:
    """The rows of `opinion_rows` as opinions."""
    opinions = []
    for row in rows.to_dict("records"):
        numbers = {name: row[name] for name in DIMENSIONS}
        truth = {name: row[f"right: {name}"] for name in DIMENSIONS}
        score = sum(numbers.values()) / len(numbers)
        opinions.append(Opinion(score, numbers, truth, row["slots"], row["like"]))
    return opinions


def by_kind(rows: pd.DataFrame) -> dict[str, list[Opinion]]:
    """One backbone's opinions by kind of trace; the last kind is all of them together.

    Another's traces are also shown apart: those in which almost the same slots change as in the
    right one (at most one differs), and the others.
    """
    opinions = {
        kind: opinions_in(rows[rows["traces"] == kind]) for kind in dict.fromkeys(rows["traces"])
    }
    everything = [opinion for kind in opinions.values() for opinion in kind]
    another = opinions["another's"]
    opinions["another's, like changes"] = [opinion for opinion in another if opinion.like]
    opinions["another's, other changes"] = [opinion for opinion in another if not opinion.like]
    return opinions | {ALL: everything}


def opinion_of(case: Case, verdict: Verdict) -> Opinion | None:
    """The judge's verdict beside what is right; None where the judge gave no score, or where there
    is no gold trace to compare with.
    """
    exact = SlotsJudge().verdict(case).score
    if verdict.score is None or exact is None or case.trace is None or case.gold is None:
        return None
    return Opinion(
        verdict.score,
        verdict.parts,
        rubric_scores(case.trace, case.gold),
        exact,
        len(changing(case.trace) ^ changing(case.gold)) <= 1,
    )


def changing(trace: ReasoningTrace) -> set[str]:
    """The slots in which something changes."""
    return {slot for slot, before, after in trace.rows() if before != after}


def agreement_of(opinions: Sequence[Opinion]) -> dict[str, float | int]:
    """How far the judge agrees with ``slots`` and with the numbers the gold trace asks for."""
    scores = [opinion.score for opinion in opinions]
    exact = [opinion.exact for opinion in opinions]
    rho, low, high = metrics.rank_correlation(scores, exact)
    right = [
        opinion.numbers[name] == opinion.truth[name] for opinion in opinions for name in DIMENSIONS
    ]
    return {
        "n": len(opinions),
        "score": float(np.mean(scores)),
        "truth": float(np.mean([list(opinion.truth.values()) for opinion in opinions])),
        "slots": float(np.mean(exact)),
        "rho": rho,
        "low": low,
        "high": high,
        "numbers right": float(np.mean(right)),
        "7 or more": float(np.mean([score >= 7 for score in scores])),
    }


def tables(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """From the rows of all judgements: how far the judge agrees with ``slots`` and its truth, by
    backbone and kind of trace; and the share of right numbers by dimension.
    """
    agreement = [
        {"backbone": backbone, "traces": kind, **agreement_of(opinions)}
        for backbone in dict.fromkeys(rows["backbone"])
        for kind, opinions in by_kind(rows[rows["backbone"] == backbone]).items()
    ]
    everything = opinions_in(rows)
    right = {
        name: sum(opinion.numbers[name] == opinion.truth[name] for opinion in everything)
        for name in DIMENSIONS
    }
    shares = pd.DataFrame(
        {"dimension": list(right), "right": [count / len(everything) for count in right.values()]}
    )
    return pd.DataFrame(agreement).round(6), shares.round(6)
