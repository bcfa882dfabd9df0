"""The commands on reasoning quality: ``covrr score``, ``covrr report``, ``covrr mine``."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from pathlib import Path

from covrr_utils import paths

OWN_JUDGES = ("slots", "overlap", "outcome")

MODEL_JUDGES = ("backbone", "endpoint")


def _run(arguments: argparse.Namespace):
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run

    return Run(
        RunConfig(
            benchmark=arguments.benchmark,
            backbone=arguments.backbone,
            seed=arguments.seed,
            limit=arguments.limit,
            grammar=arguments.grammar,
        )
    )


def _judge(name: str, arguments: argparse.Namespace, run):
    """The judge of that name, with the model it needs."""
    from covrr_utils.judging.judges import JUDGES
    from covrr_utils.judging.model_judge import backbone_judge, endpoint_judge

    if name in JUDGES:
        return JUDGES[name]()
    if arguments.model is None or (name == "endpoint" and arguments.url is None):
        needs = "--model NAME and --url ADDRESS (such as http://localhost:8000/v1)"
        if name == "backbone":
            from covrr_utils.backbones.registry import judge_models

            needs = (
                "--model NAME: a backbone, or for the mini world an embedded judge"
                f" ({', '.join(judge_models())})"
            )
        raise ValueError(f"the judge {name!r} needs {needs}")
    if name == "endpoint":
        return endpoint_judge(
            arguments.model, arguments.url, arguments.seed, not arguments.unstructured
        )
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.registry import notice

    if limit := notice(arguments.model, run.benchmark.kind):
        print(limit, file=sys.stderr)
    backbone = (
        run.backbone if arguments.model == run.config.backbone else Backbone.load(arguments.model)
    )
    return backbone_judge(backbone, run.clip, arguments.seed)


def command_score(arguments: argparse.Namespace) -> int:
    """Reasoning Score, validity of the traces and relation to R@1, for every strategy."""
    from covrr_utils.judging.sabotage import sabotaged
    from covrr_utils.judging.scoring import (
        NoTraces,
        agreement,
        cases,
        judged,
        save_score,
        score,
        summary,
    )
    from covrr_utils.judging.trace_quality import quality_and_retrieval

    run = _run(arguments)
    judge = _judge(arguments.judge, arguments, run)
    against = _judge(arguments.against, arguments, run) if arguments.against else None
    rows = []
    for strategy in arguments.strategies:
        result = run.evaluate(strategy)
        row = {
            "strategy": strategy,
            "recall@1": result.recall["1"],
            "interval@1": result.interval["1"],
            "validity": result.validity,
        }
        try:
            found = score(run, strategy, judge)
        except NoTraces as error:
            rows.append(row | {"note": str(error)})
            continue
        row |= found.summary() | {
            "line": found.line(),
            "file": paths.relative(save_score(found, run)),
        }
        if found.judged:
            row["spearman with 1/rank"] = _measured(quality_and_retrieval(found, result)[0])
        if against:
            row["agreement"] = _measured(agreement(found, score(run, strategy, against)))
        if arguments.sabotage:
            tried = {
                name: judged(judge, changed)
                for name, changed in sabotaged(cases(run, strategy)).items()
            }
            row["sabotage"] = {
                name: summary(judge, verdicts, strategy, "", "").mean
                for name, verdicts in tried.items()
                if verdicts
            }
        rows.append(row)
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        print("\n".join(_lines(row)))
    return 0


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
        lines += textwrap.wrap(parts, 110, initial_indent="  ", subsequent_indent="  ")
    if found := row.get("spearman with 1/rank"):
        lines.append(f"  score and 1/rank: {_rho(found)}")
    if found := row.get("agreement"):
        lines.append(
            f"  agreement with {found['second']}: {_rho(found)}, mean absolute difference"
            f" {found['mean absolute difference']:.2f}"
        )
    lines += [f"  {name}: {value:.2f}" for name, value in row.get("sabotage", {}).items()]
    lines += [f"  every verdict: {row['file']}"] if "file" in row else []
    return lines


def _measured(found: dict) -> dict:
    """The same with None where a number is undefined."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in found.items()
    }


def _rho(found: dict) -> str:
    if found["spearman"] is None:
        return f"no rho, one of the two does not vary, n {found['n']}"
    return "Spearman's rho {spearman:.2f} [{low:.2f}, {high:.2f}], n {n}".format(**found)


def command_report(arguments: argparse.Namespace) -> int:
    """The failure gallery of one strategy, as one HTML page."""
    from covrr_utils.judging.diagnostics import diagnose, misses_by_kind, misses_by_stage
    from covrr_utils.judging.failure_page import write_failure_page

    run = _run(arguments)
    result = run.evaluate(arguments.strategy)
    path = write_failure_page(run, result, arguments.hits, arguments.to)
    diagnoses = diagnose(run, result)
    for shares in (misses_by_kind(diagnoses), misses_by_stage(diagnoses)):
        print(f"{shares.round(1).to_string(index=False)}\n")
    print(f"{paths.relative(path)} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser")
    return 0


def command_mine(arguments: argparse.Namespace) -> int:
    """Hard distractors for every triplet, from what the gallery descriptions say."""
    from covrr_utils.files import write_json
    from covrr_utils.judging.distractors import MINED, compared_with_labels, mine_run

    run = _run(arguments)
    mined = mine_run(run, arguments.traces, arguments.per_kind, arguments.slack)
    path = arguments.to or run.quality_folder / f"distractors__{arguments.traces}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {item.triplet: {"distractors": item.distractors, "twins": item.twins} for item in mined}
    write_json(path, rows)
    for kind in MINED:
        print(f"{kind:13} {sum(len(item.distractors.get(kind, [])) for item in mined):6}")
    print(
        f"{len(mined)} of {len(run.benchmark.triplets)} triplets;"
        f" {sum(bool(item.twins) for item in mined)} have twins, to be looked at by hand"
    )
    if any(triplet.distractors for triplet in run.benchmark.triplets):
        compared = compared_with_labels(mined, run.benchmark.triplets)
        print(f"\nlabelled distractors found:\n{compared.to_string(index=False)}\n")
    print(
        f"{paths.relative(path)}: each triplet's distractors, as the key 'distractors' of a"
        " label row"
    )
    return 0


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the three commands to the command line."""
    score = commands.add_parser(
        "score", help="the Reasoning Score of strategies, validity of traces, relation to R@1"
    )
    score.add_argument(
        "--strategies", nargs="+", metavar="NAME", default=["single_stage", "two_stage"]
    )
    score.add_argument(
        "--judge", choices=[*OWN_JUDGES, *MODEL_JUDGES], default="slots", help="(default: slots)"
    )
    score.add_argument(
        "--against",
        choices=[*OWN_JUDGES, *MODEL_JUDGES],
        help="a second judge; prints how far the two agree",
    )
    score.add_argument(
        "--model", help="the backbone or embedded judge that judges, or the endpoint's model"
    )
    score.add_argument(
        "--url", help="address of an OpenAI-compatible endpoint; its key comes from COVRR_JUDGE_KEY"
    )
    score.add_argument(
        "--unstructured", action="store_true", help="for endpoints that know no JSON schema"
    )
    score.add_argument(
        "--sabotage",
        action="store_true",
        help="also score another's, mixed-up, unchanged and empty traces: they must score low",
    )
    score.add_argument("--json", action="store_true", help="for machines: a list of objects")
    score.set_defaults(call=command_score)
    report = commands.add_parser(
        "report", help="the failure gallery: one HTML page that opens from disk"
    )
    report.add_argument("--strategy", default="two_stage", help="(default: two_stage)")
    report.add_argument("--hits", action="store_true", help="show found triplets too")
    report.set_defaults(call=command_report)
    mine = commands.add_parser(
        "mine", help="hard distractors for any benchmark, from its gallery's descriptions"
    )
    mine.add_argument(
        "--traces",
        default="gold",
        metavar="SOURCE",
        help="gold, or a strategy that writes traces (default: gold)",
    )
    mine.add_argument(
        "--per-kind", type=int, default=3, help="at most so many of each kind (default: 3)"
    )
    mine.add_argument(
        "--slack",
        type=int,
        default=0,
        help="how many values of a video may fit nowhere (default: 0)",
    )
    mine.set_defaults(call=command_mine)
    for sub in (report, mine):
        sub.add_argument(
            "--to",
            type=Path,
            metavar="FILE",
            help="where to write (default: in runs/<benchmark>/<backbone>/quality)",
        )
    for sub in (score, report, mine):
        sub.add_argument(
            "--benchmark",
            default="mini",
            help="embedded benchmark or path of a .benchmark.json (default: mini)",
        )
        sub.add_argument(
            "--backbone",
            default="mini-3m",
            help="embedded backbone, checkpoint folder or hub id (default: mini-3m)",
        )
        sub.add_argument(
            "--seed", type=int, default=0, help="seed of everything that is sampled (default: 0)"
        )
        sub.add_argument(
            "--limit", type=int, default=None, help="only the first N triplets (default: all)"
        )
        sub.add_argument(
            "--grammar",
            default=None,
            help="constrain the traces: lines or json (default: not constrained)",
        )
