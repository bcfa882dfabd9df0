"""Writes the mini embedder's card from what is so: its recipe, and what it finds, as
``benchmarks/past_the_paper.py`` measured it.

``python -m covrr_utils.mini.embedder_card`` writes ``README.md`` into its folder.
"""

from __future__ import annotations

import json

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.frames import pd
from covrr_utils.mini.card import markdown, recall_rows, stage_table
from covrr_utils.mini.contrast import EDITS, TEMPERATURE, TRACES_EVERY
from covrr_utils.mini.recipes import EMBEDDER_RECIPES
from covrr_utils.plotting import tables

NAME = "mini-embedder"

BASELINES = ("context", "bm25")

CARD = """---
license: apache-2.0
library_name: sentence-transformers
pipeline_tag: feature-extraction
---

# {name}

An embedder for the mini world in the format of the published Qwen3-VL-Embedding: a `Qwen3VLModel`
with {parameters:,} parameters, bfloat16 safetensors, {width} entries a vector. It stands for
published embedders, so that their format can be taught, tested and run on a laptop:

    covrr run --scorers embedder --embedder {name} --embedder-query source+edit

`SentenceTransformer("data/embedders/{name}")` loads it too. It knows the mini world and nothing
else, and it writes nothing.

## Training

`python -m covrr_utils.mini.train {name}` (`EMBEDDER_RECIPES` in `covrr_utils/mini/recipes.py`),
from `{beginning}`, on one processor core that others used too, {minutes} minutes
(`training.jsonl`: step, running mean of the loss, seconds).

{stages}

{clips:,} clips, each rendered once, with {edits} edits of each. Unlike the backbones it was trained
for retrieval: published embedders were, too.

- **Contrast**: InfoNCE at temperature {temperature} with the other vectors of the batch as
  negatives, between queries and descriptions, queries and clips, clips and descriptions. It holds
  for whole vectors and for their first halves. Hard negatives: clips come in threes, a reference,
  its target, and a distractor made as the benchmark's are; and the other edits of a clip lead to
  descriptions that differ from the right one in few attributes.
- **Attributes**: a layer that is thrown away afterwards names the eight attributes of what is meant
  from every vector. Real embedders have no such supervision; it is here because the steps are few.
- **Inputs**: the clip alone; the clip and an edit, implicit in 6 of 10 cases; in every
  {traces}rd batch the clip, the edit and the gold trace; a description. One instruction, the
  published one. The vision tower is frozen.
- **Never**: a clip or world state of the benchmark's two splits, before or after an edit; a text
  that a model wrote.

So `source + edit` has practised implicit edits, which the backbones' `single_stage` never did: the
two are no comparison of forms.

## Measured

*Measured here, mini*: 400 triplets, gallery of 2,100 clips; of `mini-val` 100 and 560. Descriptions
and traces are those of `mini-3m`, `two_stage`. Recalls are in percent, brackets are 95 % bootstrap
intervals; fused lists are weighted equally, on the min-max scale; likelihood looks at the first 20
again. The numbers are rows of `data/measured/past_the_paper.csv`.

{tables}

Alone it names the first place less often than words do, and the first five or ten more often:
{width} numbers hold a scene well and its finest difference badly. What it misses, words find, so
the two together are the best first stage here.
"""


def card(measured: pd.DataFrame, parameters: int, width: int, seconds: int) -> str:
    """The text of the card; ``measured`` is the table of `benchmarks/past_the_paper.py`."""
    recipe = EMBEDDER_RECIPES[NAME]
    return CARD.format(
        name=NAME,
        beginning=recipe.beginning,
        parameters=parameters,
        width=width,
        minutes=round(seconds / 60),
        stages=markdown(stage_table(recipe)),
        clips=sum(stage.steps * stage.batch for stage in recipe.stages),
        edits=EDITS,
        temperature=TEMPERATURE,
        traces=TRACES_EVERY,
        tables="\n\n".join(_recalls(measured, benchmark) for benchmark in ("mini-val", "mini")),
    )


def _recalls(measured: pd.DataFrame, benchmark: str) -> str:
    rows = measured[
        (measured["backbone"] == "mini-3m")
        & (measured["benchmark"] == benchmark)
        & measured["reranker"].isin(["-", "likelihood, 20"])
        & (
            measured["first stage"].str.startswith("embedder")
            | measured["first stage"].isin(BASELINES)
        )
    ]
    return f"`{benchmark}`:\n\n{recall_rows(rows)}"


def main() -> None:
    from covrr_utils.backbones.embedder import Embedder

    folder = paths.embedders_dir() / NAME
    seconds = json.loads((folder / "training.jsonl").read_text().splitlines()[-1])["seconds"]
    embedder = Embedder.load(NAME, device="cpu")
    measured = tables.measured_table("past_the_paper")
    text = card(measured, embedder.parameters(), embedder.width, seconds)
    write_atomically(folder / "README.md", text.encode())


if __name__ == "__main__":
    main()
