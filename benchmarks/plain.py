"""Descriptions by transformers' own ``generate``, one whole prompt after the other: what the decode
loop of `covrr_utils.backbones` is measured against, and what the tests hold it to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.constraint import GrammarProcessor, compile_form
from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt


def load(folder: Path, batch_size: int = 32, dtype: torch.dtype = torch.float32) -> Backbone:
    """A checkpoint on the CPU as transformers itself loads it."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
    return Backbone(folder.name, model, AutoProcessor.from_pretrained(folder), folder, batch_size)


@torch.inference_mode()
def describe(
    backbone: Backbone, prompts: Sequence[Prompt], generation: Generation
) -> list[Description]:
    """One description per prompt, all in one batch: the video is encoded and the whole prompt is
    read anew, logits are kept over the vocabulary, states are taken by a hook on the head.
    """
    model, tokenizer = backbone.model, backbone.processor.tokenizer
    head = model.get_output_embeddings()
    states: list[torch.Tensor] = []
    visual: list[torch.Tensor] = []
    options: dict = {}
    if generation.do_sample:
        content = json.dumps([generation.seed, *((p.clip.id, p.text) for p in prompts)])
        torch.manual_seed(int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "big"))
        options = {
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "top_k": generation.top_k,
        }
    inputs = backbone.inputs(prompts)
    length = inputs["input_ids"].shape[1]
    processors = []
    if generation.grammar is not None:
        compiled = compile_form(
            generation.grammar, tokenizer, head.weight.shape[0], backbone.end_ids
        )
        processors.append(GrammarProcessor(compiled, length, generation.max_new_tokens))
    hooks = [
        head.register_forward_pre_hook(lambda module, args: states.append(args[0][:, -1].float())),
        model.model.visual.register_forward_hook(
            lambda module, args, out: visual.append(out.pooler_output.float())
        ),
    ]
    try:
        output = model.generate(
            **inputs,
            generation_config=GenerationConfig(
                max_new_tokens=generation.max_new_tokens,
                do_sample=generation.do_sample,
                eos_token_id=backbone.end_ids,
                pad_token_id=tokenizer.pad_token_id,
                return_dict_in_generate=True,
                output_logits=True,
                **options,
            ),
            logits_processor=processors,
        )
    finally:
        for hook in hooks:
            hook.remove()
    new = output.sequences[:, length:].cpu()
    logprobs = torch.stack([step.float().log_softmax(-1).cpu() for step in output.logits], 1)
    logprobs = logprobs.gather(2, new[..., None])[..., 0]
    stacked = torch.stack(states, 1).cpu()
    counts = inputs["video_grid_thw"].prod(-1) // model.model.visual.spatial_merge_size**2
    videos = visual[0].cpu().split(counts.tolist())
    return [
        backbone.generator.cut(
            new[row], stacked[row], logprobs[row], prompt.clip.id, None, videos[row].mean(0)
        )
        for row, prompt in enumerate(prompts)
    ]
