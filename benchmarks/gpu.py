"""Published dimensions on a GPU: ``python benchmarks/gpu.py [--size 8B] [--batches 1 4 16 64]``.

Random weights in bfloat16 describe the same clip, batch by batch. Beside the tokens a second stands
how near the decoding comes to what the device can do: every step reads all weights of the decoder
once, so its least time is their bytes by the measured bandwidth; and it multiplies every weight
with every row, so its least time is that many operations by the measured rate of a large product.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from random_weights import SIZES, random_backbone
from timing import aligned
from transformers.video_utils import VideoMetadata

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.video.clips import Clip

REPEATS = 5


def clip(frames: int, side: int) -> Clip:
    """A clip of noise, four frames a second."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, side, side, 3), np.uint8)
    about = VideoMetadata(
        total_num_frames=frames,
        fps=4.0,
        width=side,
        height=side,
        duration=frames / 4,
        video_backend="noise",
        frames_indices=list(range(frames)),
    )
    return Clip("noise", noise, about)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The least of some rounds, the device's queue emptied before and after each."""
    times = []
    for _ in range(REPEATS):
        _wait(device)
        begun = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - begun)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def limits(device: torch.device, dtype: torch.dtype, side: int) -> tuple[float, float]:
    """Measured bytes a second of a copy (read and written), and operations a second of a product of
    two square matrices.
    """
    one, two = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    there = torch.empty_like(one)
    copied = 2 * one.nbytes / seconds(lambda: there.copy_(one), device)
    return copied, 2 * side**3 / seconds(lambda: one @ two, device)


def row(
    backbone: Backbone, asked: Prompt, batch: int, tokens: int, bounds: tuple[float, float]
) -> list[str]:
    """One batch size: seconds to the first token, tokens a second, shares of what is possible."""
    device = torch.device(backbone.device())
    backbone.batch_size = batch

    def describe(count: int) -> float:
        backbone.generator.prefixes.clear()
        return seconds(
            lambda: backbone.describe([asked] * batch, Generation(max_new_tokens=count)), device
        )

    backbone.describe([asked] * batch, Generation(max_new_tokens=2))
    first, whole = describe(1), describe(tokens)
    step = (whole - first) / (tokens - 1)
    parts = backbone.model.model.language_model, backbone.model.get_output_embeddings()
    embedding = parts[0].embed_tokens.weight  # looked up, not multiplied; the head may share it
    weights = [*parts[0].parameters(), *parts[1].parameters()]
    count = sum(w.numel() for w in weights) - embedding.numel()
    size = sum(w.nbytes for w in weights) - embedding.nbytes
    return [
        str(batch),
        f"{first:.3f}",
        f"{batch / step:,.0f}",
        f"{100 * size / bounds[0] / step:.0f} %",
        f"{100 * 2 * count * batch / bounds[1] / step:.0f} %",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; say so where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="8B")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--side", type=int, default=224, help="pixels of a frame")
    parser.add_argument("--product", type=int, default=8192, help="side of the measured product")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU that torch can use is here, so there is nothing to measure")
        return
    device, dtype = torch.device(options.device), torch.bfloat16
    backbone = random_backbone(options.size, options.device, dtype)
    bounds = limits(device, dtype, options.product)
    asked = Prompt(clip(options.frames, options.side), "Describe this video.")
    print(f"copy {bounds[0] / 1e9:,.0f} GB/s, product {bounds[1] / 1e12:,.1f} TFLOP/s")
    heads = ["batch", "first token s", "tokens/s", "of the bandwidth", "of the product"]
    rows = [row(backbone, asked, batch, options.tokens, bounds) for batch in options.batches]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"\n{backbone.name}, {name}, least of {REPEATS} rounds\n{aligned([heads, *rows])}")


if __name__ == "__main__":
    main()
