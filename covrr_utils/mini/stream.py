"""The training stream: freshly rendered clips, and what is asked about each.

Questions are written with the method's own prompts. No shot that any clip of the benchmark shows
occurs, before or after an edit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerBase

from covrr_utils.mini import judgements
from covrr_utils.mini.build import held_out_shots
from covrr_utils.mini.captions import gold_trace
from covrr_utils.mini.edits import random_edit, random_pair
from covrr_utils.mini.recipes import Recipe
from covrr_utils.mini.render import SECONDS, TOTAL_FRAMES, render
from covrr_utils.mini.world import ATTRIBUTES, VALUES, Shot, random_shot
from covrr_utils.reasoning import prompts

MODEL_FPS = 4.0

FRAME_INDICES = np.linspace(0, TOTAL_FRAMES - 1, int(SECONDS * MODEL_FPS)).round().astype(int)

ROOM = (56, 112, 112, 88, 136)  # tokens set aside for each question of `questions`

JUDGING_ROOM = (288,) * judgements.JUDGEMENTS

SECOND_STAGE_EVERY = 3  # batches; writing out a trace that is given is the easiest of the tasks


def questions(
    rng: random.Random,
    held_out: frozenset,
    second_stage: bool,
    direct_implicit: float = 0.0,
    traces: int = 2,
) -> tuple[Shot, list[tuple[str, str]]]:
    """One clip's shot and what is asked about it: a list of (prompt, answer). No shot of
    ``held_out`` occurs, before or after an edit.

    Explicit edits are seen as direct description after the edit and as traces; implicit edits as
    traces and as trace-to-description. Direct description follows an implicit edit only in a share
    ``direct_implicit`` of the cases: in the training of the mini backbones, never.
    """
    while True:
        shot, edit, after = random_pair(rng, implicit=True)
        also = random_edit(shot, rng, implicit=rng.random() < 0.4)
        direct = random_edit(
            shot, rng, implicit=direct_implicit > 0 and rng.random() < direct_implicit
        )
        if also and direct and not {shot, after, also[1], direct[1]} & held_out:
            break
    sentence = rng.choice(edit.wordings(shot))
    trace = gold_trace(shot, after).text()
    pairs = [
        (prompts.describe(), shot.description()),
        (prompts.trace(sentence), trace),
        (prompts.trace(rng.choice(also[0].wordings(shot))), gold_trace(shot, also[1]).text()),
        (prompts.single_stage(rng.choice(direct[0].wordings(shot))), direct[1].description()),
    ]
    if traces == 1:
        del pairs[2]
    if second_stage and rng.random() < 0.6:
        pairs.append((prompts.after_trace(sentence, trace), after.description()))
    elif second_stage:
        text = gold_trace(shot, direct[1]).text()
        pairs.append(
            (
                prompts.after_trace(rng.choice(direct[0].wordings(shot)), text),
                direct[1].description(),
            )
        )
    return shot, pairs


def compressed(frames: np.ndarray, rng: random.Random) -> np.ndarray:
    """The frames as a lossy codec leaves them: JPEG at a random quality, as a cheap stand-in for
    H.264.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, rng.randint(30, 90)]
    return np.stack(
        [
            np.asarray(cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR))
            for frame in frames
        ]
    )


def filmed(shot: Shot, rng: random.Random) -> np.ndarray:
    """A fresh clip of the shot: the frames (T, H, W, 3) that a model gets, uint8."""
    frames = render(shot, rng.getrandbits(40), FRAME_INDICES)
    return compressed(frames, rng) if rng.random() < 0.7 else frames


class Stream(IterableDataset):
    """Batches ``start, start + 1, ...`` of the training stream; batch ``n`` depends on (seed, n)
    alone, so training can resume.

    ``prefix`` holds the tokens that come first in every prompt: the video's, and in a judge's
    training the rubric's.
    """

    def __init__(
        self, recipe: Recipe, tokenizer: PreTrainedTokenizerBase, prefix: list[int], start: int
    ) -> None:
        self.recipe, self.tokenizer, self.prefix, self.start = recipe, tokenizer, prefix, start

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        cv2.setNumThreads(1)
        held_out = held_out_shots()
        worker = get_worker_info()
        first, stride = (self.start + worker.id, worker.num_workers) if worker else (self.start, 1)
        for number in range(first, self.recipe.steps, stride):
            yield self.batch(number, held_out)

    def batch(self, number: int, held_out: frozenset[Shot]) -> dict[str, torch.Tensor]:
        """Frames (B, T, H, W, 3) uint8 and attributes (B, 8); where something is asked also what
        `layout` gives.
        """
        stage, _ = self.recipe.stage(number)
        rng = random.Random(f"{self.recipe.seed}/{number}")
        shots, clips, rows = [], [], []
        for _ in range(stage.batch):
            if stage.task == "text":
                shot, pairs = questions(
                    rng,
                    held_out,
                    number % SECOND_STAGE_EVERY == 0,
                    stage.direct_implicit,
                    stage.traces,
                )
                rows.append([self.encode(prompt, answer) for prompt, answer in pairs])
            elif stage.task == "judge":
                shot, pairs = judgements.judgements(rng, held_out)
                rows.append([self.encode(case, answer) for case, answer in pairs])
            else:
                shot = next(
                    shot for shot in iter(lambda: random_shot(rng), None) if shot not in held_out
                )
            shots.append(shot)
            clips.append(filmed(shot, rng))
        attributes = [
            [VALUES[name].index(getattr(shot, name)) for name in ATTRIBUTES] for shot in shots
        ]
        batch = {
            "frames": torch.from_numpy(np.stack(clips)),
            "attributes": torch.tensor(attributes),
        }
        room = JUDGING_ROOM if stage.task == "judge" else ROOM
        return batch | (
            layout(self.prefix, rows, self.tokenizer.pad_token_id, room) if rows else {}
        )

    def encode(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        turn = f"{prompt}<|im_end|>\n<|im_start|>assistant\n"
        return self.tokenizer(turn)["input_ids"], self.tokenizer(f"{answer}<|im_end|>")["input_ids"]


def layout(
    prefix: list[int],
    rows: list[list[tuple[list[int], list[int]]]],
    pad: int,
    room: tuple[int, ...],
) -> dict[str, torch.Tensor]:
    """Lay out every row's (prompt, answer) questions behind the shared prefix; question ``k``
    starts at the same place in all rows.

    Returns ids (B, S), labels (B, S; -100 where nothing is to be predicted), offset (B, S; a
    token's place within its question) and spans (K + 1,): the length of the prefix and of each
    question, padded to ``room`` (constant shapes are compiled once) or more.
    """
    longest = [max(len(p) + len(a) for p, a in column) for column in zip(*rows, strict=True)]
    spans = [len(prefix)] + [
        max(least, -(-length // 8) * 8) for least, length in zip(room, longest)
    ]
    ids = torch.full((len(rows), sum(spans)), pad)
    labels, offset = torch.full_like(ids, -100), torch.zeros_like(ids)
    ids[:, : len(prefix)] = torch.tensor(prefix)
    for number, row in enumerate(rows):
        for index, (prompt, answer) in enumerate(row, 1):
            at = sum(spans[:index])
            end = at + len(prompt) + len(answer)
            ids[number, at:end] = torch.tensor(prompt + answer)
            labels[number, end - len(answer) - 1 : end - 1] = torch.tensor(answer)
            offset[number, at : at + spans[index]] = torch.arange(spans[index])
    return {"ids": ids, "labels": labels, "offset": offset, "spans": torch.tensor(spans)}


def corpus(count: int = 4000, seed: int = 1) -> Iterator[str]:
    """Texts for the tokenizer: prompts and answers of the training stream, timestamps included."""
    rng = random.Random(seed)
    for number in range(count):
        for prompt, answer in questions(rng, frozenset(), second_stage=True)[1]:
            yield f"<{number % 30 / 10:.1f} seconds>user\n{prompt}\nassistant\n{answer}"
