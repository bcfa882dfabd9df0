"""Writes a mini backbone's model card from what is so: its configuration, its recipe, and its
accuracies, measured now.

``python -m covrr_utils.mini.card mini-3m`` measures on both splits (from the store where it is
filled) and writes ``README.md`` and ``accuracy.csv`` into the checkpoint folder.
"""

from __future__ import annotations

import argparse

from covrr_utils import paths
from covrr_utils.files import write_atomically
from covrr_utils.frames import pd
from covrr_utils.mini.causes import CAUSES
from covrr_utils.mini.recipes import HEADS_WEIGHT, RECIPES, Recipe
from covrr_utils.mini.wordings import WORDINGS
from covrr_utils.plotting import tables
from covrr_utils.spreadsheet import csv_bytes

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: video-text-to-text
---

# {name}

A `Qwen3VLForConditionalGeneration` with {parameters:,} parameters, trained from nothing on the
workbook's rendered mini world. It loads as Qwen3-VL-8B would:

    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained("data/backbones/{name}")
    processor = AutoProcessor.from_pretrained("data/backbones/{name}")

It knows ten drawn objects and nothing else. It exists so that the whole method can be run, taught
and tested on a laptop.

| | |
|---|---|
| text | {text} |
| vision | {vision} |
| tokenizer | byte-level BPE, 640 entries, Qwen's pre-tokenisation, added tokens and chat layout |
| input | 4 frames per second, 128 x 128: 8 frames, 64 visual tokens with 4 timestamps |
| weights | bfloat16 safetensors |

## Training

`python -m covrr_utils.mini.train {name}` (`RECIPES` in `covrr_utils/mini/recipes.py`), on two
processor cores. All mini backbones have the same schedule and see the same clips and questions in
the same order; only their size differs.

{stages}

{clips:,} clips in all, each rendered once. AdamW (0.9, 0.98), weight decay 0.05, gradient norm 1,
warm-up of 100 steps and a cosine to zero in each stage, bfloat16 autocast, seed {seed}.

- **Vision**: the vision tower alone, through heads that name the eight attributes of a clip and
  are thrown away afterwards. They also stay beside the text loss (weight {heads}). This is
  supervision a real Qwen3-VL does not have; it is here because without it, in an earlier training
  of `mini-3m`, motions stayed at chance (0.12) and objects at 0.38 after 32,000 clips.
- **Text**: every clip is asked four or five questions with the method's own prompts; the loss is
  that of the answers' tokens, end of turn included. In each text batch: description of the clip
  (1 question), trace of an implicit edit (1), trace of another edit, implicit in 4 of 10 cases (1),
  direct description after an *explicit* edit (1), and in every third batch description after edit
  and given trace (1; after an implicit edit in 6 of 10 cases). The vision tower learns slowly here:
  at the full rate, text undid what it had learned.
- Never: triplets for retrieval, contrast, ranking, or any clip or world state of the benchmark's
  two splits.

## What was seen in which form, and what follows

| | trace | trace → description | direct description after the edit |
|---|---|---|---|
| {explicit} explicit edits | yes | yes | **yes** |
| {implicit} implicit edits | yes | yes | **never** |

All (edit, object, state) pairs and all wordings occur in training; combinations of all eight
attributes that occur in the benchmark do not.

For the reasoning ablation this means: on implicit edits `single_stage` asks for a leap that was
never practised, while `two_stage` asks for two steps that were. A gap there shows that composing
practised steps works where the leap does not. It does *not* show that a model of this size could
not learn the leap: chapter A2 trains four that differ in this alone, and where the leap is
practised half as often on implicit edits as on explicit ones, the gap is gone. How large it is for
a real Qwen3-VL, which has seen neither form, it does not show either. On explicit edits both were
practised, and the comparison is even.

## Measured

*Measured here, mini.* `python -m covrr_utils.mini.card {name}`: the share of clips or triplets
whose attribute is stated rightly; what is not stated is wrong. The same numbers are in
`accuracy.csv`.

{accuracies}

Retrieval: see the README of the repository.
"""


def markdown(table: pd.DataFrame) -> str:
    """A data frame of texts as a markdown table."""
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def recall_rows(rows: pd.DataFrame) -> str:
    """Rows of the table of `benchmarks/past_the_paper.py` as a card shows them."""
    percents = ("R@5", "R@10", "R@50", "implicit", "explicit")
    return markdown(
        pd.DataFrame(
            {
                "first stage": rows["first stage"],
                "reranker": rows["reranker"],
                "R@1": [
                    tables.with_interval(*each) for each in rows[["R@1", "low", "high"]].values
                ],
                **{name: rows[name].map("{:.2f}".format) for name in percents},
            }
        )
    )


def stage_table(recipe: Recipe) -> pd.DataFrame:
    """The training, stage by stage."""
    rows = [
        (
            number,
            stage.task,
            f"{stage.steps:,}",
            stage.batch,
            f"{stage.rate:g}",
            f"{stage.vision_rate:g}",
        )
        for number, stage in enumerate(recipe.stages, 1)
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "stage",
            "task",
            "steps",
            "clips per step",
            "peak learning rate",
            "of it for the vision tower",
        ],
    )


def accuracies(name: str) -> pd.DataFrame:
    """Share of attributes stated rightly: one row per split and kind of text, one column per
    attribute, and the mean.
    """
    from covrr_utils.experiments.config import RunConfig
    from covrr_utils.experiments.run import Run
    from covrr_utils.mini import accuracy

    rows = []
    for split in ("mini-val", "mini"):
        measured = accuracy.measured(Run(RunConfig(benchmark=split, backbone=name)))
        rows += [{"split": split, "of": of} | shares for of, shares in measured.items()]
    return pd.DataFrame(rows)


def card(name: str, measured: pd.DataFrame, parameters: int) -> str:
    """The text of the model card."""
    recipe = RECIPES[name]
    shown = measured.apply(
        lambda column: (
            column.map("{:.3f}".format) if pd.api.types.is_numeric_dtype(column) else column
        )
    )
    return CARD.format(
        name=name,
        parameters=parameters,
        text=(
            f"{recipe.text_layers} layers, {recipe.text_width} wide, {recipe.text_heads} heads"
            f" ({recipe.text_heads // 2} key-value), MLP {recipe.text_mlp}, tied"
        ),
        vision=(
            f"{recipe.vision_layers} layers, {recipe.vision_width} wide, patches of 16 x 16 x 2"
            " frames, merged 2 x 2, one DeepStack tap"
        ),
        seed=recipe.seed,
        stages=markdown(stage_table(recipe)),
        clips=sum(stage.steps * stage.batch for stage in recipe.stages),
        heads=HEADS_WEIGHT,
        accuracies=markdown(shown),
        explicit=len(WORDINGS) - len(CAUSES),
        implicit=len(CAUSES),
    )


def main() -> None:
    from covrr_utils.backbones.backbone import Backbone

    parser = argparse.ArgumentParser(
        prog="python -m covrr_utils.mini.card", description=__doc__.splitlines()[0]
    )
    parser.add_argument("name", choices=sorted(RECIPES), help="which backbone")
    name = parser.parse_args().name
    measured = accuracies(name).round(6)
    folder = paths.backbones_dir() / name
    write_atomically(folder / "accuracy.csv", csv_bytes(measured))
    write_atomically(
        folder / "README.md",
        card(name, measured, Backbone.load(name, device="cpu").parameters()).encode(),
    )


if __name__ == "__main__":
    main()
