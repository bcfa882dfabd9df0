"""Checkpoints: embedded, published, a local folder or any id of the hub, brought to a device in a
chosen form.

Weights come from safetensors only, and no code from a checkpoint is run or asked for: every
``from_pretrained`` gets ``trust_remote_code=False``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor
from transformers.utils.hub import cached_file, extract_commit_hash
from transformers.utils.logging import disable_progress_bar

from covrr_utils import paths
from covrr_utils.backbones import sizes
from covrr_utils.backbones.completeness import check_folder, check_kind
from covrr_utils.backbones.embedding_registry import find_embedder
from covrr_utils.backbones.placement import Placement, place
from covrr_utils.backbones.processors import check_match, check_processor
from covrr_utils.backbones.registry import UnknownBackbone, checkpoint_folder, list_backbones

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

SHOWN_KEYS = 3  # how many weights a message names

HEAD = "lm_head.weight"  # an embedder's checkpoint may hold an output head, which it has no use for


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes
    ----------
    name : as results show it: the folder's name or the hub id
    model : on its device
    processor : tokenizer, chat template and video processor
    weights : the folder, or the commit of a model of the hub
    """

    name: str
    model: Qwen3VLForConditionalGeneration
    processor: Qwen3VLProcessor
    weights: Path | str


def load_checkpoint(
    name: str | Path,
    device: str = "auto",
    dtype: str = "auto",
    attention: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
    revision: str | None = None,
    headless: bool = False,
) -> Checkpoint:
    """The checkpoint of that name, checked before anything heavy is read.

    ``name`` is an embedded backbone or judge, a published backbone (``qwen3-vl-8b``), a checkpoint
    folder, or a hub id.

    Parameters
    ----------
    device : ``auto`` is a GPU where there is one, else the CPU
    dtype : ``auto`` is bfloat16 on a GPU, float32 on the CPU
    attention : ``sdpa`` (default), ``eager`` or ``flash_attention_2``
    device_map : ``auto`` spreads the layers over all GPUs, and what does not fit over the machine's
        memory
    quantization : ``8bit`` or ``4bit``, by bitsandbytes, which has to be installed
    revision : branch, tag or commit of a hub model
    headless : load the model without its output head, as embedders are

    Raises
    ------
    UnknownBackbone
        If there is no such backbone, its checkpoint is not whole or has other weights than its
        class, or the hub cannot be reached.
    NotEnoughMemory
        If the weights cannot fit; nothing is downloaded then.
    ValueError
        If an option does not exist, or the device or a package that it needs is missing.
    """
    folder = checkpoint_folder(name)
    find = find_embedder if headless else sizes.find
    known = None if folder else find(str(name))
    if folder:
        check_folder(folder)
    elif not known and "qwen3-vl-72b" in str(name).lower():
        raise UnknownBackbone(_unknown(name, sizes.NOT_PUBLISHED))
    elif not known and "/" not in str(name):
        raise UnknownBackbone(_unknown(name, "a hub id has the form owner/name"))
    placement = place(device, dtype, attention, device_map, quantization)
    if known or folder:
        parameters = known.parameters if known else sizes.parameters_on_disk(folder or Path())
        sizes.check_memory(
            str(name), parameters, placement.dtype, quantization, placement.device, device_map
        )
    source = str(folder) if folder else known.hub if known else str(name)
    if folder:
        disable_progress_bar()  # a local checkpoint is read at once; downloads keep their bar
    try:
        commit = None if folder else commit_of(source, revision)
        processor, model = _from_pretrained(source, commit, placement, headless)
    except ImportError as error:
        raise ValueError(
            f"backbone {str(name)!r}: an option needs a package that is not here"
            f" ({_first_line(error)})"
        ) from error
    except OSError as error:
        raise UnknownBackbone(
            _unreadable(folder, error)
            if folder
            else _unknown(name, f"not to be had from the hub: {_first_line(error)}")
        ) from error
    placed = model
    if not placement.mapped:
        placed = model.to(torch.device(placement.device))  # type: ignore[arg-type]
    return Checkpoint(
        folder.name if folder else source, placed, processor, folder if folder else str(commit)
    )


def commit_of(source: str, revision: str | None) -> str:
    """The commit that a revision of a hub model stands for: everything is then loaded from that
    commit, and results are kept under it.

    Raises
    ------
    OSError
        If there is no such model or revision, or the hub cannot be reached.
    """
    commit = extract_commit_hash(cached_file(source, "config.json", revision=revision), None)
    if commit is None:
        raise OSError(f"the commit of {source} cannot be told; download it and give its folder")
    return commit


def _from_pretrained(
    source: str, commit: str | None, placement: Placement, headless: bool
) -> tuple[Qwen3VLProcessor, Qwen3VLForConditionalGeneration]:
    """Processor, then model; each is checked before it is used."""
    try:
        config = AutoConfig.from_pretrained(source, revision=commit, trust_remote_code=False)
        processor = AutoProcessor.from_pretrained(source, revision=commit, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownBackbone(_unreadable(source, error, "settings")) from error
    check_kind(_shown(source), config.to_dict())
    check_processor(_shown(source), processor)
    check_match(_shown(source), config, processor)
    config._attn_implementation = placement.attention  # of every part, whatever the file names
    try:
        auto: Any = AutoModel if headless else AutoModelForImageTextToText
        loaded: Any = auto.from_pretrained(
            source,
            config=config,
            revision=commit,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named in the report, and refused
            **placement.options(),
        )
    except torch.OutOfMemoryError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UnknownBackbone(_unreadable(source, error, "weights")) from error
    model, report = loaded
    _check_report(source, report, (HEAD,) if headless else ())
    return processor, model


def _check_report(source: str, report: Mapping, spare: Collection[str] = ()) -> None:
    """Every weight of the model came from the checkpoint, and every one of the checkpoint but the
    ``spare`` ones went into the model: a weight that is not there would be random. Tied weights
    need no copy of their own.
    """
    parts = []
    for kind, what in (
        ("missing_keys", "lacks"),
        ("unexpected_keys", "has besides"),
        ("mismatched_keys", "has in another shape"),
    ):
        named = {key if isinstance(key, str) else str(key[0]) for key in report[kind]}
        keys = sorted(named - set(spare if kind == "unexpected_keys" else ()))
        if keys:
            more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
            parts.append(f"{what} {', '.join(keys[:SHOWN_KEYS])}{more}")
    if errors := report.get("error_msgs"):
        parts.append(f"could not be read ({str(errors[0]).splitlines()[0]})")
    if parts:
        raise UnknownBackbone(
            f"the weights of {_shown(source)} are not those of its class; it {'; it '.join(parts)}."
            " What is missing would be random numbers, so nothing is run: save the checkpoint again"
            " with save_pretrained of the whole model, or download it again"
        )


def _unknown(name: str | Path, reason: str) -> str:
    published = ", ".join(known for known in sizes.published_sizes() if "Instruct" in known)
    return (
        f"unknown backbone {str(name)!r}: not embedded ({', '.join(list_backbones()) or 'none'}),"
        f" no local checkpoint folder, and no model of the hub ({reason}). Give one of the embedded"
        f" names, a published one ({published}, or -Thinking), or the path of a downloaded"
        " checkpoint (without a connection: `hf download OWNER/NAME --local-dir FOLDER` on a"
        " machine that has one, then copy the folder)."
    )


def _unreadable(source: str | Path, error: Exception, part: str = "files") -> str:
    if "trust_remote_code" in str(error):
        reason = "it wants code of its own to be run, which is never done"
    else:
        reason = f"{type(error).__name__}: {_first_line(error)}"
    return (
        f"the {part} of {_shown(source)} cannot be loaded ({reason}); copy the checkpoint again"
        " from where it came, or give another"
    )


def _shown(source: str | Path) -> str:
    """A folder relative to the repository, a hub id as it is."""
    return paths.relative(Path(source)) if Path(source).is_dir() else str(source)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
