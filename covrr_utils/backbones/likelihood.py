"""How probable a text is as the answer to a question about a clip: log p of each of its tokens,
nothing generated.

Everything up to the answer (the clip, the question) is the same for all texts that are scored with
a clip, so it is computed once a clip; then only the texts' tokens are forwarded, many rows at a
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers.cache_utils import Cache

from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.prefix import Growing, Opened, Prefixes
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


class Likelihood:
    """Scores texts as answers to one question.

    Attributes
    ----------
    forwarded : tokens that went through the decoder so far
    unshared : tokens that would have, had every pair of clip and text been forwarded by itself
    """

    def __init__(self, backbone: Backbone, question: str):
        self.backbone = backbone
        self._chat = backbone.layout.chat(question)
        self._prefixes = Prefixes(backbone.model, backbone.layout)
        self.forwarded = self.unshared = 0

    @torch.inference_mode()
    def of(self, clips: Sequence[Clip], texts: Sequence[Sequence[str]]) -> list[list[Description]]:
        """For every clip, each of its ``texts`` as the answer: a `Description` whose ``logprobs``
        are log p(token | clip, question, the tokens before), the end of the turn among them.

        Token states are not kept: ``states`` is (T, 0).

        Raises
        ------
        NotFinite
            If a log-probability is not finite.
        """
        layout = self.backbone.layout
        question = layout.question_ids(self._chat)
        try:
            opened = self._prefixes.open(clips, [self._chat] * len(clips), len(question))
            mask, following, last = self._question(opened, question)
            pairs = [(clip, text) for clip, clip_texts in enumerate(texts) for text in clip_texts]
            answers = {text: layout.answer_ids(text) for _, text in pairs}
            order = sorted(range(len(pairs)), key=lambda place: len(answers[pairs[place][1]]))
            scored: dict[int, Description] = {}
            size = self.backbone.batch_size
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                owners = torch.tensor([pairs[place][0] for place in chosen])
                rows = [answers[pairs[place][1]] for place in chosen]
                there = owners.to(mask.device)
                logprobs = self._answers(
                    opened.cache, owners, mask[there], following[there], last[there], rows
                )
                for place, ids, row_logprobs in zip(chosen, rows, logprobs):
                    clip, text = pairs[place]
                    scored[place] = self._description(text, ids, row_logprobs, clips[clip].id)
        finally:
            self._prefixes.clear()
        lengths = opened.mask.sum(1).tolist()
        tokens = sum(len(answers[text]) - 1 for _, text in pairs)
        self.forwarded += sum(lengths) + len(clips) * len(question) + tokens
        self.unshared += sum(lengths[clip] + len(question) for clip, _ in pairs) + tokens
        in_order = iter(scored[place] for place in range(len(pairs)))
        return [[next(in_order) for _ in clip_texts] for clip_texts in texts]

    def _question(
        self, opened: Opened, asked: Sequence[int]
    ) -> tuple[
        Int[torch.Tensor, "clips length"],
        Int[torch.Tensor, " clips"],
        Float[torch.Tensor, "clips width"],
    ]:
        """Forward the question after every clip: the mask up to its end, the position that follows,
        and the state that predicts the answer's first token.
        """
        device = self.backbone.model.device
        ids = torch.tensor(asked, device=device).expand(len(opened.mask), -1)
        mask = torch.cat([opened.mask, torch.ones_like(ids)], 1)
        states = self._forward(opened.cache, ids, mask, opened.next_position)
        return mask, opened.next_position + len(asked), states[:, -1]

    def _answers(
        self,
        cache: Cache,
        owners: Int[torch.Tensor, " batch"],
        mask: Int[torch.Tensor, "batch length"],
        following: Int[torch.Tensor, " batch"],
        last: Float[torch.Tensor, "batch width"],
        rows: Sequence[Sequence[int]],
    ) -> list[Float[np.ndarray, " tokens"]]:
        """The log-probabilities of one answer per row. Answers are padded on the right, where no
        token of theirs can see it.
        """
        longest = max(map(len, rows))
        states = last[:, None]
        if longest > 1:
            room = longest - 1
            ids = torch.tensor([[*row[:-1], *[0] * (longest - len(row))] for row in rows])
            ids = ids.to(last.device)
            branch = Cache(layers=[cast(Growing, each).rows(owners, room) for each in cache.layers])
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            states = torch.cat([states, self._forward(branch, ids, mask, following)], 1)
        head = self.backbone.model.get_output_embeddings()
        logprobs = []
        for row, row_states in zip(rows, states):
            chances = head(row_states[: len(row)]).float().log_softmax(-1)
            places = torch.tensor(row, device=chances.device)[:, None]
            logprobs.append(chances.gather(1, places)[:, 0].cpu().numpy())
        return logprobs

    def _forward(
        self,
        cache: Cache,
        ids: Int[torch.Tensor, "batch new"],
        mask: Int[torch.Tensor, "batch length"],
        begin: Int[torch.Tensor, " batch"],
    ) -> Float[torch.Tensor, "batch new width"]:
        """The states of new tokens that stand after what the cache holds."""
        position = begin[:, None] + torch.arange(ids.shape[1], device=begin.device)
        return self.backbone.model.model.language_model(
            input_ids=ids,
            attention_mask=None if bool(mask.all()) else mask,
            position_ids=position.expand(3, *position.shape),
            use_cache=True,
            **{self._prefixes.argument: cache},
        ).last_hidden_state

    def _description(
        self, text: str, ids: Sequence[int], logprobs: Float[np.ndarray, " tokens"], clip: str
    ) -> Description:
        if not np.isfinite(logprobs).all():
            raise NotFinite(
                f"the log-probabilities of a text, given {clip!r}, are not finite; try another"
                " dtype"
            )
        tokenizer = self.backbone.processor.tokenizer
        special = np.isin(ids, self.backbone.end_ids)
        return Description(
            text,
            tokenizer.convert_ids_to_tokens(list(ids)),
            np.array(ids, np.int64),
            np.zeros((len(ids), 0), np.float32),
            logprobs.astype(np.float32),
            True,
            special,
        )
