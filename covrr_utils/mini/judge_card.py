"""Writes the mini judge's card from what is so: its recipe, and how far it agrees with the exact judge, measured now.

``python -m covrr_utils.mini.judge_card`` judges the traces of every mini backbone, as written and spoiled on purpose (what was judged before
is taken from the store), and writes ``README.md`` and ``agreement.csv`` into the judge's folder.
"""

from __future__ import annotations

import json

import pandas as pd

from covrr_utils import metrics, paths
from covrr_utils.mini.card import markdown, stage_table
from covrr_utils.mini.judging import JUDGEMENTS, rubric_scores
from covrr_utils.mini.model import JUDGES
from covrr_utils.rubric import DIMENSIONS, RUBRIC_VERSION
from covrr_utils.store import write_atomically

NAME = "mini-judge"
SPOILED = 100  # traces of each kind of sabotage
CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: video-text-to-text
---

# {name}

A judge of reasoning traces for the mini world: `{beginning}`, trained further until it answers the workbook's rubric ({version}, ten dimensions,
`covrr_utils/rubric.py`). {parameters:,} parameters, bfloat16 safetensors, the same architecture and tokenizer. It loads like any backbone:

    covrr score --judge backbone --model {name} --against slots --sabotage

It exists so that the model judge can be taught, tested and run on a laptop. It knows the mini world and nothing else, and it is no backbone: it
has forgotten how to write traces and descriptions.

## Training

`python -m covrr_utils.mini.train {name}` (`JUDGES` in `covrr_utils/mini/model.py`), on two processor cores, {minutes} minutes.

{stages}

{judgements:,} judgements of {clips:,} clips, each seen once, {each} of a clip. The vision tower is frozen; the optimizer is that of the backbones.
The second stage was added when another video's traces still scored 3.9 after the first (25 gold traces of the validation split; truth 3.0).

- **What it reads**: what every judge reads, the clip, the edit, a text of what is seen before, a text of what is seen after, and a trace. In the
  mini world both texts are complete, so judging is comparing. Without them it was never asked, and its numbers mean nothing.
- **What it was told**: the ten numbers that `covrr_utils/mini/judging.py` computes from the gold trace. No model and no person gave them.
- **Traces**: right ones (20 %), some values wrong (40 %), another video's (14 %), unchanged (10 %), the edit taken literally (8 %), slots mixed
  up (8 %); now and then an assertion that nobody can see, one said twice, or one left out.
- **Never**: a clip or world state of the benchmark's two splits as reference or target; a trace that a model wrote. Another video's trace, or one
  with wrong values, may happen to tell of such a state.

It has practised on all kinds of spoiled traces below: that it rejects them shows that it learned what it was taught, on clips it has not met. The
mistakes that the backbones make in the rows *as written* it has never seen.

## Measured

*Measured here, mini*, `python -m covrr_utils.mini.judge_card`; the same numbers are in `agreement.csv`. Traces of two_stage: all 400 as written, the
first {spoiled} of each kind of sabotage. `score` is the mean of the judge's scores, `truth` the mean of the numbers that it should have given
(`rubric_scores`), `slots` that of the exact judge, whose scale weighs otherwise; `rho` is Spearman's, of this judge and `slots`, with its bootstrap
95 % interval over the n judgements; `numbers right` the share of the ten numbers that are exactly `truth`;
`7 or more` the share of traces with such a score.

{agreement}

`all of these` pools the rows above it: that rho says how well the judge tells right from wrong. In the rows *as written* most traces are
right and score 10 under both, so that rho is about the few that are not.

Of its ten numbers, over all the traces above, these shares are exactly right. It compares single values well; the two shares over all values
(effect_factuality, step_consistency) it only estimates. It can be fooled: one in eight of other videos' traces passes with 7 or more, mostly such as
change almost the same slots as the right one does (at most one slot differs: 8 of 21; more: 4 of 79; traces of mini-3m).

{dimensions}
"""


def measured() -> tuple[pd.DataFrame, dict[str, float]]:
    """How far the judge agrees with ``slots`` and its truth, by backbone and kind of trace, and the share of right numbers by dimension."""
    from covrr_utils.backbone import Backbone, backbones
    from covrr_utils.config import RunConfig
    from covrr_utils.experiment import Run
    from covrr_utils.judges import SlotsJudge
    from covrr_utils.model_judge import backbone_judge
    from covrr_utils.scoring import cases, judged, sabotaged

    judge_model = Backbone.load(NAME, device="cpu")
    rows, everything = [], []
    for backbone in backbones():
        run = Run(RunConfig(benchmark="mini", backbone=backbone))
        judge, pooled = backbone_judge(judge_model, run.clip), []
        for kind, traces in sabotaged(cases(run, "two_stage")).items():
            if kind == "empty":
                continue  # 0 under every judge, without being asked
            asked = traces if kind == "as written" else traces[:SPOILED]
            exact = [verdict.score for verdict in judged(SlotsJudge(), asked)]
            truths = [rubric_scores(case.trace, case.gold) for case in asked]
            found = [(verdict, score, truth) for verdict, score, truth in zip(judged(judge, asked), exact, truths) if verdict.score is not None]
            rows.append({"backbone": backbone, "traces": kind} | _agreement(found))
            pooled += found
        rows.append({"backbone": backbone, "traces": "all of these"} | _agreement(pooled))
        everything += pooled
    shares = {name: sum(verdict.parts[name] == truth[name] for verdict, _, truth in everything) / len(everything) for name in DIMENSIONS}
    return pd.DataFrame(rows), shares


def _agreement(found: list) -> dict[str, float | int]:
    """One row's numbers from its (verdict, exact score, truth) triples."""
    scores, exact = [verdict.score for verdict, _, _ in found], [score for _, score, _ in found]
    rho, low, high = metrics.rank_correlation(scores, exact)
    numbers = [verdict.parts[name] == truth[name] for verdict, _, truth in found for name in DIMENSIONS]
    truths = [sum(truth.values()) / len(truth) for _, _, truth in found]
    return {
        "n": len(found), "score": sum(scores) / len(found), "truth": sum(truths) / len(found), "slots": sum(exact) / len(found),
        "rho": rho, "low": low, "high": high, "numbers right": sum(numbers) / len(numbers),
        "7 or more": sum(score >= 7 for score in scores) / len(scores),
    }


def card(agreement: pd.DataFrame, dimensions: pd.DataFrame, parameters: int, seconds: int) -> str:
    """The text of the card."""
    recipe = JUDGES[NAME]
    clips = sum(stage.steps * stage.batch for stage in recipe.stages)
    return CARD.format(
        name=NAME, beginning=recipe.beginning, version=RUBRIC_VERSION, parameters=parameters, minutes=round(seconds / 60),
        stages=markdown(stage_table(recipe)), judgements=clips * JUDGEMENTS, clips=clips, each=JUDGEMENTS, spoiled=SPOILED,
        agreement=markdown(_shown(agreement)), dimensions=markdown(_shown(dimensions)),
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with two decimals, shares with three, as texts; a dash where there is no number."""
    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return "–" if value != value else f"{value:.3f}" if "right" in name or "more" in name else f"{value:.2f}"

    return table.apply(lambda column: column.map(lambda value: text(str(column.name), value)))


def main() -> None:
    from covrr_utils.backbone import Backbone

    agreement, shares = measured()
    dimensions = pd.DataFrame({"dimension": list(shares), "right": list(shares.values())}).round(6)
    agreement = agreement.round(6)
    folder = paths.judges_dir() / NAME
    seconds = json.loads((folder / "training.jsonl").read_text().splitlines()[-1])["seconds"]
    write_atomically(folder / "agreement.csv", agreement.to_csv(index=False, lineterminator="\n").encode())
    write_atomically(folder / "dimensions.csv", dimensions.to_csv(index=False, lineterminator="\n").encode())
    text = card(agreement, dimensions, Backbone.load(NAME, device="cpu").parameters(), seconds)
    write_atomically(folder / "README.md", text.encode())


if __name__ == "__main__":
    main()
