"""Trains a mini backbone from nothing: ``python -m covrr_utils.mini.train mini-3m``; or, from a
backbone, the mini judge (``mini-judge``), the mini embedder (``mini-embedder``) or the mini
reranker (``mini-reranker``).

The model is a `Qwen3VLForConditionalGeneration` of a few million parameters. It never sees a
triplet as a retrieval problem and no contrastive loss (but for the mini embedder and the mini
reranker, which learn by nothing else): it learns to write what the method's own prompts ask for, on
freshly rendered clips of the mini world. Training can be interrupted at any time and resumes from
its last state.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor

from covrr_utils import paths
from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.backbones.embedding_registry import published_instruction
from covrr_utils.judging.rubric import HEAD
from covrr_utils.mini.attention import QUESTIONS, fast_vision
from covrr_utils.mini.contrast import ContrastStream, ContrastTrainee, contrast_loss
from covrr_utils.mini.lineups import MatchStream
from covrr_utils.mini.match_loss import MatchTrainee, match_loss
from covrr_utils.mini.model import VOCABULARY, Prefix, Trainee, loss_of, new_model
from covrr_utils.mini.recipes import (
    EMBEDDER_RECIPES,
    JUDGE_RECIPES,
    PRACTICE_RECIPES,
    RECIPES,
    RERANKER_RECIPES,
    Recipe,
)
from covrr_utils.mini.render import SIZE
from covrr_utils.mini.sentence_files import write_sentence_files
from covrr_utils.mini.stream import FRAME_INDICES, MODEL_FPS, Stream, corpus
from covrr_utils.mini.tokenizer import build_processor, build_tokenizer
from covrr_utils.mini.training_state import load_state, resume_log, save_state


def parameter_groups(trainee: Trainee) -> list[dict]:
    """Four optimizer groups: vision tower or not, and matrices (which decay) or not."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {
        (vision, decays): [] for vision in (True, False) for decays in (True, False)
    }
    for name, parameter in trainee.named_parameters():
        groups[name.startswith("model.model.visual."), parameter.ndim >= 2].append(parameter)
    return [
        {"params": parameters, "weight_decay": 0.05 if decays else 0.0, "vision": vision}
        for (vision, decays), parameters in groups.items()
    ]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Within each stage: linear warm-up over 100 steps, then a cosine to zero."""
    stage, done = recipe.stage(step)
    return (
        stage.rate * min(1.0, (done + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done / stage.steps))
    )


def begin(recipe: Recipe) -> tuple[Qwen3VLForConditionalGeneration, Qwen3VLProcessor]:
    """The model and the processor that a training starts with: random and new, or those of the
    backbone that the recipe begins with, or new but for the eyes of another backbone.
    """
    if recipe.beginning:
        checkpoint = load_checkpoint(recipe.beginning, device="cpu", dtype="float32")
        return checkpoint.model, checkpoint.processor
    if recipe.eyes:
        checkpoint = load_checkpoint(recipe.eyes, device="cpu", dtype="float32")
        model = new_model(recipe, checkpoint.processor.tokenizer)
        model.model.visual.load_state_dict(checkpoint.model.model.visual.state_dict())
        return model, checkpoint.processor
    tokenizer = build_tokenizer(corpus(), VOCABULARY)
    return new_model(recipe, tokenizer), build_processor(
        tokenizer, fps=MODEL_FPS, pixels=SIZE * SIZE * len(FRAME_INDICES)
    )


# of a task: what is trained besides the model, and where the batches come from
PRACTICE: dict[str, tuple[type[Trainee], type[Stream]]] = {
    "embed": (ContrastTrainee, ContrastStream),
    "match": (MatchTrainee, MatchStream),
}


def batch_loss(
    trainee: Trainee,
    prefix: Prefix,
    video_processor: Qwen3VLVideoProcessor,
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """The loss of one batch of the stream, whatever its task."""
    if isinstance(trainee, ContrastTrainee):
        return contrast_loss(trainee, prefix, video_processor, batch)
    if isinstance(trainee, MatchTrainee):
        return match_loss(trainee, prefix, video_processor, batch)
    return loss_of(trainee, prefix, video_processor, batch)


def fast_bfloat16(device: str) -> bool:
    """Whether this device computes in bfloat16 faster than in float32: GPUs, and processors that
    have instructions for it. Others emulate it, at about a tenth of the speed.
    """
    on_processors = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device != "cpu" or on_processors


def train(
    name: str,
    recipe: Recipe,
    work: Path,
    out: Path,
    save_every: int = 200,
    log_every: int = 50,
    workers: int | None = None,
    compiled: bool = True,
) -> None:
    """Train ``name`` from the last state in ``work`` (or from nothing) and write the finished
    checkpoint folder to ``out``.

    ``work/log.jsonl`` has a line every ``log_every`` steps: step, running mean of the loss, seconds
    of training until then. ``compiled`` fuses each layer with `torch.compile`, which takes a minute
    and then makes steps shorter. ``workers`` processes draw the clips: one beside a model on the
    processor, and beside one on a GPU, which is hungrier, all cores but one.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    if workers is None:
        workers = 1 if device == "cpu" else max(1, (os.cpu_count() or 1) - 1)
    model, processor = begin(recipe)
    tasks = {stage.task for stage in recipe.stages}
    kind, practice = PRACTICE.get(recipe.stages[0].task, (Trainee, Stream))
    trainee = kind(model).to(device)
    prefix = Prefix(
        model,
        processor,
        head=HEAD if "judge" in tasks else "",
        system=published_instruction() if "embed" in tasks else "",
    )
    model.train()
    model.model.language_model.set_attn_implementation(QUESTIONS)
    groups = parameter_groups(trainee)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), foreach=True)
    start = load_state(work, trainee, optimizer)
    batches = practice(
        recipe, processor.tokenizer, prefix.film if "match" in tasks else prefix.ids, start
    )
    stream = DataLoader(
        batches, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )
    print(
        f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters on {device}, step"
        f" {start} of {recipe.steps}",
        flush=True,
    )
    work.mkdir(parents=True, exist_ok=True)
    fixed = not tasks & set(PRACTICE)  # the shapes of the others change from step to step
    if compiled and fixed:
        for layer in [*model.model.language_model.layers, *model.model.visual.blocks]:
            layer.forward = torch.compile(layer.forward)
    begun, running = time.time() - resume_log(work / "log.jsonl", start), None
    with (
        fast_vision(),
        open(work / "log.jsonl", "a") as log,
        tqdm(total=recipe.steps, initial=start, mininterval=10, desc=name) as bar,
    ):
        for step, batch in enumerate(stream, start):
            model.model.visual.requires_grad_(recipe.stage(step)[0].vision_rate > 0)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step) * (
                    recipe.stage(step)[0].vision_rate if group["vision"] else 1.0
                )
            with torch.autocast(device, torch.bfloat16, enabled=fixed and fast_bfloat16(device)):
                loss = batch_loss(trainee, prefix, processor.video_processor, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
            optimizer.step()
            running = (
                loss.item()
                if running is None or recipe.stage(step)[1] == 0
                else 0.98 * running + 0.02 * loss.item()
            )
            bar.update()
            bar.set_postfix(loss=f"{running:.4f}")
            if (step + 1) % log_every == 0:
                print(
                    json.dumps(
                        {
                            "step": step + 1,
                            "loss": round(running, 5),
                            "seconds": round(time.time() - begun),
                        }
                    ),
                    file=log,
                    flush=True,
                )
            if (step + 1) % save_every == 0:
                save_state(work, trainee, optimizer, step + 1)
    model.model.language_model.set_attn_implementation("sdpa")
    model.eval().to(torch.bfloat16)
    (model.model if "embed" in tasks else model).save_pretrained(out)
    if "embed" in tasks:
        write_sentence_files(out, model.lm_head.in_features, published_instruction())
    processor.save_pretrained(out)


def practice_dir() -> Path:
    """Where the backbones of the experiment on practice go: they are made, measured, and not kept
    with the workbook.
    """
    return paths.runs_dir() / "practice"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m covrr_utils.mini.train", description=__doc__.splitlines()[0]
    )
    homes = (
        (RECIPES, paths.backbones_dir),
        (JUDGE_RECIPES, paths.judges_dir),
        (EMBEDDER_RECIPES, paths.embedders_dir),
        (RERANKER_RECIPES, paths.rerankers_dir),
        (PRACTICE_RECIPES, practice_dir),
    )
    known = {name: (recipe, home) for recipes, home in homes for name, recipe in recipes.items()}
    parser.add_argument("name", choices=known, help="which model to train")
    parser.add_argument(
        "--work", type=Path, help="folder for the resumable state (default: runs/training/NAME)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="checkpoint folder to write (default: NAME in data/backbones, data/judges,"
        " data/embedders or data/rerankers, or in runs/practice)",
    )
    arguments = parser.parse_args()
    recipe, home = known[arguments.name]
    train(
        arguments.name,
        recipe,
        arguments.work or paths.runs_dir() / "training" / arguments.name,
        arguments.out or home() / arguments.name,
    )


if __name__ == "__main__":
    main()
