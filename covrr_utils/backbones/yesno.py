"""Does a video match a query, yes or no? The question in the format of the published
Qwen3-VL-Reranker (QwenLM/Qwen3-VL-Embedding, Apache-2.0), for those checkpoints and for any other
backbone.

The prompt is built as a string, not through the checkpoint's chat template: that of the published
rerankers knows other roles and drops a user's message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from covrr_utils.backbones.chat import Chat
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.prefix import Prefixes
from covrr_utils.backbones.qwen import INSTRUCTION, match_question
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


class YesNo:
    """Scores pairs of a text and a clip by the answer that follows the question.

    Attributes
    ----------
    forwarded : tokens that went through the decoder so far

    Raises
    ------
    ValueError
        If the tokenizer begins "yes" and "no" with the same token.
    """

    def __init__(self, backbone: Backbone, instruction: str = INSTRUCTION):
        self.backbone, self.instruction = backbone, instruction
        self._prefixes = Prefixes(backbone.model, backbone.layout)
        self.forwarded = 0
        encode = backbone.processor.tokenizer.encode
        self.yes, self.no = (encode(word, add_special_tokens=False)[0] for word in ("yes", "no"))
        if self.yes == self.no:
            raise ValueError(
                f"the tokenizer of {backbone.name} begins 'yes' and 'no' with the same token, so"
                " its answer cannot be read; take another backbone, or rerank by likelihood"
            )

    @torch.inference_mode()
    def of(self, clips: Sequence[Clip], texts: Sequence[Sequence[str]]) -> list[list[Description]]:
        """For every clip, each of its ``texts`` as the query: a `Description` of one token, "yes",
        whose ``logprobs`` hold the log odds of yes against no: the difference of two logits,
        computed and kept in float32, for in bfloat16 its steps of 1/16 make ties. Its sigmoid is
        the published score.

        Raises
        ------
        NotFinite
            If a difference is not finite.
        """
        pairs = [
            (clip, text)
            for clip, clip_texts in zip(clips, texts, strict=True)
            for text in clip_texts
        ]
        size, scored = self.backbone.batch_size, []
        for start in range(0, len(pairs), size):
            batch = pairs[start : start + size]
            try:
                differences = self._differences(*zip(*batch))
            finally:
                self._prefixes.clear()
            scored += [
                self._description(text, difference, clip.id)
                for (clip, text), difference in zip(batch, differences.tolist(), strict=True)
            ]
        in_order = iter(scored)
        return [[next(in_order) for _ in clip_texts] for clip_texts in texts]

    def _differences(
        self, clips: Sequence[Clip], texts: Sequence[str]
    ) -> Float[torch.Tensor, " batch"]:
        """logit(yes) - logit(no) behind the question, one per pair."""
        layout, model = self.backbone.layout, self.backbone.model
        chats = [self._chat(text) for text in texts]
        question = layout.question_ids(chats[0])
        opened = self._prefixes.open(clips, chats, len(question))
        ids = torch.tensor(question, device=model.device).expand(len(chats), -1)
        mask = torch.cat([opened.mask, torch.ones_like(ids)], 1)
        position = opened.next_position[:, None] + torch.arange(len(question), device=model.device)
        state = model.model.language_model(
            input_ids=ids,
            attention_mask=None if bool(mask.all()) else mask,
            position_ids=position.expand(3, *position.shape),
            use_cache=True,
            **{self._prefixes.argument: opened.cache},
        ).last_hidden_state[:, -1]
        self.forwarded += int(mask.sum())
        rows = model.get_output_embeddings().weight
        direction = rows[self.yes].float() - rows[self.no].float()
        return state.float().to(direction.device) @ direction

    def _chat(self, text: str) -> Chat:
        """The question with its text, in which no control token is read as one."""
        plain, _ = self.backbone.layout.marked(text)
        before, after = match_question(plain, self.instruction)
        return Chat(before, after, {})

    def _description(self, text: str, difference: float, clip: str) -> Description:
        if not np.isfinite(difference):
            raise NotFinite(
                f"the answer to whether {clip!r} matches is not finite; try another dtype"
            )
        return Description(
            text,
            ["yes"],
            np.array([self.yes], np.int64),
            np.zeros((1, 0), np.float32),
            np.array([difference], np.float32),
            True,
            np.zeros(1, bool),
        )
