"""Writes the mini judge's card from what is so: its recipe, and how far it agrees with the exact
judge, measured now.

``python -m covrr_utils.mini.judge_card`` judges the traces of every mini backbone, as written and
spoiled on purpose (what was judged before is taken from the store), and writes ``README.md``,
``opinions.csv`` (a row a judgement), ``agreement.csv`` and ``dimensions.csv`` into the judge's
folder.
"""

from __future__ import annotations

import json

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.frames import pd
from covrr_utils.judging.rubric import RUBRIC_VERSION
from covrr_utils.mini.card import markdown, stage_table
from covrr_utils.mini.judge_opinions import SPOILED, opinion_rows, tables
from covrr_utils.mini.judgements import JUDGEMENTS
from covrr_utils.mini.recipes import JUDGE_RECIPES
from covrr_utils.spreadsheet import csv_bytes

NAME = "mini-judge"

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: video-text-to-text
---

# {name}

A judge of reasoning traces for the mini world: `{beginning}`, trained further until it answers the
workbook's rubric ({version}, ten dimensions, `covrr_utils/judging/rubric.py`). {parameters:,}
parameters, bfloat16 safetensors, the same architecture and tokenizer. It loads like any backbone:

    covrr score --judge backbone --model {name} --against slots --sabotage

It exists so that the model judge can be taught, tested and run on a laptop. It knows the mini world
and nothing else, and it is no backbone: it has forgotten how to write traces and descriptions.

## Training

`python -m covrr_utils.mini.train {name}` (`JUDGE_RECIPES` in `covrr_utils/mini/recipes.py`), on
two processor cores, {minutes} minutes.

{stages}

{judgements:,} judgements of {clips:,} clips, each seen once, {each} of a clip. The vision tower is
frozen; the optimizer is that of the backbones. The second stage was added because another video's
traces still scored too high after the first.

- **What it reads**: what every judge reads, the clip, the edit, a text of what is seen before, a
  text of what is seen after, and a trace. In the mini world both texts are complete, so judging is
  comparing. Without them it was never asked, and its numbers mean nothing.
- **What it was told**: the ten numbers that `covrr_utils/mini/judgements.py` computes from the gold
  trace. No model and no person gave them.
- **Traces**: right ones (20 %), some values wrong (40 %), another video's (14 %), unchanged (10 %),
  the edit taken literally (8 %), slots mixed up (8 %); now and then an assertion that nobody can
  see, one said twice, or one left out.
- **Never**: a clip or world state of the benchmark's two splits as reference or target; a trace
  that a model wrote. Another video's trace, or one with wrong values, may happen to tell of such a
  state.

It has practised on all kinds of spoiled traces below: that it rejects them shows that it learned
what it was taught, on clips it has not met. The mistakes that the backbones make in the rows *as
written* it has never seen.

## Measured

*Measured here, mini*, `python -m covrr_utils.mini.judge_card`; the same numbers are in
`agreement.csv` and `dimensions.csv`, every judgement is in `opinions.csv`. Traces of two_stage: all
400 as written, the first {spoiled} of each kind of sabotage. `score` is the mean of the judge's
scores, `truth` the mean of the numbers that it should have given (`rubric_scores`), `slots` that of
the exact judge, whose scale weighs otherwise; `rho` is Spearman's, of this judge and `slots`, with
its bootstrap 95 % interval over the n judgements; `numbers right` the share of the ten numbers that
are exactly `truth`; `7 or more` the share of traces with such a score.

{agreement}

`another's` is also split: *like changes* are traces in which almost the same slots change as in the
right one (at most one differs). `all of these` pools the four kinds: that rho says how well the
judge tells right from wrong. In the rows *as written* most traces are right and score 10 under
both, so that rho is about the few that are not.

Of its ten numbers, over all the traces above, these shares are exactly right. It compares single
values well; the two shares over all values (effect_factuality, step_consistency) it only estimates.
It can be fooled: about one in eight of other videos' traces passes with 7 or more, and far more of
those with like changes.

{dimensions}
"""


def measured() -> pd.DataFrame:
    """What the judge says of the traces of every backbone, see `opinion_rows`."""
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.registry import list_backbones
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run

    model = Backbone.load(NAME, device="cpu")
    return pd.concat(
        [
            opinion_rows(Run(RunConfig(benchmark="mini", backbone=backbone)), model)
            for backbone in list_backbones()
        ],
        ignore_index=True,
    )


def card(agreement: pd.DataFrame, dimensions: pd.DataFrame, parameters: int, seconds: int) -> str:
    """The text of the card."""
    recipe = JUDGE_RECIPES[NAME]
    clips = sum(stage.steps * stage.batch for stage in recipe.stages)
    return CARD.format(
        name=NAME,
        beginning=recipe.beginning,
        version=RUBRIC_VERSION,
        parameters=parameters,
        minutes=round(seconds / 60),
        stages=markdown(stage_table(recipe)),
        judgements=clips * JUDGEMENTS,
        clips=clips,
        each=JUDGEMENTS,
        spoiled=SPOILED,
        agreement=markdown(_shown(agreement)),
        dimensions=markdown(_shown(dimensions)),
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with two decimals, shares with three, as texts; a dash where there is no number."""

    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return (
            "–"
            if value != value
            else f"{value:.3f}"
            if "right" in name or "more" in name
            else f"{value:.2f}"
        )

    return table.apply(lambda column: column.map(lambda value: text(str(column.name), value)))


def main() -> None:
    from covrr_utils.backbones.backbone import Backbone

    rows, folder = measured(), paths.judges_dir() / NAME
    agreement, dimensions = tables(rows)
    seconds = json.loads((folder / "training.jsonl").read_text().splitlines()[-1])["seconds"]
    write_atomically(folder / "opinions.csv", csv_bytes(rows))
    write_atomically(folder / "agreement.csv", csv_bytes(agreement))
    write_atomically(folder / "dimensions.csv", csv_bytes(dimensions))
    text = card(agreement, dimensions, Backbone.load(NAME, device="cpu").parameters(), seconds)
    write_atomically(folder / "README.md", text.encode())


if __name__ == "__main__":
    main()
