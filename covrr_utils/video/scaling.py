"""Large frames are scaled as soon as they are decoded, to the size at which the model sees them.

The processor would scale them to that size in any case, with the same function, so that the model's
input is the same to the last bit; only the memory for the larger frames is never needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from transformers import Qwen3VLVideoProcessor

LARGE = 32 * 1024**2  # bytes of a clip's frames: smaller ones are left to the processor

STEEPEST = 200  # the processor refuses a side that is longer than the other by more than this


@dataclass(frozen=True)
class PixelBudget:
    """How many pixels a processor leaves to a video, and the units in which it counts them.

    ``most`` and ``least`` are pixels of a whole video (frames x height x width); with
    ``tokens_per_frame``, no frame gets more than that many squares of ``side`` pixels;
    ``frames`` are the frames of a temporal patch.
    """

    most: int
    least: int
    tokens_per_frame: int | None
    side: int
    frames: int

    @classmethod
    def of(cls, processor: Qwen3VLVideoProcessor) -> PixelBudget:
        """That of a video processor as it is set now."""
        return cls(
            processor.size["longest_edge"],
            processor.size["shortest_edge"],
            processor.max_video_tokens if processor.cap_pixels_per_frame else None,
            processor.patch_size * processor.merge_size,
            processor.temporal_patch_size,
        )

    def seen(self, count: int, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the model sees ``count`` frames of this size."""
        from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize

        most = self.most
        if self.tokens_per_frame is not None:
            per_frame = min(self.tokens_per_frame * self.side**2, self.most // count)
            most = count * max(per_frame, int(self.least * 1.05))
        return smart_resize(count, height, width, self.frames, self.side, self.least, most)

    def target(self, count: int, height: int, width: int) -> tuple[int, int] | None:
        """The size to which large frames are scaled: that at which they are seen.

        None where the clip is not large, would not get smaller, or where the processor would scale
        frames of that size once more (rounding can do that to an odd number of frames).
        """
        if count * height * width * 3 <= LARGE or count < self.frames:
            return None
        seen = self.seen(count, height, width)
        smaller = seen[0] * seen[1] < height * width
        return seen if smaller and self.seen(count, *seen) == seen else None


def scaled(
    frames: UInt8[np.ndarray, "some height width 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "some lower narrower 3"]:
    """Frames at another size (height, width), scaled as the processor scales them."""
    import torch
    from torchvision.transforms.v2 import InterpolationMode, functional

    stack = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    small = functional.resize(
        stack, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    return np.ascontiguousarray(small.permute(0, 2, 3, 1).numpy())
