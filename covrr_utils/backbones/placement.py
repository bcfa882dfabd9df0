"""Where a checkpoint's weights go and in what form: device, precision, attention, quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import BitsAndBytesConfig

from covrr_utils.backbones import sizes

DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class Placement:
    """What is asked for, with every ``auto`` resolved.

    Attributes
    ----------
    device : ``cpu``, ``cuda``, ``cuda:N`` or ``mps``
    dtype : ``float32``, ``bfloat16`` or ``float16``
    attention : one of `covrr_utils.backbones.sizes.ATTENTIONS`
    device_map : None, or how the layers are spread over several devices
    quantization : None, ``8bit`` or ``4bit``
    """

    device: str
    dtype: str
    attention: str
    device_map: str | None
    quantization: str | None

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return getattr(torch, self.dtype)

    @property
    def mapped(self) -> bool:
        """Whether transformers places the weights itself while it reads them."""
        return bool(self.device_map or self.quantization)

    def options(self) -> dict[str, object]:
        """What ``from_pretrained`` takes for this placement.

        The attention is always said, so that no config of a checkpoint chooses another.
        """
        options: dict[str, object] = {
            "dtype": self.torch_dtype,
            "attn_implementation": self.attention,
        }
        if self.mapped:
            options["device_map"] = self.device_map or self.device
        if self.quantization:
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_8bit=self.quantization == "8bit",
                load_in_4bit=self.quantization == "4bit",
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
        return options


def place(
    device: str = "auto",
    dtype: str = "auto",
    attention: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
) -> Placement:
    """The placement that is asked for. ``auto`` means CUDA in bfloat16 where there is a GPU, else
    the CPU in float32; attention is sdpa unless another one is named.

    Raises
    ------
    ValueError
        If an option does not exist, or the device is not on this machine.
    """
    for name, value, known in (
        ("dtype", dtype, sizes.DTYPES),
        ("quantization", quantization, (None, *sizes.QUANTIZATIONS)),
        ("attention", attention, (None, *sizes.ATTENTIONS)),
    ):
        if value not in known:
            choices = ", ".join(choice for choice in known if choice)
            raise ValueError(f"unknown {name} {value!r}; known: {choices}")
    device = check_device(device)
    if device_map is not None and device_map not in DEVICE_MAPS:
        device_map = check_device(device_map, f"device_map ({', '.join(DEVICE_MAPS)}, or a device)")
    dtype = ("float32" if device == "cpu" else "bfloat16") if dtype == "auto" else dtype
    return Placement(device, dtype, attention or sizes.ATTENTIONS[0], device_map, quantization)


def check_device(device: str, what: str = "device") -> str:
    """``device`` itself, ``auto`` resolved.

    Raises
    ------
    ValueError
        If there is no such kind of device, or none of it on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise ValueError(
            f"unknown {what} {device!r}; known: auto, cpu, cuda, cuda:N (the Nth GPU, from 0), mps"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"{what} {device!r}: this machine has no Apple GPU; choose auto or cpu")
    if kind == "cuda" and int(number or 0) >= (count := torch.cuda.device_count()):
        there = f"{count} GPU{'s' * (count > 1)}, numbered from 0" if count else "no NVIDIA GPU"
        raise ValueError(
            f"{what} {device!r}: torch sees {there} on this machine; choose auto or cpu, or install"
            " a driver and a torch with CUDA"
        )
    return device
