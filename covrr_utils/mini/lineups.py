"""What the mini reranker practises on: line-ups of clips that look much alike, and queries each of
which only one of them answers.

A line-up is a reference, what three edits make of it, and near misses that differ in one attribute.
Every query meets every clip, so each clip is the answer to one query and a distractor for the
others: nothing about a clip alone tells whether it matches.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from covrr_utils.backbones.qwen import VIDEO_TOKEN, match_question
from covrr_utils.mini.captions import gold_trace
from covrr_utils.mini.edits import Edit, random_edit, random_pair
from covrr_utils.mini.stream import Stream, filmed
from covrr_utils.mini.world import ATTRIBUTES, KINDS, VALUES, Shot, settle

CLIPS = 6  # of a line-up

EDITS = 3  # of them made by edits of the first

NOISE = 0.15  # share of descriptions in which one attribute is told wrongly, as backbones do

# what every line-up is asked for by, one after the other; descriptions, now and then wrong, twice
INPUTS = ("description", "description", "source+edit+trace", "source+edit", "edit")


@dataclass(frozen=True)
class Query:
    """One query of a line-up. ``target`` is the place of the clip that answers it; ``with_source``:
    the first clip of the line-up stands in the query, too.
    """

    text: str
    target: int
    with_source: bool


def near_miss(shot: Shot, rng: random.Random) -> Shot:
    """The shot with one attribute changed, as physics allows."""
    while True:
        name = rng.choice(ATTRIBUTES)
        values = KINDS[shot.kind] if name == "state" else VALUES[name]
        other = replace(shot, **{name: rng.choice(values)})
        if name == "kind":
            place = KINDS[shot.kind].index(shot.state)
            other = replace(other, state=KINDS[other.kind][place])
        if other != shot and settle(other) == other:
            return other


@dataclass(frozen=True)
class Lineup:
    """A reference, ``pairs`` of an edit and what it makes of the reference, and near misses."""

    shots: tuple[Shot, ...]
    pairs: tuple[tuple[Edit, Shot], ...]

    @classmethod
    def draw(cls, rng: random.Random, held_out: frozenset[Shot]) -> Lineup:
        """`CLIPS` different shots, none of ``held_out``; one of the edits at least is implicit."""
        while True:
            reference, edit, after = random_pair(rng, implicit=True)
            others = [random_edit(reference, rng, implicit=rng.random() < 0.5) for _ in range(2)]
            pairs = ((edit, after), *(pair for pair in others if pair))
            shots = [reference, *(shot for _, shot in pairs)]
            shots += [near_miss(rng.choice(shots[1:]), rng) for _ in range(CLIPS - len(shots))]
            if len(pairs) == EDITS and len(set(shots)) == CLIPS and not set(shots) & held_out:
                return cls(tuple(shots), pairs)

    def queries(self, given: str, rng: random.Random) -> list[Query]:
        """Queries whose input is ``given``, one of `INPUTS`: a description of every clip, or every
        edit.
        """
        if given == "description":
            told = [near_miss(shot, rng) if rng.random() < NOISE else shot for shot in self.shots]
            return [Query(shot.description(), place, False) for place, shot in enumerate(told)]
        reference, queries = self.shots[0], []
        for place, (edit, after) in enumerate(self.pairs, 1):
            text = rng.choice(edit.wordings(reference))
            if given.endswith("trace"):
                text = f"{text}\n{gold_trace(reference, after).text()}"
            queries.append(Query(text, place, given.startswith("source")))
        return queries


def lineup_tensors(
    lineups: list[Lineup], asked: list[list[Query]], tokenizer: PreTrainedTokenizerBase, film: str
) -> dict[str, torch.Tensor]:
    """The published prompts of what is ``asked`` of each of L line-ups, B queries in all, with the
    K clips of their own line-up each, every query once: behind it, one after the other, the clips.
    ``film`` is the text that a clip's tokens are.

    Returns
    -------
    ids (B, P + K * D), padded on the left; hidden (B, P), true for the padding; spans (K + 1,): P,
    and K times D; lineup (B,): whose clips a query meets; matches (B, K): which clip answers; same
    (B, K, 8): which attributes of a clip are those of the answer; source (B,): whether the first
    clip of the line-up stands in the query; answers (2,): the tokens that "yes" and "no" begin
    with.
    """
    rows = [(place, query) for place, queries in enumerate(asked) for query in queries]
    places = torch.tensor([place for place, _ in rows])
    pairs = [match_question(query.text, source=query.with_source) for _, query in rows]
    begun = [tokenizer(before.replace(VIDEO_TOKEN, film))["input_ids"] for before, _ in pairs]
    shown = tokenizer(film + pairs[0][1])["input_ids"]
    longest = -(-max(map(len, begun)) // 16) * 16  # few different shapes are compiled
    padding = [longest - len(ids) for ids in begun]
    ids = [
        [tokenizer.pad_token_id] * count + ids + shown * CLIPS for count, ids in zip(padding, begun)
    ]
    facts = torch.tensor(
        [
            [
                [VALUES[name].index(getattr(shot, name)) for name in ATTRIBUTES]
                for shot in each.shots
            ]
            for each in lineups
        ]
    )[places]
    targets = torch.tensor([query.target for _, query in rows])
    return {
        "ids": torch.tensor(ids),
        "hidden": torch.arange(longest) < torch.tensor(padding)[:, None],
        "spans": torch.tensor([longest] + [len(shown)] * CLIPS),
        "lineup": places,
        "matches": targets[:, None] == torch.arange(CLIPS),
        "same": facts[torch.arange(len(rows)), targets][:, None] == facts,
        "source": torch.tensor([query.with_source for _, query in rows]),
        "answers": torch.tensor([tokenizer(word)["input_ids"][0] for word in ("yes", "no")]),
    }


class MatchStream(Stream):
    """Batches of the reranker's training, some line-ups each, filmed once and asked for by every
    input of `INPUTS`. ``prefix`` holds the tokens of a video with its times, which stand in the
    middle of these prompts.
    """

    def batch(self, number: int, held_out: frozenset[Shot]) -> dict[str, Any]:
        """Frames (L * K, T, H, W, 3) uint8 of the clips, and for each input what `lineup_tensors`
        gives, in a list: ``asked``.
        """
        stage, _ = self.recipe.stage(number)
        rng = random.Random(f"{self.recipe.seed}/{number}")
        lineups = [Lineup.draw(rng, held_out) for _ in range(stage.batch)]
        frames = np.stack([filmed(shot, rng) for each in lineups for shot in each.shots])
        film = str(self.tokenizer.decode(self.prefix))
        asked = [[each.queries(given, rng) for each in lineups] for given in INPUTS]
        return {
            "frames": torch.from_numpy(frames),
            "asked": [lineup_tensors(lineups, each, self.tokenizer, film) for each in asked],
        }
