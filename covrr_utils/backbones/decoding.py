"""Prompts are answered, one batch at a time, and the states behind every token are kept.

A loop of our own in the place of ``generate``: it goes on from a `Prefix`, keeps the one state and
the one log-probability of each new token, and lets finished rows leave the batch. Greedy texts are
those of ``generate`` (a test holds them to it).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import Cache

from covrr_utils.backbones.constraint import Compiled, GrammarProcessor, compile_form
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.prefix import RESERVE, Growing, Opened, Prefixes

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

LEAVING = 0.5  # finished rows leave the batch once no more than this share of it is unfinished


@dataclass
class Answers:
    """What has been generated for B rows, step by step; rows that have left are missing in later
    steps.
    """

    rows: list[Int[torch.Tensor, " active"]] = field(default_factory=list)
    tokens: list[Int[torch.Tensor, " active"]] = field(default_factory=list)
    states: list[Float[torch.Tensor, "active width"]] = field(default_factory=list)
    logprobs: list[Float[torch.Tensor, " active"]] = field(default_factory=list)
    layers: list[list[Float[torch.Tensor, "active width"]]] = field(default_factory=list)

    def whole(self, steps: Sequence[torch.Tensor], batch: int) -> torch.Tensor:
        """One tensor (B, T, ...) of what was kept step by step, on the CPU; zero for rows that have
        left.
        """
        out = torch.zeros(batch, len(steps), *steps[0].shape[1:], dtype=steps[0].dtype)
        for number, (rows, values) in enumerate(zip(self.rows, steps)):
            out[rows, number] = values.cpu()
        return out


class TextGenerator:
    """How a backbone answers a batch of prompts."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self.generated_tokens = 0
        self._prefixes: Prefixes | None = None
        self._compiled: dict[str, Compiled] = {}

    @property
    def prefixes(self) -> Prefixes:
        """The prefixes of this backbone's clips."""
        if self._prefixes is None:
            self._prefixes = Prefixes(self.backbone.model, self.backbone.layout)
        return self._prefixes

    @torch.inference_mode()
    def describe(
        self, prompts: Sequence[Prompt], generation: Generation, blocks: Sequence[torch.nn.Module]
    ) -> list[Description]:
        """Generate for one batch.

        Sampling is seeded by the decoding's seed and the batch's own texts and clips, not by what
        ran before.
        """
        layout = self.backbone.layout
        chats = [layout.chat(prompt.text) for prompt in prompts]
        ids, mask = layout.padded([layout.question_ids(chat) for chat in chats])
        room = ids.shape[1] + min(generation.max_new_tokens, RESERVE)
        if generation.do_sample:
            content = json.dumps([generation.seed, *((p.clip.id, p.text) for p in prompts)])
            torch.manual_seed(int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "big"))
        try:
            opened = self.prefixes.open([prompt.clip for prompt in prompts], chats, room)
            answers = self._answered(opened, ids, mask, generation, blocks)
        except BaseException:
            self.prefixes.clear()  # memory may have run out: a smaller batch needs what they hold
            raise
        batch = len(prompts)
        tokens, logprobs = (
            answers.whole(steps, batch) for steps in (answers.tokens, answers.logprobs)
        )
        states = answers.whole(answers.states, batch).float()
        deeper = [answers.whole(steps, batch).float() for steps in answers.layers]
        descriptions = [
            self.cut(
                tokens[row],
                states[row],
                logprobs[row],
                prompt.clip.id,
                layers=torch.stack([layer[row] for layer in deeper]) if deeper else None,
                vision=opened.vision[row],
            )
            for row, prompt in enumerate(prompts)
        ]
        self.generated_tokens += sum(len(description.tokens) for description in descriptions)
        return descriptions

    def _answered(
        self,
        opened: Opened,
        ids: Int[torch.Tensor, "batch question"],
        mask: Int[torch.Tensor, "batch question"],
        generation: Generation,
        blocks: Sequence[torch.nn.Module],
    ) -> Answers:
        """Read the questions, then write token by token until every row has ended its turn or the
        limit is reached.
        """
        model, device = self.backbone.model, self.backbone.model.device
        decoder, head = model.model.language_model, model.get_output_embeddings()
        ends = torch.tensor(self.backbone.end_ids, device=device)
        answers = Answers(layers=[[] for _ in blocks])
        ids, mask = ids.to(device), mask.to(device)
        batch, cache, processors = len(ids), opened.cache, self._processors(generation)
        rows, written = torch.arange(batch), ids[:, :0]
        finished = torch.zeros(batch, dtype=torch.bool, device=device)
        position = opened.next_position[:, None] + (mask.cumsum(1) - 1).clamp(min=0)
        seen = torch.cat([opened.mask, mask], 1)
        padded = not bool(seen.all())
        with ExitStack() as hooks:
            for block, kept in zip(blocks, answers.layers):
                hooks.callback(
                    block.register_forward_hook(
                        lambda module, args, out, kept=kept: kept.append(out[:, -1].contiguous())
                    ).remove
                )
            while True:
                state = decoder(
                    input_ids=ids,
                    attention_mask=seen if padded else None,
                    position_ids=position.expand(3, *position.shape),
                    use_cache=True,
                    **{self.prefixes.argument: cache},
                ).last_hidden_state[:, -1]
                scores = head(state).float().to(device)
                chosen = _chosen(
                    processors(cast(torch.LongTensor, written), scores), generation, rows, batch
                )
                answers.rows.append(rows)
                answers.tokens.append(chosen)
                answers.states.append(state.contiguous())
                answers.logprobs.append(
                    scores.gather(1, chosen[:, None])[:, 0] - scores.logsumexp(-1)
                )
                finished = finished | torch.isin(chosen, ends)
                written = torch.cat([written, chosen[:, None]], 1)
                left = int((~finished).sum())
                if not left or written.shape[1] == generation.max_new_tokens:
                    return answers
                ids, position = chosen[:, None], position[:, -1:] + 1
                seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
                if left <= LEAVING * len(rows):
                    stay = (~finished).nonzero()[:, 0]
                    ids, position, seen, written, finished = (
                        part[stay] for part in (ids, position, seen, written, finished)
                    )
                    room = min(generation.max_new_tokens - written.shape[1], RESERVE)
                    cache = Cache(
                        layers=[cast(Growing, layer).rows(stay, room) for layer in cache.layers]
                    )
                    rows = rows[stay.cpu()]
                    for processor in processors:
                        if isinstance(processor, GrammarProcessor):
                            processor.keep(stay.tolist())

    def _processors(self, generation: Generation) -> LogitsProcessorList:
        """What changes the scores of one batch before a token is chosen, in the order in which
        ``generate`` does: the grammar, then temperature, top_k and top_p.

        Each grammar is compiled once per backbone.
        """
        processors = LogitsProcessorList()
        if generation.grammar is not None:
            if generation.grammar not in self._compiled:
                vocabulary = self.backbone.model.get_output_embeddings().weight.shape[0]
                self._compiled[generation.grammar] = compile_form(
                    generation.grammar,
                    self.backbone.processor.tokenizer,
                    vocabulary,
                    self.backbone.end_ids,
                )
            compiled = self._compiled[generation.grammar]
            processors.append(GrammarProcessor(compiled, 0, generation.max_new_tokens))
        if generation.do_sample:
            if generation.temperature != 1.0:
                processors.append(TemperatureLogitsWarper(generation.temperature))
            if generation.top_k:
                processors.append(TopKLogitsWarper(generation.top_k))
            if generation.top_p < 1.0:
                processors.append(TopPLogitsWarper(generation.top_p))
        return processors

    def cut(
        self,
        ids: Int[torch.Tensor, " tokens"],
        states: Float[torch.Tensor, "tokens width"],
        logprobs: Float[torch.Tensor, " tokens"],
        clip: str,
        layers: Float[torch.Tensor, "layers tokens width"] | None,
        vision: Float[torch.Tensor, " width"],
    ) -> Description:
        """One row as a description: cut after its end-of-turn token; the tokens of a thought count
        as special.

        Raises
        ------
        NotFinite
            If a state is not finite; the message names ``clip``.
        """
        tokenizer, end_ids = self.backbone.processor.tokenizer, self.backbone.end_ids
        ends = torch.isin(ids, torch.tensor(end_ids)).nonzero()
        length = int(ends[0]) + 1 if len(ends) else len(ids)
        ids = ids[:length]
        spoken = 0
        if self.backbone.thinks:
            closed = (ids == tokenizer.convert_tokens_to_ids("</think>")).nonzero()
            # a thought that never ends says nothing
            spoken = int(closed[0]) + 1 if len(closed) else length
        if not torch.isfinite(states[:length]).all():
            raise NotFinite(
                f"the states of the description of {clip!r} are not finite; try another dtype"
            )
        return Description(
            text=tokenizer.decode(ids[spoken:], skip_special_tokens=True).strip(),
            tokens=[tokenizer.decode([token]) for token in ids.tolist()],
            token_ids=ids.numpy().astype(np.int64),
            states=states[:length].numpy().astype(np.float32),
            logprobs=logprobs[:length].numpy().astype(np.float32),
            ended=bool(len(ends)),
            special=np.isin(ids.numpy(), [*tokenizer.all_special_ids, *end_ids])
            | (np.arange(length) < spoken),
            layers=None if layers is None else layers[:, :length].numpy().astype(np.float32),
            vision=vision.numpy().astype(np.float32),
        )


def _chosen(
    scores: Float[torch.Tensor, "active vocabulary"],
    generation: Generation,
    rows: Int[torch.Tensor, " active"],
    batch: int,
) -> Int[torch.Tensor, " active"]:
    """The next token of every row: the likeliest, or one drawn.

    Drawing takes as many random numbers as the whole batch would, so that what a row draws does not
    depend on which rows have left.
    """
    if not generation.do_sample:
        return scores.argmax(-1)
    chances = torch.ones(batch, scores.shape[1], device=scores.device)
    there = rows.to(scores.device)
    chances[there] = scores.softmax(-1)
    return torch.multinomial(chances, num_samples=1)[there, 0]
