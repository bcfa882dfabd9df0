"""Prompts are answered, one batch at a time, and the states behind every token are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import GenerationConfig

from covrr_utils.backbones.constraint import Compiled, GrammarProcessor, compile_form
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.generation import Generation, Prompt

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


class Decoder:
    """How a backbone answers a batch of prompts."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self.generated_tokens = 0
        self._compiled: dict[str, Compiled] = {}

    @torch.inference_mode()
    def describe(
        self, prompts: Sequence[Prompt], generation: Generation, blocks: Sequence[torch.nn.Module]
    ) -> list[Description]:
        """Generate for one batch.

        Sampling is seeded by the decoding's seed and the batch's own texts and clips, not by what
        ran before.
        """
        model = self.backbone.model
        states: list[torch.Tensor] = []
        visual: list[torch.Tensor] = []
        layers: list[list[torch.Tensor]] = [[] for _ in blocks]
        head = model.get_output_embeddings()
        if generation.do_sample:
            content = json.dumps([generation.seed, *((p.clip.id, p.text) for p in prompts)])
            torch.manual_seed(int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "big"))
        with ExitStack() as hooks:
            hooks.callback(
                head.register_forward_pre_hook(
                    lambda module, args: states.append(_newest(args[0]))
                ).remove
            )
            hooks.callback(
                model.model.visual.register_forward_hook(
                    lambda module, args, out: visual.append(out.pooler_output)
                ).remove
            )
            for block, kept in zip(blocks, layers):
                hooks.callback(
                    block.register_forward_hook(
                        lambda module, args, out, kept=kept: kept.append(_newest(out))
                    ).remove
                )
            inputs = self.backbone.inputs(prompts)
            output = model.generate(
                **inputs,
                generation_config=self._config(generation),
                logits_processor=self._processors(inputs["input_ids"].shape[1], generation),
            )
        new = output.sequences[:, inputs["input_ids"].shape[1] :].cpu()
        if len(states) != new.shape[1] or states[0].shape[0] != len(prompts):
            raise RuntimeError(
                f"captured {len(states)} states for {new.shape[1]} generated tokens; the model does"
                f" not pass its states through {type(head).__name__} once per token, so it cannot"
                " be used as a backbone"
            )
        logprobs = torch.stack(
            [logits.float().log_softmax(-1).cpu() for logits in output.logits], 1
        ).gather(2, new[..., None])[..., 0]
        stacked = torch.stack(states, 1)
        # (B, L, T, D)
        deeper = torch.stack([torch.stack(kept, 1) for kept in layers], 1) if layers else None
        merged = model.model.visual.spatial_merge_size**2
        videos = (
            visual[0].float().cpu().split((inputs["video_grid_thw"].prod(-1) // merged).tolist())
        )
        descriptions = [
            self.cut(
                new[row],
                stacked[row],
                logprobs[row],
                prompt.clip.id,
                layers=None if deeper is None else deeper[row],
                vision=videos[row].mean(0),
            )
            for row, prompt in enumerate(prompts)
        ]
        self.generated_tokens += sum(len(description.tokens) for description in descriptions)
        return descriptions

    def _config(self, generation: Generation) -> GenerationConfig:
        sampled = (
            {
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "top_k": generation.top_k,
            }
            if generation.do_sample
            else {}
        )
        return GenerationConfig(
            max_new_tokens=generation.max_new_tokens,
            do_sample=generation.do_sample,
            eos_token_id=self.backbone.end_ids,
            **sampled,
            pad_token_id=self.backbone.processor.tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )

    def _processors(self, prompt_tokens: int, generation: Generation) -> list[GrammarProcessor]:
        """The grammar's processor for one call of ``generate``; none without a grammar.

        Each grammar is compiled once per backbone.
        """
        if generation.grammar is None:
            return []
        if generation.grammar not in self._compiled:
            vocabulary = self.backbone.model.get_output_embeddings().weight.shape[0]
            self._compiled[generation.grammar] = compile_form(
                generation.grammar,
                self.backbone.processor.tokenizer,
                vocabulary,
                self.backbone.end_ids,
            )
        return [
            GrammarProcessor(
                self._compiled[generation.grammar], prompt_tokens, generation.max_new_tokens
            )
        ]

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


def _newest(
    states: Float[torch.Tensor, "batch sequence width"],
) -> Float[torch.Tensor, "batch width"]:
    """The states at the last position of each row, as float32 on the CPU."""
    return states[:, -1].float().cpu()
