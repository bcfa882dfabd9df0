"""Prompts are answered, one batch at a time, and the states behind every token are kept.

A loop of our own in the place of ``generate``: it goes on from a `Prefix`, keeps the one state and
the one log-probability of each new token, and lets finished rows leave the batch. Greedy texts are
those of ``generate`` (a test holds them to it).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from threading import Lock
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

from covrr_utils.backbones.answers import Answers, last_place, next_tokens
from covrr_utils.backbones.constraint import Compiled, GrammarProcessor, compile_form
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.prefix import RESERVE, Growing, Prefix, Prefixes
from covrr_utils.backbones.questions import Asked, read_questions
from covrr_utils.backbones.sampling import chance
from covrr_utils.backbones.step import Step, is_plain, scores_of

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone

LEAVING = 0.5  # finished rows leave the batch once no more than this share of it is unfinished


class TextGenerator:
    """How a backbone answers a batch of prompts.

    Attributes
    ----------
    generated_tokens : tokens written so far, here and beside
    """

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self.generated_tokens = 0
        self._whole: TextGenerator | None = None  # beside which this one answers
        self._kept: list[Prefix] = []
        self._kept_beside: dict[int, list[Prefix]] = {}
        self._counting = Lock()
        self._compiled: dict[str, Compiled] = {}

    def beside(self, backbone: Backbone, number: int) -> TextGenerator:
        """One that answers for ``backbone``, which is this one's in another thread: with prefixes
        of its own, which the next one of this ``number`` goes on from; what is seen of clips and
        the grammars are shared, and its tokens count here too.
        """
        other = TextGenerator(backbone)
        other._whole, other._compiled = self, self._compiled
        other._kept = self._kept_beside.setdefault(number, [])
        return other

    @cached_property
    def prefixes(self) -> Prefixes:
        """The prefixes of this backbone's clips."""
        seen = None if self._whole is None else self._whole.prefixes.sights.memory
        return Prefixes(self.backbone.model, self.backbone.layout, seen, self._kept)

    def describe(
        self, prompts: Sequence[Prompt], generation: Generation, blocks: Sequence[torch.nn.Module]
    ) -> list[Description]:
        """Generate for one batch."""
        return self.sample(prompts, [generation], blocks)[0]

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[Prompt],
        generations: Sequence[Generation],
        blocks: Sequence[torch.nn.Module] = (),
        together: int = 1,
    ) -> list[list[Description]]:
        """Generate for one batch in each of these ways, which differ in their seeds alone; so many
        of them at once, with a row for every prompt and seed. The questions are read once.

        Sampling is seeded by the decoding's seed and the batch's own texts and clips, not by what
        ran before or runs beside it.

        Raises
        ------
        ValueError
            If the ways differ in more than their seeds.
        """
        generation = generations[0]
        if any(replace(other, seed=generation.seed) != generation for other in generations):
            raise ValueError("samples of one question differ in their seeds alone")
        layout, model = self.backbone.layout, self.backbone.model
        chats = [layout.chat(prompt.text) for prompt in prompts]
        ids, mask = layout.padded([layout.question_ids(chat) for chat in chats])
        room = min(generation.max_new_tokens, RESERVE)
        samples: list[list[Description]] = []
        try:
            opened = self.prefixes.open(
                [prompt.clip for prompt in prompts], chats, ids.shape[1] + room
            )
            ids, mask = ids.to(model.device), mask.to(model.device)
            asked = read_questions(
                model.model.language_model, opened, ids, mask, blocks, self.prefixes.argument
            )
            for start in range(0, len(generations), together):
                ways = generations[start : start + together]
                chances = [chance(prompts, way, model.device) for way in ways if way.do_sample]
                rows = asked.times(len(ways), room)
                answers = self._written(rows, generation, blocks, chances)
                samples += self._descriptions(prompts, answers, opened.vision, len(ways))
        except BaseException:
            self.prefixes.clear()  # memory may have run out: a smaller batch needs what they hold
            raise
        self._count(sum(len(description.tokens) for each in samples for description in each))
        return samples

    def _descriptions(
        self,
        prompts: Sequence[Prompt],
        answers: Answers,
        vision: Float[torch.Tensor, "batch width"],
        times: int,
    ) -> list[list[Description]]:
        """What was written for every prompt so many ``times``."""
        batch = len(prompts) * times
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
                vision=vision[row % len(prompts)],
            )
            for row, prompt in enumerate([*prompts] * times)
        ]
        return [
            descriptions[start : start + len(prompts)] for start in range(0, batch, len(prompts))
        ]

    def _count(self, tokens: int) -> None:
        with self._counting:
            self.generated_tokens += tokens
        if self._whole is not None:
            self._whole._count(tokens)

    def _written(
        self,
        asked: Asked,
        generation: Generation,
        blocks: Sequence[torch.nn.Module],
        chances: Sequence[torch.Generator],
    ) -> Answers:
        """Write token by token after what was ``asked``, until every row has ended its turn or the
        limit is reached; the ``chances`` are those of `next_tokens`.
        """
        model, device = self.backbone.model, self.backbone.model.device
        decoder, head = model.model.language_model, model.get_output_embeddings()
        ends = torch.tensor(self.backbone.end_ids, device=device)
        answers = Answers(layers=[[states] for states in asked.deeper])
        state, cache, seen, position = asked.state, asked.cache, asked.seen, asked.position
        processors, padded = self._processors(generation), not bool(seen.all())
        rows, share = torch.arange(len(state)), len(state) // max(len(chances), 1)
        written = torch.empty(len(state), 0, dtype=torch.long, device=device)
        finished = torch.zeros(len(state), dtype=torch.bool, device=device)
        layers = list(decoder.layers)
        kept_of = {layers.index(block): kept for block, kept in zip(blocks, answers.layers)}
        step = Step(decoder, kept_of) if is_plain(decoder) else None
        with ExitStack() as hooks:
            for block, kept in zip(blocks, answers.layers):
                hooks.callback(block.register_forward_hook(last_place(kept)).remove)
            while True:
                scores = scores_of(head, state).float().to(device)
                chosen = next_tokens(
                    processors(cast(torch.LongTensor, written), scores), chances, rows, share
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
                ids, position = chosen[:, None], position + 1
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
                if step is None:
                    state = decoder(
                        input_ids=ids,
                        attention_mask=seen if padded else None,
                        position_ids=position.expand(3, *position.shape),
                        use_cache=True,
                        **{self.prefixes.argument: cache},
                    ).last_hidden_state[:, -1]
                else:
                    shown = seen[:, None, None].bool() if padded else None
                    state = step(ids, shown, position, cache)

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
