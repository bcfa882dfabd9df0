"""What reasoning costs, and what the shared prefix saves: ``python benchmarks/strategies.py
[--sizes mini-3m 300M 2B]``.

The same triplets are answered in one stage, in two, and with five sampled traces; with the prefix
of a clip kept from one question to the next, and with everything forgotten before each question.
Published dimensions have random weights, which never end a text: there every step writes
``--tokens`` tokens. Their clips are scaled to ``--frame`` (height, width), which decides how many
visual tokens a prefix has: eight frames of 320 x 512 have 640.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from random_weights import SIZES, random_backbone
from timing import in_turn, ratios, table

from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.benchmarks.benchmark import load_benchmark
from covrr_utils.reasoning.settings import Settings
from covrr_utils.reasoning.strategies import Items, gold_trace, self_consistency, single_stage
from covrr_utils.reasoning.strategies import two_stage as written_stages
from covrr_utils.video.clips import Clip
from covrr_utils.video.decoder import read_clip
from covrr_utils.video.scaling import scaled


class Forgetful:
    """A backbone that encodes the video again for every question."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone

    def describe(self, prompts: Sequence[Prompt], *arguments: object) -> list[Description]:
        """As `Backbone.describe`."""
        self.backbone.generator.prefixes.clear()
        return self.backbone.describe(prompts, *arguments)

    def write(self, prompts: Sequence[Prompt], *arguments: object) -> list[str]:
        """As `Backbone.write`."""
        return [description.text for description in self.describe(prompts, *arguments)]

    def sample(
        self, prompts: Sequence[Prompt], generations: Sequence[Generation], *arguments: object
    ) -> list[list[str]]:
        """As `Backbone.sample`, sample by sample."""
        return [self.write(prompts, generation, *arguments) for generation in generations]


def two_stages(backbone: Backbone, items: Items, settings: Settings) -> object:
    """Two stages that both write: where random weights write no trace, the second is given the
    benchmark's own.
    """
    if backbone_of(backbone).weights != "random":
        return written_stages(backbone, items, settings)
    single_stage(backbone, items, settings)
    return gold_trace(backbone, items, settings)


def five_samples(backbone: Backbone, items: Items, settings: Settings) -> object:
    """Five sampled traces, then the description, likewise."""
    if backbone_of(backbone).weights != "random":
        return self_consistency(backbone, items, settings)
    asked = [Prompt(clip, triplet.edit) for triplet, clip in items]
    backbone.sample(asked, [settings.sampling(number) for number in range(settings.samples)])
    return gold_trace(backbone, items, settings)


WAYS = {"single_stage": single_stage, "two_stage": two_stages, "five samples": five_samples}


def enlarged(clip: Clip, height: int, width: int) -> Clip:
    """The clip as if it had been filmed at this size."""
    metadata = replace(clip.metadata, height=height, width=width)
    return replace(clip, frames=scaled(clip.frames, (height, width)), metadata=metadata)


def backbone_of(backbone: Backbone | Forgetful) -> Backbone:
    """The backbone itself."""
    return backbone.backbone if isinstance(backbone, Forgetful) else backbone


def compare(options: argparse.Namespace, size: str) -> None:
    """Print the table and the ratios of one size."""
    benchmark = load_benchmark("mini").head(options.queries)
    known = size in SIZES
    backbone = random_backbone(size) if known else Backbone.load(size, "cpu")
    limit = options.tokens if known else backbone.max_new_tokens
    settings = Settings(Generation(max_new_tokens=limit))
    items = [
        (triplet, read_clip(benchmark.video_path(triplet.reference), backbone.sampling))
        for triplet in benchmark.triplets
    ]
    if known:
        items = [(triplet, enlarged(clip, *options.frame)) for triplet, clip in items]
    ways: dict[str, Callable[[], object]] = {}
    for name in options.ways:
        ask = WAYS[name]
        ways[name] = lambda ask=ask: fresh(backbone, ask, items, settings)
        ways[f"{name}, no prefix"] = lambda ask=ask: ask(Forgetful(backbone), items, settings)
    timed = in_turn(ways, options.rounds)
    print(table(timed, f"{size}, {len(items)} queries, {torch.get_num_threads()} threads"))
    for one, other in (
        ("two_stage", "single_stage"),
        ("five samples", "two_stage"),
        ("two_stage, no prefix", "two_stage"),
        ("five samples, no prefix", "five samples"),
    ):
        if one in timed and other in timed:
            wall = ratios(timed[one].wall, timed[other].wall)
            processor = ratios(timed[one].processor, timed[other].processor)
            print(f"{one} / {other}: wall {wall}, processor {processor}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and the ratios of strategies for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["mini-3m", "300M"], help=", ".join(SIZES))
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16, help="a step, for random weights")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--frame", type=int, nargs=2, default=(320, 512), metavar="PIXELS")
    options = parser.parse_args(arguments)
    for size in options.sizes:
        compare(options, size)


def fresh(backbone: Backbone, ask: Callable, items: Items, settings: Settings) -> object:
    """Ask with nothing kept from the round before."""
    backbone.generator.prefixes.clear()
    return ask(backbone, items, settings)


if __name__ == "__main__":
    main()
