"""The patch embedding of the vision tower as the matrix product that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import nn

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration


class PatchProduct(nn.Module):
    """A convolution whose kernel covers its whole input, as one matrix product: the same weights,
    the same sums in another order, a third of the time on a CPU.
    """

    def __init__(self, convolution: nn.Conv3d):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(
        self, patches: Float[torch.Tensor, "n channels frames height width"]
    ) -> Float[torch.Tensor, "n out"]:
        """One vector a patch."""
        return nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def flatten_patch_embedding(model: Qwen3VLForConditionalGeneration) -> None:
    """Put a `PatchProduct` in the place of the convolution, in this model alone and under the same
    name, so that it is saved and loaded as before. A convolution that a device map moves about, or
    that another library has replaced, stays.
    """
    embedding = model.model.visual.patch_embed
    if type(embedding.proj) is nn.Conv3d and not hasattr(embedding.proj, "_hf_hook"):
        embedding.proj = PatchProduct(embedding.proj)
