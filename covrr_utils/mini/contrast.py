"""How the mini embedder is trained: by contrast, on freshly rendered clips of the mini world.

Every clip is embedded by itself, and with edits that are asked of it. The descriptions of what
these clips show, before and after the edits, are embedded as texts. Vectors of one shot attract
each other, all others of the batch repel. The hard negatives are what a careless look takes for the
target: the reference itself, the outcomes of its other edits, and a rendered distractor such as the
benchmark's. No shot that any clip of the benchmark shows occurs, before or after an edit.

All inputs of a clip share the instruction and the video, and are laid out behind them like the
questions of the backbones' training (`covrr_utils.mini.model`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLVideoProcessor

from covrr_utils.backbones.embedding_prompts import ENDING, before_input, composed
from covrr_utils.mini.build import distractors
from covrr_utils.mini.captions import gold_trace
from covrr_utils.mini.edits import Edit, random_edit, random_pair
from covrr_utils.mini.model import Prefix, Trainee, states_of, visual_of
from covrr_utils.mini.render import render
from covrr_utils.mini.stream import FRAME_INDICES, Stream, compressed, layout
from covrr_utils.mini.world import ATTRIBUTES, VALUES, Shot

TEMPERATURE = 0.03

SHARES = (1.0, 0.5)  # Matryoshka: the contrast holds for whole vectors and for their first halves

TOGETHER = 3  # clips that belong together: a reference, its target, and a distractor

EDITS = 3  # that are asked of each clip

TRACES_EVERY = 3  # batches; a trace tells what comes after the edit, so it is the easiest input

INPUT_ROOM = (8, 32, 32, 32, 64)  # tokens set aside for each input behind the video

TEXT_ROOM = (40,) * (1 + EDITS)


@dataclass(frozen=True)
class Example:
    """One clip's shot, the edits that are asked of it, each worded, and what they lead to."""

    shot: Shot
    edits: tuple[tuple[str, Shot], ...]

    @property
    def after(self) -> list[Shot]:
        """What the edits lead to."""
        return [after for _, after in self.edits]


def examples(rng: random.Random, held_out: frozenset[Shot]) -> list[Example]:
    """A reference, whose first edit leads to the second clip; that target; a distractor of both."""
    while True:
        reference, edit, target = random_pair(rng, implicit=rng.random() < 0.6)
        mined = [shot for _, shot in distractors(reference, edit, target, rng)]
        shots = reference, target, rng.choice(mined)
        together = [
            Example(shot, _edits(shot, rng, (edit, target) if shot == reference else None))
            for shot in shots
        ]
        if not held_out & {*shots, *(shot for each in together for shot in each.after)}:
            return together


def _edits(
    shot: Shot, rng: random.Random, first: tuple[Edit, Shot] | None
) -> tuple[tuple[str, Shot], ...]:
    pairs = [] if first is None else [first]
    while len(pairs) < EDITS:
        pair = random_edit(shot, rng, implicit=rng.random() < 0.6)
        pairs += [] if pair is None else [pair]
    return tuple((rng.choice(edit.wordings(shot)), after) for edit, after in pairs)


class ContrastTrainee(Trainee):
    """What is trained: the model, and a layer that reads the eight attributes of what is meant off
    every vector. The layer is thrown away afterwards.

    Contrast alone tells a vector only which of the batch it should resemble. In the few steps that
    a laptop has, the attributes tell it what to hold.
    """

    def __init__(self, model: Qwen3VLForConditionalGeneration) -> None:
        super().__init__(model)
        self.reader = torch.nn.Linear(model.lm_head.in_features, sum(map(len, VALUES.values())))

    def reading_loss(
        self, vectors: Float[torch.Tensor, "N D"], attributes: Int[torch.Tensor, "N 8"]
    ) -> torch.Tensor:
        """Mean cross-entropy over vectors and attributes."""
        logits = self.reader(vectors).split([len(values) for values in VALUES.values()], -1)
        return torch.stack(
            [torch.nn.functional.cross_entropy(x, attributes[:, i]) for i, x in enumerate(logits)]
        ).mean()


class ContrastStream(Stream):
    """Batches of the embedder's training. ``prefix`` holds the tokens of instruction and video."""

    def batch(self, number: int, held_out: frozenset[Shot]) -> dict[str, torch.Tensor]:
        """Frames (B, T, H, W, 3) uint8; what `layout` gives for the inputs behind the videos, and
        under ``text_`` for the descriptions; ``last`` (B, K) and ``text_last``, the place of each
        one's last token; ``shots`` (B, K) and ``text_shots``, numbers that are the same for what
        shows the same: the clip itself, then what is asked for; and the ``attributes`` (N, 8) of
        what these N numbers stand for.
        """
        stage, _ = self.recipe.stage(number)
        rng = random.Random(f"{self.recipe.seed}/{number}")
        clips: list[Example] = []
        while len(clips) < stage.batch:
            clips += examples(rng, held_out)
        clips = clips[: stage.batch]
        frames = [render(clip.shot, rng.getrandbits(40), FRAME_INDICES) for clip in clips]
        frames = [compressed(each, rng) if rng.random() < 0.7 else each for each in frames]
        numbers: dict[Shot, int] = {}
        inputs, texts, input_shots, text_shots = [], [], [], []
        traced = number % TRACES_EVERY == 0
        for clip in clips:
            asked = [("", clip.shot), *clip.edits]
            if traced:
                sentence, after = clip.edits[0]
                asked.append((composed(sentence, gold_trace(clip.shot, after).text()), after))
            inputs.append([self.ids(text) for text, _ in asked])
            texts.append([self.ids(shot.description()) for shot in (clip.shot, *clip.after)])
            input_shots.append([numbers.setdefault(shot, len(numbers)) for _, shot in asked])
            text_shots.append(
                [numbers.setdefault(shot, len(numbers)) for shot in (clip.shot, *clip.after)]
            )
        opening = self.tokenizer(before_input())["input_ids"]
        attributes = [
            [VALUES[name].index(getattr(shot, name)) for name in ATTRIBUTES] for shot in numbers
        ]
        return (
            {"frames": torch.from_numpy(np.stack(frames)), "attributes": torch.tensor(attributes)}
            | self._laid_out(self.prefix, inputs, INPUT_ROOM)
            | {"shots": torch.tensor(input_shots), "text_shots": torch.tensor(text_shots)}
            | {
                f"text_{name}": value
                for name, value in self._laid_out(opening, texts, TEXT_ROOM).items()
            }
        )

    def ids(self, text: str) -> list[int]:
        """The tokens of an input and of what follows it."""
        return self.tokenizer(text + ENDING)["input_ids"]

    def _laid_out(
        self, prefix: list[int], rows: list[list[list[int]]], room: tuple[int, ...]
    ) -> dict[str, torch.Tensor]:
        laid = layout(
            prefix, [[(ids, []) for ids in row] for row in rows], self.tokenizer.pad_token_id, room
        )
        starts = laid["spans"].cumsum(0)[:-1]
        lengths = torch.tensor([[len(ids) for ids in row] for row in rows])
        laid.pop("labels")
        return laid | {"last": starts + lengths - 1}


def contrast(
    anchors: Float[torch.Tensor, "N D"],
    anchor_shots: Int[torch.Tensor, " N"],
    keys: Float[torch.Tensor, "M D"],
    key_shots: Int[torch.Tensor, " M"],
) -> torch.Tensor:
    """InfoNCE: -log of the share that the keys of the anchor's own shot have among all keys,
    exp(cosine / `TEMPERATURE`) each, averaged over the anchors that have such a key, and over
    `SHARES` of the vectors.
    """
    same: Bool[torch.Tensor, "N M"] = anchor_shots[:, None] == key_shots
    have = same.any(1)
    losses = []
    for share in SHARES:
        width = int(share * anchors.shape[1])
        cut = [torch.nn.functional.normalize(x[:, :width], dim=1) for x in (anchors[have], keys)]
        logits = cut[0] @ cut[1].T / TEMPERATURE
        right = logits.masked_fill(~same[have], -torch.inf)
        losses.append((logits.logsumexp(1) - right.logsumexp(1)).mean())
    return torch.stack(losses).mean()


def contrast_loss(
    trainee: ContrastTrainee,
    prefix: Prefix,
    video_processor: Qwen3VLVideoProcessor,
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """The mean of four contrasts (queries with descriptions, queries with videos, videos with
    descriptions, descriptions with videos), and the loss of reading the attributes. The vision
    tower is frozen.
    """
    model = trainee.model
    with torch.no_grad():
        visual = visual_of(model, prefix, video_processor, batch["frames"])
    states = states_of(model, prefix, batch, visual)
    text = of_texts(batch)
    of_inputs = pooled(states, batch["last"])
    descriptions = pooled(states_of(model, None, text), text["last"]).flatten(0, 1)
    shots, text_shots = batch["shots"].to(model.device), text["shots"].to(model.device).flatten()
    videos, queries = of_inputs[:, 0], of_inputs[:, 1:].flatten(0, 1)
    video_shots, query_shots = shots[:, 0], shots[:, 1:].flatten()
    everything = torch.cat([of_inputs.flatten(0, 1), descriptions])
    attributes = batch["attributes"].to(model.device)[torch.cat([shots.flatten(), text_shots])]
    contrasts = torch.stack(
        [
            contrast(queries, query_shots, descriptions, text_shots),
            contrast(queries, query_shots, videos, video_shots),
            contrast(videos, video_shots, descriptions, text_shots),
            contrast(descriptions, text_shots, videos, video_shots),
        ]
    )
    return contrasts.mean() + trainee.reading_loss(everything, attributes)


def of_texts(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The part of a batch that lays out descriptions."""
    return {name.removeprefix("text_"): each for name, each in batch.items() if "text_" in name}


def pooled(
    states: Float[torch.Tensor, "B S D"], last: Int[torch.Tensor, "B K"]
) -> Float[torch.Tensor, "B K D"]:
    """The states at the last token of every input, float32."""
    rows = torch.arange(len(states), device=states.device)[:, None]
    return states[rows, last.to(states.device)].float()
