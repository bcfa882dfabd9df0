"""Ours against one video at a time: ``python benchmarks/describe.py [--clips 64] [--rounds 3]``.

The naive pipeline does what the method's official code does, in our own words: for each video the
processor, ``generate`` with the hidden states of all layers kept, then one more forward pass over
prompt and answer for the states that are pooled. Ours describes the same clips in batches. Both
read the same files with the same prompt, greedily. Wall time with ``--threads`` threads, and
processor time with one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import plain
import torch
from timing import in_turn, table
from transformers import GenerationConfig

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.registry import checkpoint_folder
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.reasoning import prompts
from covrr_utils.video.decoder import read_clip


@torch.inference_mode()
def naive(backbone: Backbone, paths: Sequence[Path], limit: int) -> list[tuple[str, torch.Tensor]]:
    """Text and final states of the answer, one video after the other, as transformers loads it."""
    model, processor, answers = backbone.model, backbone.processor, []
    content = [{"type": "video"}, {"type": "text", "text": prompts.describe()}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    for path in paths:
        clip = read_clip(path, backbone.sampling)
        inputs = processor(
            text=[text],
            videos=[clip.frames],
            video_metadata=[clip.metadata],
            do_sample_frames=False,
            return_tensors="pt",
        )
        output = model.generate(
            **inputs,
            generation_config=GenerationConfig(
                max_new_tokens=limit,
                eos_token_id=backbone.end_ids,
                pad_token_id=processor.tokenizer.pad_token_id,
                return_dict_in_generate=True,
                output_hidden_states=True,
            ),
        )
        length, ids = inputs["input_ids"].shape[1], output.sequences
        types = torch.tensor(processor.create_mm_token_type_ids(ids.tolist()))
        again = {**inputs, "input_ids": ids, "mm_token_type_ids": types}
        again["attention_mask"] = torch.ones_like(ids)
        states = model(**again, output_hidden_states=True).hidden_states[-1][0, length - 1 : -1]
        written = processor.tokenizer.decode(ids[0, length:], skip_special_tokens=True).strip()
        answers.append((written, states.float()))
    return answers


def ours(backbone: Backbone, paths: Sequence[Path], limit: int) -> list[tuple[str, torch.Tensor]]:
    """The same in batches; nothing is kept from the round before."""
    backbone.generator.prefixes.clear()
    asked = [Prompt(read_clip(path, backbone.sampling), prompts.describe()) for path in paths]
    described = backbone.describe(asked, Generation(max_new_tokens=limit))
    return [(each.text, torch.from_numpy(each.states)) for each in described]


def compare(options: argparse.Namespace, files: Sequence[Path], dtype: str) -> None:
    """Print how well both agree in one number format, and the tables of both numbers of threads."""
    fast = Backbone.load(options.backbone, "cpu", dtype)
    folder = checkpoint_folder(options.backbone)
    assert folder is not None, "a checkpoint folder or an embedded backbone"
    slow = plain.load(folder, 1, getattr(torch, dtype))
    one, two = (naive(slow, files, options.tokens), ours(fast, files, options.tokens))
    same = [first[0] == second[0] for first, second in zip(one, two, strict=True)]
    apart = max(
        (
            float((first[1] - second[1]).abs().max())
            for first, second, equal in zip(one, two, same, strict=True)
            if equal
        ),
        default=float("nan"),
    )
    print(f"{dtype}: {sum(same)} of {len(same)} texts equal, their states within {apart:.1e}")
    ways = {
        "one at a time": lambda: naive(slow, files, options.tokens),
        "ours": lambda: ours(fast, files, options.tokens),
    }
    for threads in (options.threads, 1):
        torch.set_num_threads(threads)
        print(table(in_turn(ways, options.rounds), f"{dtype}, {threads} threads"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each number format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mini-3m")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=96, help="new tokens at most")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    options = parser.parse_args(arguments)
    benchmark = load_benchmark("mini")
    files = [benchmark.video_path(video) for video in benchmark.gallery[: options.clips]]
    before = torch.get_num_threads()
    for dtype in options.dtypes:
        compare(options, files, dtype)
    torch.set_num_threads(before)


if __name__ == "__main__":
    main()
