"""A published size without its weights: built from its dimensions, filled at random, run end to
end.

Random weights say nothing about recall, but everything about shapes, devices, memory and speed:
what a real run will need. The tokenizer is Qwen's own, rebuilt from the byte-pair ranks that the
package ``dashscope`` carries (151,643 ranks and 26 added tokens), and the processor has the
published settings, so prompts have the layout and the length that they have with a real checkpoint.
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from covrr_utils.backbones import sizes
from covrr_utils.backbones.qwen import qwen_processor
from covrr_utils.reasoning import prompts

if TYPE_CHECKING:
    import torch

    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.video.clips import Clip


def random_backbone(
    size: str, device: str = "auto", dtype: str = "bfloat16", batch_size: int = 1, seed: int = 0
) -> Backbone:
    """A published size (``2B``, ``8B``, ...) with random weights.

    Raises
    ------
    ValueError
        If there is no such size.
    NotEnoughMemory
        If its weights do not fit.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.quickening import quicken

    model = sizes.find(f"Qwen3-VL-{size}-Instruct")
    if model is None:
        raise ValueError(
            f"unknown size {size!r}; published:"
            f" {', '.join(dict.fromkeys(known.size for known in sizes.published_sizes().values()))}"
        )
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    sizes.check_memory(model.name, model.parameters, dtype, None, device, None)
    torch.manual_seed(seed)
    with torch.device("meta"):
        empty = AutoModelForImageTextToText.from_config(
            sizes.config_of(model.name), dtype=getattr(torch, dtype)
        )
    filled = empty.to_empty(device=device)
    filled.tie_weights()
    with torch.no_grad():
        for name, parameter in filled.named_parameters():
            (
                parameter.fill_(1.0)
                if "norm" in name and name.endswith("weight")
                else parameter.normal_(0.0, 0.02)
            )
    _restore(filled)
    quicken(filled)
    return Backbone(
        f"{model.name} (random weights)", filled, qwen_processor(), f"seed {seed}", batch_size
    )


def _restore(model: torch.nn.Module) -> None:
    """Compute the rotary frequencies again, which have no weights and were left empty."""
    import torch

    for module in model.modules():
        if "RotaryEmbedding" not in type(module).__name__:
            continue
        fresh = type(module)(module.config)
        for name, buffer in fresh.named_buffers():
            getattr(module, name).copy_(buffer)
    for name, buffer in model.named_buffers():
        if not torch.isfinite(buffer.float()).all():
            raise RuntimeError(
                f"buffer {name} was left empty; this version of transformers keeps something else"
                " than frequencies there"
            )


def verify(
    size: str,
    clips: int = 2,
    batch_size: int = 1,
    max_new_tokens: int = 4,
    device: str = "auto",
    side: int | None = None,
) -> dict[str, object]:
    """Gallery and query of a published size with random weights on clips of the mini benchmark:
    shapes, memory, seconds.

    ``side`` enlarges the frames to so many pixels each way (mini clips have 128, fewer than real
    ones). Seconds are wall time; ``peak_memory_gb`` is that of the GPU, on the CPU that of the
    whole process.

    Raises
    ------
    ValueError
        If a number is below 1, or there is no such size.
    RuntimeError
        If what comes out has not the shape that the size has.
    """
    if min(clips, batch_size, max_new_tokens) < 1:
        raise ValueError(
            f"clips, batch size and new tokens must be at least 1, got {clips}, {batch_size},"
            f" {max_new_tokens}"
        )
    import torch

    from covrr_utils.backbones.generation import Generation, Prompt
    from covrr_utils.backbones.inspection import sampled
    from covrr_utils.benchmarks.benchmark import load_benchmark
    from covrr_utils.video.decoder import read_clip

    begun = time.perf_counter()
    backbone = random_backbone(size, device, batch_size=batch_size)
    built = time.perf_counter() - begun
    benchmark = load_benchmark("mini-val").head(clips)
    read = [
        read_clip(benchmark.video_path(t.reference), backbone.sampling, t.reference)
        for t in benchmark.triplets
    ]
    read = [clip if side is None else _enlarged(clip, side) for clip in read]
    seconds, descriptions = {}, {}
    for name, batch in {
        "gallery": [Prompt(clip, prompts.describe()) for clip in read],
        "query": [
            Prompt(clip, prompts.single_stage(t.edit)) for clip, t in zip(read, benchmark.triplets)
        ],
    }.items():
        begun = time.perf_counter()
        descriptions[name] = backbone.describe(batch, Generation(max_new_tokens=max_new_tokens))
        seconds[name] = (time.perf_counter() - begun) / len(batch)
    width = backbone.model.config.text_config.hidden_size
    for description in (*descriptions["gallery"], *descriptions["query"]):
        vision = None if description.vision is None else description.vision.shape
        if description.states.shape != (len(description.tokens), width) or vision != (width,):
            raise RuntimeError(
                f"states of shape {description.states.shape} and {vision}, but {size} is {width}"
                " wide"
            )
    cuda = backbone.model.device.type == "cuda"
    peak = (
        torch.cuda.max_memory_allocated()
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "kind": "random weights: shapes, memory and speed only",
        **backbone.info(),
        "device_name": torch.cuda.get_device_name() if cuda else "cpu",
        "clips": len(read),
        "batch_size": batch_size,
        "max_new_tokens": max_new_tokens,
        "states_width": width,
        "tokens_generated": backbone.generated_tokens,
        "first_clip": sampled(backbone, read[0]),
        "seconds_to_build": round(built, 1),
        "seconds_per_clip": round(seconds["gallery"], 2),
        "seconds_per_query": round(seconds["query"], 2),
        "peak_memory_gb": round(peak / 1e9, 2),
    }


def _enlarged(clip: Clip, side: int) -> Clip:
    """The clip with frames of ``side`` x ``side`` pixels."""
    import cv2
    import numpy as np

    frames = np.stack([cv2.resize(frame, (side, side)) for frame in clip.frames])
    return replace(clip, frames=frames, metadata=replace(clip.metadata, width=side, height=side))
