"""A mini-mini, taught to describe clips while one watches: ``python -m
covrr_utils.mini.first_words`` writes how its descriptions got better.

Seeing takes hours to learn, so the mini-mini borrows the eyes of an embedded backbone, which stay
as they are; what it has to learn are words: a decoder of two layers that begins at random. Each
clip passes the eyes once, before the first lesson, so a lesson takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from covrr_utils import paths
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.files import write_atomically
from covrr_utils.frames import pd
from covrr_utils.mini.attention import QUESTIONS
from covrr_utils.mini.build import held_out_shots
from covrr_utils.mini.captions import read_description, slot_accuracy
from covrr_utils.mini.model import Prefix, Visual, answer_loss, clip_metadata, new_model, visual_of
from covrr_utils.mini.recipes import RECIPES
from covrr_utils.mini.stream import ROOM, Stream, filmed, layout
from covrr_utils.mini.world import Shot, random_shot
from covrr_utils.reasoning import prompts
from covrr_utils.spreadsheet import csv_bytes
from covrr_utils.video.clips import Clip

EYES = "mini-1m"  # whose vision tower is borrowed

RECIPE = replace(RECIPES[EYES], text_layers=2)

BATCH, RATE, WARM_UP = 16, 3e-3, 20  # clips a lesson, peak learning rate, lessons until it

EXAM = 8  # clips that are described and never learned from

LONGEST = 40  # tokens of an answer: a right description takes about 30

TWO_MINUTES, CLIPS = 600, 256  # lessons and clips of the recorded training

RECORDED = "first_words"  # the table of `covrr_utils.plotting.tables.measured_table`

LOOKS = (0, 20, 40, 60, 100, 200, 400, 600)  # lessons before which the recorded pupil is asked


@dataclass(frozen=True)
class Look:
    """What the pupil said before one of its lessons, and how much of it was right."""

    lesson: int
    texts: list[str]
    right: dict[str, float]

    @property
    def mean(self) -> float:
        """The share of the eight attributes that was stated rightly, over the exam's clips."""
        return sum(self.right.values()) / len(self.right)


class Pupil:
    """The mini-mini, its clips, and the clips of its exam. The same seed learns the same.

    Parameters
    ----------
    clips : how many clips it learns from, freshly rendered
    seed : of its beginning, its clips and their order
    """

    def __init__(self, clips: int = CLIPS, seed: int = 0) -> None:
        eyes = load_checkpoint(EYES, device="cpu", dtype="float32")
        self.model = new_model(RECIPE, eyes.processor.tokenizer)
        self.model.model.visual.load_state_dict(eyes.model.model.visual.state_dict())
        self.model.model.visual.requires_grad_(False)
        self.processor = eyes.processor
        self.prefix = Prefix(self.model, eyes.processor)
        self.taken = 0
        self.shots, frames = _clips(clips + EXAM, random.Random(seed))
        self.exam = [
            Prompt(Clip(f"exam {number}", film, clip_metadata()), prompts.describe())
            for number, film in enumerate(frames[:EXAM])
        ]
        stream = Stream(RECIPE, eyes.processor.tokenizer, self.prefix.ids, 0)
        self.answers = [
            [stream.encode(prompts.describe(), shot.description())] for shot in self.shots[EXAM:]
        ]
        self.seen = [self._look_at(film) for film in frames[EXAM:]]
        self.order = torch.Generator().manual_seed(seed)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.98), weight_decay=0.05)

    @property
    def learns(self) -> int:
        """How many weights are trained."""
        return sum(w.numel() for group in self.optimizer.param_groups for w in group["params"])

    def lesson(self) -> float:
        """One step on a batch of clips; the loss before it, in nats a token. The rate falls to
        zero over `TWO_MINUTES` lessons.
        """
        chosen = torch.randint(len(self.seen), (BATCH,), generator=self.order).tolist()
        batch = layout(
            self.prefix.ids,
            [self.answers[number] for number in chosen],
            self.processor.tokenizer.pad_token_id,
            ROOM[:1],
        )
        seen = [self.seen[number] for number in chosen]
        visual = Visual(
            torch.cat([one.tokens for one in seen]),
            [torch.cat(layer) for layer in zip(*(one.deepstack for one in seen), strict=True)],
        )
        done = min(self.taken / TWO_MINUTES, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1, (self.taken + 1) / WARM_UP) * (1 + np.cos(np.pi * done)) / 2
        self.model.train()
        language = self.model.model.language_model
        language.set_attn_implementation(QUESTIONS)
        loss = answer_loss(self.model, self.prefix, visual, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        language.set_attn_implementation("sdpa")
        self.model.eval()
        self.taken += 1
        return loss.item()

    def look(self) -> Look:
        """What it says of the exam's clips, asked as every backbone is asked."""
        # a new one each time: a backbone keeps what it has read, as its weights never change
        backbone = Backbone("mini-mini", self.model, self.processor, "untrained", EXAM)
        texts = backbone.write(self.exam, Generation(max_new_tokens=LONGEST))
        stated = [read_description(text) for text in texts]
        return Look(self.taken, texts, slot_accuracy(stated, self.shots[:EXAM]))

    def _look_at(self, film: np.ndarray) -> Visual:
        with torch.no_grad():
            return visual_of(
                self.model,
                self.prefix,
                self.processor.video_processor,
                torch.from_numpy(film)[None],
            )


def record() -> pd.DataFrame:
    """Train for two minutes, on one thread; a row for every look: lesson, seconds (of the
    processor, without the looks), right (percent of the attributes), the percent of each, and what
    was said of the exam's first clip beside the truth.
    """
    torch.set_num_threads(1)
    pupil, rows, seconds = Pupil(), [], 0.0
    for number in range(TWO_MINUTES + 1):
        if number in LOOKS:
            look = pupil.look()
            shares = {name: 100 * share for name, share in look.right.items()}
            rows.append(
                {
                    "lesson": number,
                    "seconds": round(seconds),
                    "right": 100 * look.mean,
                    **shares,
                    "text": look.texts[0],
                    "truth": pupil.shots[0].description(),
                }
            )
            print(f"{number:4} {rows[-1]['right']:5.1f} %  {look.texts[0]}", flush=True)
        if number < TWO_MINUTES:
            begun = time.process_time()
            pupil.lesson()
            seconds += time.process_time() - begun
    return pd.DataFrame(rows)


def _clips(count: int, rng: random.Random) -> tuple[list[Shot], list[np.ndarray]]:
    """Shots that no clip of a benchmark shows, and a fresh clip (T, H, W, 3) of each."""
    held_out = held_out_shots()
    shots: list[Shot] = []
    while len(shots) < count:
        if (shot := random_shot(rng)) not in held_out:
            shots.append(shot)
    return shots, [filmed(shot, rng) for shot in shots]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m covrr_utils.mini.first_words", description=__doc__.splitlines()[0]
    )
    parser.parse_args()
    path = paths.data_dir() / "measured" / f"{RECORDED}.csv"
    write_atomically(path, csv_bytes(record()))


if __name__ == "__main__":
    main()
