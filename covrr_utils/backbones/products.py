"""Products of states with weights, by the way that is quickest on the processor at hand.

PyTorch has MKL multiply float32 on a CPU. Two things make that slow: for a few rows MKL first puts
all weights in order, and on processors of AMD it keeps to instructions of 2013 (AVX2). oneDNN,
which PyTorch has too, takes all that there are, and is more than twice as quick where those are
AVX-512. The sums are the same, in another order.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import nn
from torch.nn.functional import linear

FEW_ROWS, MANY_WEIGHTS = 16, 1_000_000


@cache
def avoids_mkl() -> bool:
    """Whether oneDNN multiplies more quickly than MKL here: on processors of AMD (nobody else has
    SSE4a) with AVX-512, and PyTorch's usual libraries.
    """
    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # 2.6 has no such
    usual = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return usual and bool(told.get("sse4a") and told.get("avx512_f"))


def multiply_many(
    values: Float[torch.Tensor, "*rows inner"],
    weight: Float[torch.Tensor, "outer inner"],
    bias: Float[torch.Tensor, " outer"] | None = None,
) -> Float[torch.Tensor, "*rows outer"]:
    """What `torch.nn.functional.linear` gives, for the rows of whole questions and videos.

    The number of rows decides nothing, so that a row's numbers do not depend on the others.
    """
    if avoids_mkl() and _usual(values, weight):
        return linear(values.to_mkldnn(), weight, bias).to_dense()
    return linear(values, weight, bias)


def multiply_few(
    values: Float[torch.Tensor, "rows inner"],
    weight: Float[torch.Tensor, "outer inner"],
    bias: Float[torch.Tensor, " outer"] | None = None,
) -> Float[torch.Tensor, "rows outer"]:
    """The same, for one new token a row: a call of oneDNN takes longer there, unless the weights
    are many. Where MKL multiplies, it does so the other way round for a few rows of them.
    """
    if weight.numel() >= MANY_WEIGHTS and len(values) > 1 and _usual(values, weight):
        if avoids_mkl():
            return multiply_many(values, weight, bias)
        if len(values) <= FEW_ROWS and bias is None:
            return (weight @ values.T).T.contiguous()
    return linear(values, weight, bias)


def _usual(values: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether these are some float32 on a CPU, of which nobody asks for gradients."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == values.dtype == torch.float32
        and values.numel() > 0
        and not torch.is_grad_enabled()
    )


class Product(nn.Linear):
    """A linear part of a model that multiplies by `multiply_many`."""

    def forward(self, values: Float[torch.Tensor, "*rows inner"]) -> torch.Tensor:
        """``values`` times the weights, plus the bias where there is one."""
        return multiply_many(values, self.weight, self.bias)


def multiply_quickly(model: nn.Module) -> None:
    """Make each linear part of this model a `Product` where that is quicker: those in float32 on a
    CPU where oneDNN is. Quantised and adapted parts stay, and those that a device map moves about.
    """
    if not avoids_mkl():
        return
    for part in model.modules():
        if type(part) is nn.Linear and not hasattr(part, "_hf_hook"):
            if part.weight.device.type == "cpu" and part.weight.dtype == torch.float32:
                part.__class__ = Product
