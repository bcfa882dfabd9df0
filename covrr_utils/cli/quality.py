"""The commands on reasoning quality: ``covrr score``, ``covrr report``, ``covrr mine``."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from covrr_utils import paths
from covrr_utils.cli.options import Command, Request
from covrr_utils.cli.printing import say, say_json
from covrr_utils.experiments.options import OneOf, Options, Text, Whole
from covrr_utils.reasoning.strategies import STRATEGIES

if TYPE_CHECKING:
    from covrr_utils.experiments.run import Run
    from covrr_utils.judging.judges import Judge

OWN_JUDGES = ("slots", "overlap", "outcome")

MODEL_JUDGES = ("backbone", "endpoint")

JUDGE_NAMES = (*OWN_JUDGES, *MODEL_JUDGES)

GOLD = "gold"

WHERE = "where to write (default: in the run's folder below runs, in quality)"


class ScoreOptions(Options):
    """Who judges."""

    judge: Annotated[str, BeforeValidator(OneOf(names=JUDGE_NAMES))] = Field(
        "slots", description="the judge"
    )
    against: Annotated[str | None, BeforeValidator(OneOf(names=JUDGE_NAMES, optional=True))] = (
        Field(None, description="a second judge; prints how far the two agree")
    )
    model: Annotated[str | None, BeforeValidator(Text(optional=True))] = Field(
        None, description="the backbone or embedded judge that judges, or the endpoint's model"
    )
    url: Annotated[str | None, BeforeValidator(Text(optional=True, stands_for="ADDRESS"))] = Field(
        None,
        description="address of an OpenAI-compatible endpoint; its key comes from COVRR_JUDGE_KEY",
    )
    unstructured: bool = Field(False, description="for endpoints that know no JSON schema")
    sabotage: bool = Field(
        False,
        description="also score another's, mixed-up, unchanged and empty traces: they must score"
        " low",
    )
    as_json: bool = Field(False, alias="json", description="for machines: a list of objects")


class ReportOptions(Options):
    """What the page shows, and where it goes."""

    strategy: Annotated[
        str | None, BeforeValidator(OneOf(names=tuple(STRATEGIES), optional=True))
    ] = Field(None, description="the strategy whose failures are shown (default: the last one)")
    hits: bool = Field(False, description="show found triplets too")
    to: Annotated[Path | None, BeforeValidator(Text(optional=True, stands_for="FILE"))] = Field(
        None, description=WHERE
    )


class MineOptions(Options):
    """From what distractors are mined, and how many."""

    traces: Annotated[str, BeforeValidator(OneOf(names=(GOLD, *STRATEGIES)))] = Field(
        GOLD, description="whose traces: the gold ones, or those that a strategy writes"
    )
    per_kind: Annotated[int, BeforeValidator(Whole())] = Field(
        3, description="at most so many of each kind"
    )
    slack: Annotated[int, BeforeValidator(Whole(least=0))] = Field(
        0, description="how many values of a video may fit nowhere"
    )
    to: Annotated[Path | None, BeforeValidator(Text(optional=True, stands_for="FILE"))] = Field(
        None, description=WHERE
    )


def _judge(name: str, own: ScoreOptions, run: Run) -> Judge:
    """The judge of that name, with the model it needs."""
    from covrr_utils.judging.judges import JUDGES
    from covrr_utils.judging.model_judge import backbone_judge, endpoint_judge

    if name in JUDGES:
        return JUDGES[name]()
    model, url = own.model, own.url
    if model is None or (name == "endpoint" and url is None):
        needs = "--model NAME and --url ADDRESS (such as http://localhost:8000/v1)"
        if name == "backbone":
            from covrr_utils.backbones.registry import judge_models

            needs = (
                "--model NAME: a backbone, or for the mini world an embedded judge"
                f" ({', '.join(judge_models())})"
            )
        raise ValueError(f"the judge {name!r} needs {needs}")
    if url is not None and name == "endpoint":
        return endpoint_judge(model, url, run.config.seed, not own.unstructured)
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.registry import notice

    model = run.config.replace(backbone=model).backbone  # a path means the caller's folder
    if limit := notice(model, run.benchmark.kind):
        say(limit, error=True)
    backbone = run.backbone if model == run.config.backbone else Backbone.load(model)
    return backbone_judge(backbone, run.clip, run.config.seed)


def _say_what_is_new(run: Run, strategies: Sequence[str]) -> None:
    """One sentence, if strategies have no result under just these options: they are run first,
    which takes its time, or is not what was meant.
    """
    from covrr_utils.experiments.places import result_name

    config, new = run.config, []
    for strategy in strategies:
        method = run.method(strategy, config.pooling, config.scheme, config.source)
        if not (run.folder / result_name(method)).is_file():
            new.append(strategy)
    if new:
        say(
            f"{' and '.join(new)} {'has' if len(new) == 1 else 'have'} no result yet with these"
            f" options on {run.benchmark.name}; running now",
            error=True,
        )


def score(own: ScoreOptions, request: Request) -> int:
    """Measure the Reasoning Score of every strategy, the validity of its traces and their relation
    to R@1.
    """
    from covrr_utils.experiments.run import Run

    run = Run(request.config)
    judge = _judge(own.judge, own, run)
    against = _judge(own.against, own, run) if own.against else None
    _say_what_is_new(run, run.config.strategies)
    rows = [
        _scored(run, strategy, judge, against, own.sabotage) for strategy in run.config.strategies
    ]
    if own.as_json:
        say_json(rows)
        return 0
    for row in rows:
        say("\n".join(_lines(row)))
    return 0


def _scored(
    run: Run, strategy: str, judge: Judge, against: Judge | None, sabotage: bool
) -> dict[str, Any]:
    """All that is measured of one strategy; where it writes no traces, a note that says so."""
    from covrr_utils.judging import scoring
    from covrr_utils.judging.sabotage import sabotaged
    from covrr_utils.judging.trace_quality import quality_and_retrieval

    result = run.evaluate(strategy)
    row = {
        "strategy": strategy,
        "recall@1": result.recall["1"],
        "interval@1": result.interval["1"],
        "validity": result.validity,
    }
    try:
        reasoning = scoring.score(run, strategy, judge)
    except scoring.NoTraces as error:
        return row | {"note": str(error)}
    file = scoring.save_score(reasoning, run)
    row |= reasoning.summary() | {"line": reasoning.line(), "file": paths.relative(file)}
    if reasoning.judged:
        row["spearman with 1/rank"] = _measured(quality_and_retrieval(reasoning, result)[0])
    if against:
        other = scoring.score(run, strategy, against)
        row["agreement"] = _measured(scoring.agreement(reasoning, other))
    if sabotage:
        tried = {
            name: scoring.judged(judge, changed)
            for name, changed in sabotaged(scoring.cases(run, strategy)).items()
        }
        row["sabotage"] = {
            name: scoring.summary(judge, verdicts, strategy, "", "").mean
            for name, verdicts in tried.items()
            if verdicts
        }
    return row


def _lines(row: dict) -> list[str]:
    """One strategy's scores for people."""
    low, high = (100 * bound for bound in row["interval@1"])
    lines = [
        row.get("line") or row["note"],
        f"  R@1 {100 * row['recall@1']:.2f} [{low:.2f}, {high:.2f}]",
    ]
    if validity := row["validity"]:
        lines.append(
            "  traces: {valid} valid, {repaired} repaired, {unusable} unusable of {texts}".format(
                **validity
            )
        )
        lines += [
            f"    {count} x {repair}" for repair, count in list(validity["repairs"].items())[:5]
        ]
    lines += [f"  {count} x {cause}" for cause, count in row.get("causes", {}).items()]
    if row.get("parts"):
        parts = ", ".join(f"{name} {value:.2f}" for name, value in row["parts"].items())
        lines += textwrap.wrap(parts, 98, initial_indent="  ", subsequent_indent="  ")
    if relation := row.get("spearman with 1/rank"):
        lines.append(f"  score and 1/rank: {_rho(relation)}")
    if agreement := row.get("agreement"):
        lines.append(
            f"  agreement with {agreement['second']}: {_rho(agreement)}, mean absolute difference"
            f" {agreement['mean absolute difference']:.2f}"
        )
    lines += [f"  {name}: {value:.2f}" for name, value in row.get("sabotage", {}).items()]
    lines += [f"  every verdict: {row['file']}"] if "file" in row else []
    return lines


def _measured(relation: dict) -> dict:
    """The same with None where a number is undefined."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in relation.items()
    }


def _rho(relation: dict) -> str:
    """A rank correlation with its interval, in words."""
    if relation["spearman"] is None:
        return f"no rho, one of the two does not vary, n {relation['n']}"
    return "Spearman's rho {spearman:.2f} [{low:.2f}, {high:.2f}], n {n}".format(**relation)


def report(own: ReportOptions, request: Request) -> int:
    """Write the failure gallery of one strategy, as one HTML page that opens from disk."""
    from covrr_utils.experiments.run import Run
    from covrr_utils.judging.diagnostics import diagnose, misses_by_kind, misses_by_stage
    from covrr_utils.judging.failure_page import write_failure_page

    run = Run(request.config)
    strategy = own.strategy or run.config.strategies[-1]
    _say_what_is_new(run, [strategy])
    result = run.evaluate(strategy)
    path = write_failure_page(run, result, own.hits, own.to)
    diagnoses = diagnose(run, result)
    for shares in (misses_by_kind(diagnoses), misses_by_stage(diagnoses)):
        say(f"{shares.round(1).to_string(index=False)}\n")
    say(f"{paths.relative(path)} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser")
    return 0


def mine(own: MineOptions, request: Request) -> int:
    """Mine hard distractors for every triplet, from what the gallery's descriptions say."""
    from covrr_utils.experiments.places import output_name
    from covrr_utils.experiments.run import Run
    from covrr_utils.files import write_json
    from covrr_utils.judging.distractors import MINED, compared_with_labels, mine_run

    run = Run(request.config)
    if own.traces != GOLD:
        _say_what_is_new(run, [own.traces])
    mined = mine_run(run, own.traces, own.per_kind, own.slack)
    more = [f"per_kind-{own.per_kind}", f"slack-{own.slack}"]
    name = output_name("distractors", run.method(own.traces), *more)
    path = own.to or run.quality_folder / name
    rows = {item.triplet: {"distractors": item.distractors, "twins": item.twins} for item in mined}
    write_json(path, rows)
    for kind in MINED:
        say(f"{kind:13} {sum(len(item.distractors.get(kind, [])) for item in mined):6}")
    say(
        f"{len(mined)} of {len(run.benchmark.triplets)} triplets;"
        f" {sum(bool(item.twins) for item in mined)} have twins, to be looked at by hand"
    )
    if any(triplet.distractors for triplet in run.benchmark.triplets):
        compared = compared_with_labels(mined, run.benchmark.triplets)
        say(f"\nlabelled distractors found:\n{compared.to_string(index=False)}\n")
    say(
        f"{paths.relative(path)}: each triplet's distractors, as the key 'distractors' of a"
        " label row"
    )
    return 0


COMMANDS = {
    "score": Command(score, ScoreOptions),
    "report": Command(report, ReportOptions, leaves=("strategies",)),
    "mine": Command(mine, MineOptions, leaves=("strategies",)),
}
