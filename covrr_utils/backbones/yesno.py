"""Does a video match a query, yes or no? The question in the format of the published
Qwen3-VL-Reranker (QwenLM/Qwen3-VL-Embedding, Apache-2.0), for those checkpoints and for any other
backbone.

The prompt is built as a string, not through the checkpoint's chat template: that of the published
rerankers knows other roles and drops a user's message.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float
from transformers.cache_utils import Cache

from covrr_utils.backbones.chat import Chat
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.prefix import Growing, cache_argument
from covrr_utils.backbones.qwen import INSTRUCTION, VIDEO_TOKEN, match_question
from covrr_utils.backbones.sight import Sights
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


class YesNo:
    """Scores pairs of a query and a clip by the answer that follows the question.

    What all questions begin with (the roles and the instruction) is computed once, and what the
    vision tower makes of a clip is kept.

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
        self._sights = Sights(backbone.model, backbone.layout)
        self._argument = cache_argument(backbone.model)
        self._head: tuple[list[int], Cache] | None = None
        self.forwarded = 0
        encode = backbone.processor.tokenizer.encode
        self.yes, self.no = (encode(word, add_special_tokens=False)[0] for word in ("yes", "no"))
        if self.yes == self.no:
            raise ValueError(
                f"the tokenizer of {backbone.name} begins 'yes' and 'no' with the same token, so"
                " its answer cannot be read; take another backbone, or rerank by likelihood"
            )

    @torch.inference_mode()
    def of(
        self,
        clips: Sequence[Clip],
        texts: Sequence[Sequence[str]],
        sources: Sequence[Sequence[Clip]] | None = None,
    ) -> list[list[Description]]:
        """For every clip, each of its ``texts`` as the query: a `Description` of one token, "yes",
        whose ``logprobs`` hold the log odds of yes against no: the difference of two logits,
        computed and kept in float32, for in bfloat16 its steps of 1/16 make ties. Its sigmoid is
        the published score. ``sources``: a clip for every text, which stands before it in the
        query.

        Raises
        ------
        NotFinite
            If a difference is not finite.
        """
        pairs = [
            (shown, text)
            for number, clip in enumerate(clips)
            for place, text in enumerate(texts[number])
            for shown in [[sources[number][place], clip] if sources else [clip]]
        ]
        size, scored = self.backbone.batch_size, []
        for start in range(0, len(pairs), size):
            batch = pairs[start : start + size]
            differences = self._differences([shown for shown, _ in batch], [t for _, t in batch])
            scored += [
                self._description(text, difference, shown[-1].id)
                for (shown, text), difference in zip(batch, differences.tolist(), strict=True)
            ]
        in_order = iter(scored)
        return [[next(in_order) for _ in clip_texts] for clip_texts in texts]

    def clear(self) -> None:
        """Give back the memory of all that is kept."""
        self._sights.clear()
        self._head = None

    def _differences(
        self, shown: Sequence[Sequence[Clip]], texts: Sequence[str]
    ) -> Float[torch.Tensor, " batch"]:
        """logit(yes) - logit(no) behind the question, one per pair; ``shown``: its clips."""
        layout, model = self.backbone.layout, self.backbone.model
        clips = [clip for row in shown for clip in row]
        keys = [self._sights.key(clip, "") for clip in clips]
        sights = self._sights.of(clips, [""] * len(clips), keys)
        films = iter(sights)
        rows = [self._row(text, [next(films).ids for _ in row]) for row, text in zip(shown, texts)]
        head, cache = self._opened(rows)
        rest, mask = layout.padded([row[len(head) :] for row in rows])
        ids = torch.cat([torch.tensor(head).expand(len(rows), -1), rest], 1)
        seen = torch.cat([torch.ones(len(rows), len(head), dtype=mask.dtype), mask], 1)
        types = torch.tensor(layout.processor.create_mm_token_type_ids(ids.tolist()))
        grid = torch.stack([sight.grid for sight in sights])
        positions, _ = model.model.get_rope_index(
            input_ids=ids, mm_token_type_ids=types, video_grid_thw=grid, attention_mask=seen
        )
        device = model.device
        everyone = torch.zeros(len(rows), dtype=torch.long)
        branch = Cache(
            layers=[cast(Growing, each).rows(everyone, rest.shape[1]) for each in cache.layers]
        )
        state = model.model(
            input_ids=rest.to(device),
            attention_mask=seen.to(device),
            position_ids=positions[:, :, len(head) :].to(device),
            mm_token_type_ids=types[:, len(head) :].to(device),
            video_grid_thw=grid.to(device),
            mm_encoder_outputs={"video": self._sights.outputs(sights)},
            use_cache=True,
            **{self._argument: branch},
        ).last_hidden_state[:, -1]
        self.forwarded += int(mask.sum())
        weights = model.get_output_embeddings().weight
        direction = weights[self.yes].float() - weights[self.no].float()
        return state.float().to(direction.device) @ direction

    def _row(self, text: str, films: Sequence[list[int]]) -> list[int]:
        """The tokens of the question with its text, in which no control token is read as one, and
        its videos.
        """
        layout = self.backbone.layout
        plain, marks = layout.marked(text)
        before, after = match_question(plain, self.instruction, source=len(films) > 1)
        begun, *between = [*before.split(VIDEO_TOKEN), after]
        ids = layout.question_ids(Chat("", begun, marks))
        for film, piece in zip(films, between, strict=True):
            ids += film + layout.question_ids(Chat("", piece, marks))
        return ids

    def _opened(self, rows: Sequence[list[int]]) -> tuple[list[int], Cache]:
        """The tokens that all questions begin with, and what the decoder computed for them."""
        if self._head is None or any(row[: len(self._head[0])] != self._head[0] for row in rows):
            layout, model = self.backbone.layout, self.backbone.model
            before = match_question("", self.instruction)[0].rpartition("<Query>")[0]
            ids = layout.question_ids(Chat("", before, {}))
            head = [id_ for *_, id_ in takewhile(lambda at: len(set(at)) == 1, zip(*rows, ids))]
            cache = Cache(layers=[Growing(0) for _ in model.model.language_model.layers])
            position = torch.arange(len(head), device=model.device).expand(3, 1, -1)
            model.model.language_model(
                input_ids=torch.tensor([head], device=model.device),
                position_ids=position,
                use_cache=True,
                **{self._argument: cache},
            )
            self.forwarded += len(head)
            self._head = head, cache
        return self._head

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
