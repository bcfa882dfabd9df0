"""The published Qwen3-VL sizes: hub ids, dimensions, parameters, and whether their weights fit into
the memory at hand.

The Thinking editions write their thoughts first: they are not part of a description, and want a
larger ``max_new_tokens``. The facts are data (``data/qwen3_vl.json``). Weights in bf16 take two
bytes a parameter; activations and the cache of the generation come on top.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils import paths

if TYPE_CHECKING:
    from transformers import PretrainedConfig

EDITIONS = ("Instruct", "Thinking")

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}

DTYPES = ("auto", *BYTES)

ATTENTIONS = ("sdpa", "eager", "flash_attention_2")

QUANTIZATIONS = {"8bit": 1.0, "4bit": 0.5}  # bytes a parameter; bitsandbytes: LLM.int8() and NF4

NOT_PUBLISHED = (
    'no Qwen3-VL with 72B parameters is published. The paper\'s row "Qwen3-VL-72B" cannot be tied'
    " to a checkpoint: Qwen2.5-VL has a 72B, Qwen3-VL has 32B (dense) and 235B-A22B (mixture of"
    " experts)"
)


class NotEnoughMemory(ValueError):
    """Weights that cannot fit into the memory of the device they are meant for."""


@dataclass(frozen=True)
class Published:
    """One published size in one edition."""

    name: str
    size: str
    architecture: str
    parameters: int
    dimensions: dict = field(repr=False)

    @property
    def hub(self) -> str:
        """The hub id."""
        return f"Qwen/{self.name}"

    @property
    def revision(self) -> str:
        """The branch that is followed unless another revision is given; what was loaded is pinned
        to its commit and kept under it.
        """
        return size_data()["shared"]["revision"]

    @property
    def bf16(self) -> float:
        """Bytes of the weights in bf16."""
        return self.parameters * BYTES["bfloat16"]

    @property
    def cache(self) -> int:
        """Bytes that one token of a prompt takes in the bf16 cache of the generation: 2 x layers x
        key-value heads x width x 2.
        """
        text = size_data()["shared"]["text"] | self.dimensions["text"]
        return 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * text["head_dim"] * 2


def size_data() -> dict:
    """``data/qwen3_vl.json``."""
    return json.loads((paths.data_dir() / "qwen3_vl.json").read_text(encoding="utf-8"))


@cache
def published_sizes() -> dict[str, Published]:
    """Name (as ``Qwen3-VL-8B-Instruct``) -> facts, smallest first, Instruct before Thinking; the
    editions differ in weights and template only.
    """
    sizes = sorted(size_data()["sizes"].items(), key=lambda item: item[1]["parameters"])
    return {
        name: Published(name, size, about["class"], about["parameters"], about)
        for edition in EDITIONS
        for size, about in sizes
        for name in [f"Qwen3-VL-{size}-{edition}"]
    }


def memory_rows() -> list[dict[str, str]]:
    """What each size takes, in GB of 10^9 bytes, computed from its dimensions: weights by
    precision, and the cache of 16 prompts of 2,000 tokens.
    """
    return [
        {
            "size": model.size,
            "parameters": f"{model.parameters / 1e9:.2f} B",
            "bf16": f"{model.bf16 / 1e9:.1f}",
            **{
                name: f"{model.parameters * share / 1e9:.1f}"
                for name, share in QUANTIZATIONS.items()
            },
            "cache": f"{16 * 2000 * model.cache / 1e9:.1f}",
        }
        for model in published_sizes().values()
        if model.name.endswith(EDITIONS[0])
    ]


def find(name: str) -> Published | None:
    """The published model that a hub id or a short name means: ``Qwen/Qwen3-VL-8B-Instruct``,
    ``qwen3-vl-8b``; None if it is none of them.
    """
    plain = str(name).lower().removeprefix("qwen/")
    by_name = {known.lower(): model for known, model in published_sizes().items()}
    return by_name.get(plain) or by_name.get(f"{plain}-instruct")


def config_of(name: str) -> PretrainedConfig:
    """The configuration of a published model: its dimensions, without any weights."""
    from transformers import AutoConfig

    model, shared = published_sizes()[name], size_data()["shared"]
    kind = "qwen3_vl_moe" if "Moe" in model.architecture else "qwen3_vl"
    dimensions = model.dimensions
    return AutoConfig.for_model(
        kind,
        text_config=shared["text"]
        | dimensions["text"]
        | {"tie_word_embeddings": dimensions["tie_word_embeddings"]},
        vision_config=shared["vision"] | dimensions["vision"],
        tie_word_embeddings=dimensions["tie_word_embeddings"],
    )


def parameters_on_disk(folder: Path) -> int:
    """Number of parameters in a folder's safetensors files, read from their headers alone."""
    total = 0
    for file in sorted(Path(folder).glob("*.safetensors")):
        with open(file, "rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        total += sum(
            math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"
        )
    return total


def free_memory(device: str, device_map: str | None) -> float:
    """Bytes that are free where the weights are to go: with a device map all GPUs and the machine's
    memory, else the device's own.
    """
    import psutil
    import torch

    available = psutil.virtual_memory().available
    if not torch.cuda.is_available() or "cpu" in (device, device_map):
        return float(available)
    if device_map:
        return float(
            available
            + sum(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))
        )
    return float(
        torch.cuda.mem_get_info(torch.device(device))[0] if device.startswith("cuda") else available
    )


def check_memory(
    name: str,
    parameters: int,
    dtype: str,
    quantization: str | None,
    device: str,
    device_map: str | None,
) -> None:
    """Refuse weights that cannot fit, before anything is downloaded or read.

    Raises
    ------
    NotEnoughMemory
        If the weights alone take more than what is free.
    """
    needed = parameters * (QUANTIZATIONS[quantization] if quantization else BYTES[dtype])
    free = free_memory(device, device_map)
    if needed > free:
        fitting = [
            model.name
            for model in published_sizes().values()
            if model.parameters * needed / parameters <= free and "Instruct" in model.name
        ]
        raise NotEnoughMemory(
            f"the weights of {name} take {needed / 1e9:.1f} GB in {quantization or dtype}"
            f" ({parameters / 1e9:.2f} billion parameters), but only {free / 1e9:.1f} GB are free"
            f" on {f'what device_map {device_map} may use' if device_map else device}; choose a"
            f" smaller backbone (that fit so: {', '.join(fitting) or 'none of the published'}),"
            " quantization 8bit or 4bit, or device_map auto over several GPUs"
        )
