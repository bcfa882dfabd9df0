"""Checkpoints: embedded, published, a local folder or any id of the hub, brought to a device in a
chosen form.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig
from transformers.utils.hub import cached_file, extract_commit_hash
from transformers.utils.logging import disable_progress_bar

from covrr_utils import paths
from covrr_utils.backbones import sizes
from covrr_utils.backbones.registry import UnknownBackbone, judge_models, list_backbones


def load_checkpoint(
    name: str | Path,
    device: str = "auto",
    dtype: str = "auto",
    attention: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
    revision: str | None = None,
):
    """The name to show, the model, its processor, and its folder or, for a model of the hub, its
    commit.

    ``name`` is an embedded backbone or judge, a published backbone (``qwen3-vl-8b``), a checkpoint
    folder, or a hub id. Weights come from safetensors only and no code from the checkpoint is run.
    ``auto`` means CUDA in bfloat16 where there is a GPU, else the CPU in float32.

    Parameters
    ----------
    attention : ``sdpa``, ``eager`` or ``flash_attention_2``; default: transformers' own choice
    device_map : ``auto`` spreads the layers over all GPUs, and what does not fit over the machine's
        memory
    quantization : ``8bit`` or ``4bit``, by bitsandbytes, which has to be installed
    revision : branch, tag or commit of a hub model

    Raises
    ------
    UnknownBackbone
        If there is no such backbone, the folder is incomplete, or the hub cannot be reached.
    NotEnoughMemory
        If the weights cannot fit; nothing is downloaded then.
    ValueError
        If an option does not exist, or the package that it needs is missing.
    """
    folder = {**list_backbones(), **judge_models()}.get(str(name), Path(name))
    local = folder.is_dir()
    known = None if local else sizes.find(str(name))
    if not local and not known and "qwen3-vl-72b" in str(name).lower():
        raise UnknownBackbone(_unknown(name, sizes.NOT_PUBLISHED))
    if local and not ((folder / "config.json").is_file() and list(folder.glob("*.safetensors"))):
        raise UnknownBackbone(
            f"{paths.relative(folder)} is no checkpoint folder: expected config.json and"
            " *.safetensors in it"
        )
    if not local and not known and "/" not in str(name):
        raise UnknownBackbone(_unknown(name, "a hub id has the form owner/name"))
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    dtype = ("float32" if device == "cpu" else "bfloat16") if dtype == "auto" else dtype
    options = _options(attention, device_map, quantization, device)
    if known or local:
        parameters = known.parameters if known else sizes.parameters_on_disk(folder)
        sizes.check_memory(str(name), parameters, dtype, quantization, device, device_map)
    source = str(folder) if local else known.hub if known else str(name)
    if local:
        disable_progress_bar()  # a local checkpoint is read at once; downloads keep their bar
    try:
        commit = None if local else _commit(source, revision)
        processor = AutoProcessor.from_pretrained(source, revision=commit)
        model = AutoModelForImageTextToText.from_pretrained(
            source, dtype=getattr(torch, dtype), use_safetensors=True, revision=commit, **options
        )
    except ImportError as error:
        raise ValueError(
            f"backbone {str(name)!r}: an option needs a package that is not here"
            f" ({str(error).splitlines()[0]})"
        ) from error
    except OSError as error:
        raise UnknownBackbone(
            _unknown(name, f"not to be had from the hub: {str(error).splitlines()[0]}")
        ) from error
    placed = model if "device_map" in options else model.to(device)
    return folder.name if local else source, placed, processor, folder if local else commit


def _commit(source: str, revision: str | None) -> str:
    """The commit that a revision of a hub model stands for: everything is then loaded from that
    commit, and results are kept under it.
    """
    commit = extract_commit_hash(cached_file(source, "config.json", revision=revision), None)
    if commit is None:
        raise OSError(f"the commit of {source} cannot be told; download it and give its folder")
    return commit


def _unknown(name: str | Path, reason: str) -> str:
    published = ", ".join(known for known in sizes.published_sizes() if "Instruct" in known)
    return (
        f"unknown backbone {str(name)!r}: not embedded ({', '.join(list_backbones()) or 'none'}),"
        f" no local checkpoint folder, and no model of the hub ({reason}). Give one of the embedded"
        f" names, a published one ({published}, or -Thinking), or the path of a downloaded"
        " checkpoint (without a connection: `hf download OWNER/NAME --local-dir FOLDER` on a"
        " machine that has one, then copy the folder)."
    )


def _options(
    attention: str | None, device_map: str | None, quantization: str | None, device: str
) -> dict:
    """What `from_pretrained` takes for these options; each only if it is asked for."""
    if quantization and quantization not in sizes.QUANTIZATIONS:
        raise ValueError(
            f"unknown quantization {quantization!r}; known: {', '.join(sizes.QUANTIZATIONS)}"
        )
    if attention and attention not in sizes.ATTENTIONS:
        raise ValueError(f"unknown attention {attention!r}; known: {', '.join(sizes.ATTENTIONS)}")
    options: dict = {"attn_implementation": attention} if attention else {}
    if device_map or quantization:
        options["device_map"] = device_map or device
    if quantization:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_8bit=quantization == "8bit",
            load_in_4bit=quantization == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return options
