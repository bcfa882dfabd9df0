"""What the vision tower makes of a clip is computed once, also where a reference is a gallery
video: it is kept in memory, for the last clips that fit a bound.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from covrr_utils.backbones.chat import Layout
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

KEPT_BYTES = 256 << 20  # of what was seen, in the machine's memory

PIXELS = 1 << 19  # of all frames that go through the vision tower together on a CPU


@dataclass
class Sight:
    """One clip as the decoder gets it.

    Attributes
    ----------
    ids : the tokens of what stands before the video and of the video, its time stamps among them
    grid : temporal patches, rows and columns of patches
    features : one vector per visual token
    deepstack : the vectors that the first decoder blocks add to them, a tensor a block
    vision : the mean of the visual tokens, float32
    """

    ids: list[int]
    grid: Int[torch.Tensor, 3]
    features: Float[torch.Tensor, "tokens width"]
    deepstack: list[Float[torch.Tensor, "tokens width"]]
    vision: Float[torch.Tensor, " width"]

    def on(self, device: torch.device) -> Sight:
        """The same, with its vectors on this device."""
        deepstack = [vectors.to(device) for vectors in self.deepstack]
        return replace(self, features=self.features.to(device), deepstack=deepstack)

    @property
    def nbytes(self) -> int:
        """Bytes of its vectors."""
        return sum(vectors.nbytes for vectors in (self.features, *self.deepstack))


class SightMemory:
    """The last sights of one model, within `KEPT_BYTES` of the machine's memory; for all threads
    that use it.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Sight] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Sight | None:
        """The sight of this key, None where it is not (any more) kept."""
        return self._kept.get(key)

    def keep(self, key: str, sight: Sight) -> None:
        """Keep this sight as the newest, and forget the oldest ones beyond the bound."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = sight.on(torch.device("cpu"))
                self._bytes += sight.nbytes
            self._kept.move_to_end(key)
            while self._bytes > KEPT_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget all that was seen."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


class Sights:
    """What one model sees of clips; the last ones are kept in a ``memory``, which several may
    share.
    """

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        layout: Layout,
        memory: SightMemory | None = None,
    ):
        self.model, self.layout = model, layout
        self.encoded = 0  # clips that went through the vision tower so far
        self.memory = SightMemory() if memory is None else memory

    def of(self, clips: Sequence[Clip], befores: Sequence[str], keys: Sequence[str]) -> list[Sight]:
        """The sight of every clip, each with what stands before it; those of equal content, which
        have the same `key`, are encoded once.
        """
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        known = {key: sight for key in first if (sight := self.memory.get(key)) is not None}
        new = sorted(row for key, row in first.items() if key not in known)
        for rows in self._passes(clips, new):
            sights = self._encode([clips[row] for row in rows], [befores[row] for row in rows])
            known |= {keys[row]: sight for row, sight in zip(rows, sights)}
        for key in keys:
            self.memory.keep(key, known[key])
        return [known[key] for key in keys]

    def outputs(self, sights: Sequence[Sight]) -> BaseModelOutputWithDeepstackFeatures:
        """What the vision tower gives for these clips in one batch, on the model's device."""
        there = [sight.on(self.model.device) for sight in sights]
        # transformers declares tensors here, and takes one tensor a clip, as its own tower gives
        features: Any = tuple(sight.features for sight in there)
        deepstack: Any = list(zip(*(sight.deepstack for sight in there)))
        return BaseModelOutputWithDeepstackFeatures(
            pooler_output=features, deepstack_features=deepstack
        )

    def clear(self) -> None:
        """Forget all that was seen."""
        self.memory.clear()

    def _passes(self, clips: Sequence[Clip], rows: Sequence[int]) -> list[list[int]]:
        """The rows that go through the vision tower together: all of them on a GPU. On a CPU only
        as many as have `PIXELS` together, so that what one block makes is still in the processor's
        cache when the next block needs it.
        """
        if self.model.device.type != "cpu":
            return [list(rows)] if rows else []
        passes: list[list[int]] = []
        room = 0
        for row in rows:
            pixels = clips[row].frames[..., 0].size
            if pixels > room:
                passes.append([])
                room = PIXELS
            passes[-1].append(row)
            room -= pixels
        return passes

    def _encode(self, clips: Sequence[Clip], befores: Sequence[str]) -> list[Sight]:
        """One pass of the vision tower over these clips."""
        inputs = self.layout.video_inputs(befores, clips)
        seen = self.model.model.get_video_features(
            inputs["pixel_values_videos"].to(self.model.device),
            inputs["video_grid_thw"].to(self.model.device),
            return_dict=True,
        )
        self.encoded += len(clips)
        rows = zip(inputs["input_ids"], inputs["attention_mask"].bool())
        deepstack = zip(*seen.deepstack_features) if seen.deepstack_features else [()] * len(clips)
        return [
            Sight(ids[mask].tolist(), grid, features, list(blocks), features.float().cpu().mean(0))
            for (ids, mask), grid, features, blocks in zip(
                rows, inputs["video_grid_thw"], seen.pooler_output, deepstack
            )
        ]

    def key(self, clip: Clip, before: str) -> str:
        """Everything that decides a sight: frames, times, what stands before, the size in use."""
        size, about = self.layout.processor.video_processor.size, clip.metadata
        facts = [
            before,
            clip.frames.shape,
            about.fps,
            [float(index) for index in about.frames_indices or ()],
            size["shortest_edge"],
            size["longest_edge"],
        ]
        # the quickest of the standard library where a processor has instructions for it
        content = hashlib.sha256(np.ascontiguousarray(clip.frames).data)
        content.update(json.dumps(facts).encode())
        return content.hexdigest()
