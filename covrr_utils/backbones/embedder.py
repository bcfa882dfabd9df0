"""One frozen embedder in the format of the published Qwen3-VL-Embedding: a video, a text, or a
video with a text becomes a vector.

The model is a plain `Qwen3VLModel`; no code of a checkpoint is run. A vector is the final,
post-norm state at the last token of the prompt. Which token that is depends on the checkpoint's own
tokenizer, which may add one; it is recorded with every vector.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float32

from covrr_utils.backbones.chat import Layout
from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.embedding_prompts import conversation
from covrr_utils.backbones.embedding_registry import Budget, find_embedder, published_budget
from covrr_utils.backbones.identity import Identity, differences, weights_hash
from covrr_utils.video.clips import Clip, Sampling
from covrr_utils.video.scaling import PixelBudget

if TYPE_CHECKING:
    from transformers import BatchFeature, Qwen3VLModel, Qwen3VLProcessor


@dataclass(frozen=True)
class Input:
    """What is to be embedded: a text, a clip, or a clip with a text after it. Where both are
    missing, the word that stands for an empty input is embedded.
    """

    text: str = ""
    clip: Clip | None = None


class Embedder:
    """A frozen embedder behind its processor. Make one with `Embedder.load`.

    Parameters
    ----------
    name : as results show it
    model, processor : as `covrr_utils.backbones.checkpoints.load_checkpoint` gives them
    weights : the folder of the checkpoint, or the commit of a model of the hub
    batch_size : how many inputs are embedded at once
    budget : how much of an input is taken; None: as the checkpoint's own processor says
    """

    def __init__(
        self,
        name: str,
        model: Qwen3VLModel,
        processor: Qwen3VLProcessor,
        weights: Path | str,
        batch_size: int = 32,
        budget: Budget | None = None,
    ):
        self.name, self.weights, self.batch_size = name, weights, batch_size
        self.model, self.processor, self.budget = model.eval(), processor, budget
        self.forwarded = 0  # tokens that went through the decoder so far
        self._layout = Layout(processor)
        processor.tokenizer.padding_side = "right"
        video = processor.video_processor
        self.sampling = Sampling(
            fps=video.fps, min_frames=video.min_frames, max_frames=video.max_frames
        )
        if budget is not None:
            side = video.patch_size * video.merge_size
            video.max_video_tokens = budget.frame_pixels // side**2
            video.size = {
                "shortest_edge": min(video.size["shortest_edge"], budget.video_pixels),
                "longest_edge": budget.video_pixels,
            }
            self.sampling = replace(self.sampling, fps=budget.fps, max_frames=budget.max_frames)
        video.cap_pixels_per_frame = True
        self.sampling = replace(self.sampling, budget=PixelBudget.of(video))

    @classmethod
    def load(
        cls,
        name: str | Path,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 32,
        attention: str | None = None,
        revision: str | None = None,
    ) -> Embedder:
        """Load an embedded embedder (``mini-embedder``), a published one
        (``qwen3-vl-embedding-2b``), a checkpoint folder or a hub id; errors are those of
        `load_checkpoint`.

        The published ones, and folders that bear their names, get the published budget. Any other
        checkpoint is taken at its processor's word.
        """
        checkpoint = load_checkpoint(
            name, device, dtype, attention, revision=revision, headless=True
        )
        published = find_embedder(Path(checkpoint.name).name)
        return cls(
            checkpoint.name,
            cast("Qwen3VLModel", cast(object, checkpoint.model)),
            checkpoint.processor,
            checkpoint.weights,
            batch_size,
            published_budget() if published else None,
        )

    @property
    def generated_tokens(self) -> int:
        """Tokens that it has written: none."""
        return 0

    @cached_property
    def weights_hash(self) -> str:
        """16 hex digits that stand for the weights."""
        return weights_hash(self.weights, self.name)

    @property
    def identity(self) -> Identity:
        """All of this embedder that decides its vectors, but for the instruction."""
        video = self.processor.video_processor
        size = {edge: video.size[edge] for edge in ("shortest_edge", "longest_edge")}
        processing = {"size": size, "budget": asdict(self.budget) if self.budget else None}
        return Identity(
            self.name,
            self.weights_hash,
            str(self.model.dtype),
            json.dumps(processing | differences(self.weights), sort_keys=True),
            self.sampling.to_dict(),
            0,
        )

    @property
    def width(self) -> int:
        """Entries of a whole vector."""
        return self.model.config.text_config.hidden_size

    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @torch.inference_mode()
    def embed(self, inputs: Sequence[Input], instruction: str = "") -> list[Description]:
        """One `Description` per input, in order, all after the same instruction (default: the
        published one). Its one token is the last one of the prompt, and ``states`` (1, D) holds the
        state there. There is no log-probability, as there is no output head: it is 0.

        Raises
        ------
        NotFinite
            If a state is not finite.
        """
        described = []
        for start in range(0, len(inputs), self.batch_size):
            batch = inputs[start : start + self.batch_size]
            tensors = self.inputs(batch, instruction).to(self.model.device)
            self.forwarded += int(tensors["attention_mask"].sum())
            states = self.model(**tensors, use_cache=False).last_hidden_state
            last = tensors["attention_mask"].sum(1) - 1
            rows = torch.arange(len(batch), device=states.device)
            pooled = states[rows, last.to(states.device)].float().cpu().numpy()
            ids = tensors["input_ids"][rows.to(last.device), last].tolist()
            described += [self._described(*each) for each in zip(batch, ids, pooled, strict=True)]
        return described

    def inputs(self, inputs: Sequence[Input], instruction: str = "") -> BatchFeature:
        """The processor's tensors for a batch, padded on the right. Control tokens in a text are
        not read as such (`covrr_utils.backbones.chat`); a text that makes the prompt longer than
        the budget is cut at its end.
        """
        texts = [self._layout.marked(each.text)[0] for each in inputs]
        tensors = self._tensors(inputs, texts, instruction)
        if self.budget is not None:
            excess = (tensors["attention_mask"].sum(1) - self.budget.tokens).tolist()
            if max(excess) > 0:
                texts = [self._cut(text, over) for text, over in zip(texts, excess)]
                tensors = self._tensors(inputs, texts, instruction)
        return tensors

    def _tensors(
        self, inputs: Sequence[Input], texts: Sequence[str], instruction: str
    ) -> BatchFeature:
        prompts = [
            conversation(text, each.clip is not None, instruction)
            for text, each in zip(texts, inputs, strict=True)
        ]
        clips = [each.clip.paired() for each in inputs if each.clip is not None]
        videos = {
            "videos": [clip.frames for clip in clips],
            "video_metadata": [clip.metadata for clip in clips],
            "do_sample_frames": False,
        }
        return self.processor(
            text=prompts, padding=True, return_tensors="pt", **(videos if clips else {})
        )

    def _cut(self, text: str, over: int) -> str:
        """The text without its last ``over`` tokens; the whole text where ``over`` is not above
        0.
        """
        if over <= 0:
            return text
        tokenizer = self.processor.tokenizer
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokenizer.decode(ids[: max(len(ids) - over, 0)])

    def _described(self, each: Input, token: int, state: Float32[np.ndarray, " D"]) -> Description:
        if not np.isfinite(state).all():
            what = each.clip.id if each.clip else each.text[:60]
            raise NotFinite(f"the vector of {what!r} is not finite; try another dtype")
        return Description(
            each.text,
            [self.processor.tokenizer.decode([token])],
            np.array([token], np.int64),
            state[None],
            np.zeros(1, np.float32),
            True,
            np.zeros(1, bool),
        )


def vector(description: Description, dims: int | None = None) -> Float32[np.ndarray, " dims"]:
    """The L2-normalised vector of what `Embedder.embed` gave; with ``dims`` its first entries
    alone, normalised again (Matryoshka).

    Raises
    ------
    ValueError
        If there are fewer entries than ``dims``.
    """
    state = description.states[-1].astype(np.float64)
    if dims is not None and dims > len(state):
        raise ValueError(f"embedder_dims is {dims}, but a vector has {len(state)} entries")
    state = state[:dims]
    return (state / np.linalg.norm(state)).astype(np.float32)
