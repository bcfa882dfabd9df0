"""Writes the mini reranker's card from what is so: its recipe, and what its second look does, as
``benchmarks/past_the_paper.py`` measured it.

``python -m covrr_utils.mini.reranker_card`` writes ``README.md`` into its folder.
"""

from __future__ import annotations

import json

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.frames import pd
from covrr_utils.mini.card import markdown, recall_rows, stage_table
from covrr_utils.mini.lineups import CLIPS, EDITS, INPUTS, NOISE
from covrr_utils.mini.recipes import RERANKER_RECIPES
from covrr_utils.plotting import tables

NAME = "mini-reranker"

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: video-text-to-text
---

# {name}

A reranker for the mini world in the format of the published Qwen3-VL-Reranker: `{beginning}`,
trained further until it says whether a clip answers a query, yes or no. {parameters:,} parameters,
bfloat16 safetensors, the same architecture and tokenizer. It stands for published rerankers, so
that their format can be taught, tested and run on a laptop:

    covrr run --scorers bm25 --rerank yes-no --rerank-model {name}

It knows the mini world and nothing else, and it is no backbone: it has forgotten how to write.

## Training

`python -m covrr_utils.mini.train {name}` (`RERANKER_RECIPES` in `covrr_utils/mini/recipes.py`),
from `{beginning}`, on one GPU (NVIDIA H200) that four other trainings used for half of the time, in
{seconds} seconds (`training.jsonl`: step, running mean of the loss, seconds). Its first 136 steps
had the rates of a schedule of 2,400 steps, which differ from the recipe's by at most a seventh.

{stages}

A *clip* of this table is a line-up: {clips} clips that look alike, filmed once. {lineups:,}
line-ups and {pairs:,} pairs of a query and a clip in all.

- **Line-ups**: a reference, what {edits} edits make of it (one of them implicit at least), and near
  misses that differ in one attribute. Every query meets every clip of its line-up, so each clip is
  the answer to one query and a distractor for the others.
- **Inputs**: every line-up is asked for by {inputs}. Of the descriptions {noise} in 100 tell one
  attribute wrongly, as backbones do.
- **Loss**: binary cross-entropy of the log odds of yes against no; and a layer that is thrown away
  afterwards tells which of the eight attributes of query and clip agree. Real rerankers have no
  such supervision; it is here because the steps are few. The vision tower is frozen.
- **Never**: a clip or world state of the benchmark's two splits, before or after an edit; a text
  that a model wrote.

It was stopped when its time on the GPU was over, while its loss still fell ({first_loss:.2f} after
50 steps, {last_loss:.2f} at the end). An earlier trial on one processor core saw 800 line-ups in 38
minutes and had learned next to nothing: 24 of 100 targets first among 5 candidates, where chance
puts about 19.

## Measured

*Measured here, mini*: 400 triplets, gallery of 2,100 clips; of `mini-val` 100 and 560. Descriptions
and traces are those of `mini-3m`, `two_stage`. Recalls are in percent, brackets are 95 % bootstrap
intervals; the first 20 are put into the reranker's order. Behind the colon stands what of the query
it is given. The numbers are rows of `data/measured/past_the_paper.csv`.

{tables}

Its order of 20 candidates is far from chance, and worse than the one that it replaces: it sorts out
what is clearly wrong (R@10 rises) and cannot tell apart what looks alike. *half* leaves half of the
weight to the first stage (`--rerank-weight 0.5`, which none of six other shares beats on `mini-val`
behind BM25). Then it helps a weak first stage much and a strong one hardly.
"""


def card(measured: pd.DataFrame, parameters: int, log: list[dict]) -> str:
    """The text of the card; ``measured`` is the table of `benchmarks/past_the_paper.py`, ``log``
    holds the lines of ``training.jsonl``.
    """
    recipe = RERANKER_RECIPES[NAME]
    (stage,) = recipe.stages
    queries = sum(CLIPS if given == "description" else EDITS for given in INPUTS)
    lineups = stage.steps * stage.batch
    return CARD.format(
        name=NAME,
        beginning=recipe.beginning,
        parameters=parameters,
        seconds=log[-1]["seconds"],
        stages=markdown(stage_table(recipe)),
        clips=CLIPS,
        lineups=lineups,
        pairs=lineups * queries * CLIPS,
        edits=EDITS,
        inputs=", ".join(dict.fromkeys(INPUTS)) + " (descriptions twice)",
        noise=round(100 * NOISE),
        first_loss=log[0]["loss"],
        last_loss=log[-1]["loss"],
        tables="\n\n".join(_recalls(measured, benchmark) for benchmark in ("mini-val", "mini")),
    )


def _recalls(measured: pd.DataFrame, benchmark: str) -> str:
    rows = measured[(measured["backbone"] == "mini-3m") & (measured["benchmark"] == benchmark)]
    looked = rows["reranker"].str.startswith(NAME)
    beside = rows["first stage"].isin(rows["first stage"][looked]) & rows["reranker"].eq("-")
    return f"`{benchmark}`:\n\n{recall_rows(rows[looked | beside])}"


def main() -> None:
    from covrr_utils.backbones.backbone import Backbone

    folder = paths.rerankers_dir() / NAME
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    parameters = Backbone.load(NAME, device="cpu").parameters()
    text = card(tables.measured_table("past_the_paper"), parameters, log)
    write_atomically(folder / "README.md", text.encode())


if __name__ == "__main__":
    main()
