"""One frozen Qwen3-VL with three verbs: `write` answers prompts with text, `sample` several times
with other seeds, `describe` also keeps the states behind every token.

The embedded mini backbones are ordinary checkpoint folders: nothing here knows them. What the
paper's code calls "penultimate" is the input of ``lm_head``, the final post-norm hidden state.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm
from transformers import GenerationConfig

from covrr_utils.backbones.answers import blocks_at
from covrr_utils.backbones.chat import Layout
from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.backbones.decoding import TextGenerator
from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.identity import Identity, differences, weights_hash
from covrr_utils.backbones.quickening import quicken
from covrr_utils.backbones.reading import read
from covrr_utils.backbones.sampling import sample
from covrr_utils.video.clips import Sampling
from covrr_utils.video.scaling import PixelBudget

if TYPE_CHECKING:
    from transformers import BatchFeature, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

# no budget makes a frame smaller than this (times 1.05): the floor of the published processors
FRAME_PIXELS = 64 * 64


class Backbone:
    """A frozen vision-language model behind its processor. Make one with `Backbone.load`.

    Parameters
    ----------
    name : as results show it
    model, processor : as `covrr_utils.backbones.checkpoints.load_checkpoint` gives them
    weights : the folder of the checkpoint, or what else pins the weights (the commit of a hub
        model, a seed)
    batch_size : how many prompts are answered at once
    quantization : None, ``8bit`` or ``4bit``: how the weights were loaded
    """

    def __init__(
        self,
        name: str,
        model: Qwen3VLForConditionalGeneration,
        processor: Qwen3VLProcessor,
        weights: Path | str,
        batch_size: int,
        quantization: str | None = None,
    ):
        self.name, self.weights, self.batch_size = name, weights, batch_size
        self.model, self.processor, self.quantization = model.eval(), processor, quantization
        processor.tokenizer.padding_side = "left"
        video = processor.video_processor
        if video.cap_pixels_per_frame is None:
            video.cap_pixels_per_frame = True
        bounds = {"min_frames": video.min_frames, "max_frames": video.max_frames}
        if video.num_frames is None:
            self.sampling = Sampling(fps=video.fps, **bounds)
        else:
            self.sampling = Sampling(num_frames=video.num_frames, **bounds)
        self.sampling = replace(self.sampling, budget=PixelBudget.of(video))
        habits = model.generation_config
        ends = habits.eos_token_id
        ends = [ends] if isinstance(ends, int) else ends or []
        self.end_ids: list[int] = sorted({*ends, processor.tokenizer.eos_token_id})
        self.max_new_tokens: int = habits.max_new_tokens or Generation.max_new_tokens
        # the checkpoint's sampling habits must not leak into greedy runs
        model.generation_config = GenerationConfig()
        self.layout = Layout(processor)
        # a Thinking edition: what it says begins after </think>
        self.thinks = self.layout.opening().rstrip().endswith("<think>")
        self.generator = TextGenerator(self)

    @classmethod
    def load(
        cls,
        name: str | Path,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 32,
        *,
        attention: str | None = None,
        device_map: str | None = None,
        quantization: str | None = None,
        revision: str | None = None,
        fps: float | None = None,
        num_frames: int | None = None,
        video_pixels: int | None = None,
    ) -> Backbone:
        """Load a checkpoint by name, folder or hub id; see `load_checkpoint` for what can be asked
        for and what can go wrong.

        ``fps``, ``num_frames`` and ``video_pixels`` are those of `sample_as`.
        """
        checkpoint = load_checkpoint(
            name, device, dtype, attention, device_map, quantization, revision
        )
        quicken(checkpoint.model)
        backbone = cls(
            checkpoint.name,
            checkpoint.model,
            checkpoint.processor,
            checkpoint.weights,
            batch_size,
            quantization,
        )
        backbone.sample_as(fps, num_frames, video_pixels)
        return backbone

    def sample_as(
        self,
        fps: float | None = None,
        num_frames: int | None = None,
        video_pixels: int | None = None,
    ) -> None:
        """Take frames from videos in another way than the checkpoint says; gallery and queries
        alike.

        Parameters
        ----------
        fps : frames a second, or instead ``num_frames``: frames a video, evenly spread
        video_pixels : budget of a whole video (frames x height x width); larger ones are scaled
            down, but no frame below about 64 x 64. Published checkpoints: 25,165,824

        Raises
        ------
        ValueError
            If both ``fps`` and ``num_frames`` are given, or the budget is below the checkpoint's
            smallest.
        """
        video = self.processor.video_processor
        if fps is not None or num_frames is not None:
            self.sampling = replace(self.sampling, fps=fps, num_frames=num_frames)
        if video_pixels is not None:
            smallest = min(video.size["shortest_edge"], FRAME_PIXELS)
            if video_pixels < smallest:
                raise ValueError(
                    f"video_pixels is {video_pixels}, below the smallest budget of {smallest}"
                )
            video.size = {"shortest_edge": smallest, "longest_edge": video_pixels}
            self.sampling = replace(self.sampling, budget=PixelBudget.of(video))

    @cached_property
    def weights_hash(self) -> str:
        """16 hex digits that stand for the weights, see `covrr_utils.backbones.identity`."""
        return weights_hash(self.weights, self.name)

    @property
    def identity(self) -> Identity:
        """All of this backbone that decides what it writes."""
        return Identity(
            self.name,
            self.weights_hash,
            str(self.model.dtype),
            self.processing(),
            self.sampling.to_dict(),
            self.max_new_tokens,
        )

    @property
    def generated_tokens(self) -> int:
        """Tokens written by all calls so far: what strategies cost."""
        return self.generator.generated_tokens

    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def info(self) -> dict[str, object]:
        """What a result has to say about its backbone."""
        return {
            "name": self.name,
            "class": type(self.model).__name__,
            "parameters": self.parameters(),
            "dtype": str(self.model.dtype).split(".")[-1],
            "device": self.device(),
            "weights_hash": self.weights_hash,
            "sampling": self.sampling.to_dict(),
            "video_pixels": self.processor.video_processor.size["longest_edge"],
            "attention": self.model.config._attn_implementation,
            "quantization": self.quantization,
            "commit": self.weights if isinstance(self.weights, str) else None,
            "memory_gb": round(self.model.get_memory_footprint() / 1e9, 3),
        }

    def device(self) -> str:
        """Where the weights lie; several places with a device map."""
        places = getattr(self.model, "hf_device_map", None)
        return (
            ", ".join(sorted({str(place) for place in places.values()}))
            if places
            else str(self.model.device)
        )

    @cached_property
    def differences(self) -> dict[str, object]:
        """What tells this checkpoint from others of the same weights, see
        `covrr_utils.backbones.identity.differences`; empty for the embedded ones.
        """
        return differences(self.weights)

    def processing(self) -> str:
        """Canonical JSON of everything beside the weights that shapes a description: it is part of
        every store key.
        """
        video = self.processor.video_processor
        size = {edge: video.size[edge] for edge in ("shortest_edge", "longest_edge")}
        return json.dumps(
            {
                "size": size,
                "cap": video.cap_pixels_per_frame,
                "template": self.processor.chat_template,
            }
            | self.differences,
            sort_keys=True,
        )

    def inputs(self, prompts: Sequence[Prompt]) -> BatchFeature:
        """Model inputs for a batch of prompts, padded on the left, on the model's device.

        Frames and their metadata are passed as they were sampled; text is never read as control
        tokens (`covrr_utils.backbones.chat`).
        """
        return self.layout.inputs(prompts).to(self.model.device)

    def write(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
    ) -> list[str]:
        """One text per prompt, in order."""
        return [description.text for description in self.describe(prompts, generation, desc)]

    def sample(
        self, prompts: Sequence[Prompt], generations: Sequence[Generation], desc: str | None = None
    ) -> list[list[str]]:
        """For each of these ways of generating, one text per prompt, in order: those that `write`
        gives. Samples are written side by side, as far as `batch_size` rows and memory allow.

        Raises
        ------
        ValueError
            If the ways differ in more than their seeds.
        """
        return sample(self, prompts, generations, desc)

    def describe(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
        layers: Sequence[float] = (),
    ) -> list[Description]:
        """One `Description` per prompt, in order; ``desc`` shows a progress bar of that name.

        ``layers``: depths in (0, 1] of decoder blocks whose outputs are kept too, see
        `covrr_utils.backbones.answers.blocks_at`.

        Raises
        ------
        NotFinite
            If a state is not finite.
        ValueError
            If a depth is not in (0, 1].
        """
        generation = generation or Generation()
        blocks = blocks_at(self.model, layers)
        descriptions: list[Description] = []
        with tqdm(total=len(prompts), desc=desc, disable=desc is None) as bar:
            for start in range(0, len(prompts), self.batch_size):
                batch = prompts[start : start + self.batch_size]
                descriptions += self.generator.describe(batch, generation, blocks)
                bar.update(len(batch))
        return descriptions

    def read(self, texts: Sequence[str]) -> list[Description]:
        """Each text as a `Description`, read by the model in a user turn of its own, without a
        video; nothing is generated.

        ``states[t]`` is the final state at the place before token t, as for generated tokens.
        """
        return [
            description
            for start in range(0, len(texts), self.batch_size)
            for description in read(self.model, self.layout, texts[start : start + self.batch_size])
        ]
