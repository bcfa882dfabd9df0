"""Whether a checkpoint folder is whole, told from its small files and the headers of its weights:
before anything heavy is read, and with what to do about it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from covrr_utils import paths
from covrr_utils.backbones.registry import UnknownBackbone

POINTER = b"version https://git-lfs"  # how a file of Git LFS begins whose content was not fetched

MODEL_TYPES = ("qwen3_vl", "qwen3_vl_moe")

TEMPLATES = ("chat_template.jinja", "chat_template.json")

TEXT_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "moe_intermediate_size",
    "num_experts",
    "num_experts_per_tok",
    "vocab_size",
)

VISION_SIZES = (
    "hidden_size",
    "depth",
    "num_heads",
    "intermediate_size",
    "out_hidden_size",
    "patch_size",
    "temporal_patch_size",
    "spatial_merge_size",
    "num_position_embeddings",
)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no whole checkpoint of a Qwen3-VL.

    Raises
    ------
    UnknownBackbone
        If a file is missing, was not fetched, is cut off or is not what its name says, or if the
        sizes in config.json cannot be. The message names the file and the next step.
    """
    config = _json(folder, "config.json")
    if not isinstance(config, dict):
        raise _refusal(
            folder,
            "it has no config.json" if config is None else "config.json holds no object",
            "expected config.json and *.safetensors in it; copy the whole folder, or give another",
        )
    documents = {file.name: _json(folder, file.name) for file in sorted(folder.glob("*.json"))}
    check_kind(paths.relative(folder), config)
    _check_weights(folder, documents.get("model.safetensors.index.json"))
    _check_processor(folder, documents)
    check_sizes(folder, config)


def check_sizes(folder: Path, config: Mapping) -> None:
    """Refuse dimensions that no model can have.

    Raises
    ------
    UnknownBackbone
        For a size that is no whole number above 0, heads that do not divide, or parts that do not
        fit each other.
    """
    step = "correct config.json, or copy it again from where the checkpoint came"
    text, vision = config.get("text_config"), config.get("vision_config")
    for part, values, names in (
        ("text_config", text, TEXT_SIZES),
        ("vision_config", vision, VISION_SIZES),
    ):
        if not isinstance(values, dict):
            raise _refusal(folder, f"config.json has no {part}", step)
        for name in names:
            value = values.get(name)
            if value is not None and (type(value) is not int or value < 1):
                raise _refusal(
                    folder,
                    f"{part}.{name} in config.json is {value!r}, not a whole number above 0",
                    step,
                )
        for name, value in values.items():
            if name == "rms_norm_eps" and not positive(value):
                raise _refusal(
                    folder, f"{part}.{name} in config.json is {value!r}, not above 0", step
                )
    assert isinstance(text, dict) and isinstance(vision, dict)
    for part, values, above, below in (
        ("text_config", text, "num_attention_heads", "num_key_value_heads"),
        ("vision_config", vision, "hidden_size", "num_heads"),
        *(
            [("text_config", text, "hidden_size", "num_attention_heads")]
            if text.get("head_dim") is None
            else []
        ),
    ):
        whole, share = values.get(above), values.get(below)
        if whole and share and whole % share:
            raise _refusal(
                folder,
                f"{part}.{above} in config.json is {whole}, which {below} = {share} does not"
                " divide",
                step,
            )
    width, out = text.get("hidden_size"), vision.get("out_hidden_size")
    if width and out and width != out:
        raise _refusal(
            folder,
            f"config.json says that the vision tower hands over {out} numbers a token"
            f" (vision_config.out_hidden_size) to a decoder {width} wide (text_config.hidden_size)",
            step,
        )
    places = vision.get("num_position_embeddings")
    if places and math.isqrt(places) ** 2 != places:
        raise _refusal(
            folder,
            f"vision_config.num_position_embeddings in config.json is {places}, which is no square",
            step,
        )


def check_kind(source: str, config: Mapping) -> None:
    """Refuse what is no Qwen3-VL: a class that transformers does not know by itself, or whose parts
    are others than those asked here.

    Raises
    ------
    UnknownBackbone
        If config.json names another model type.
    """
    kind = config.get("model_type")
    if kind in MODEL_TYPES:
        return
    own_code = " and wants to bring code of its own, which is never run" * ("auto_map" in config)
    raise UnknownBackbone(
        f"{source} cannot be a backbone: its config.json names the model type {kind!r}{own_code};"
        f" a backbone is a Qwen3-VL ({', '.join(MODEL_TYPES)})"
    )


def _check_weights(folder: Path, index: object) -> None:
    """Every file of weights is there to its last byte."""
    files = sorted(folder.glob("*.safetensors"))
    if isinstance(index, dict) and isinstance(index.get("weight_map"), dict):
        listed = {str(name) for name in index["weight_map"].values()}
        if missing := sorted(listed - {file.name for file in files}):
            raise _refusal(
                folder,
                f"{missing[0]} is missing"
                + (f", and {len(missing) - 1} more of its weights" if missing[1:] else ""),
                "download it again",
            )
    if not files:
        others = sorted(
            file.name for suffix in ("*.bin", "*.pt", "*.pth") for file in folder.glob(suffix)
        )
        raise _refusal(
            folder,
            "it has no *.safetensors" + (f", and {others[0]} is not read" if others else ""),
            "expected config.json and *.safetensors in it; weights are read from safetensors only",
        )
    for file in files:
        _check_safetensors(folder, file)


def _check_safetensors(folder: Path, file: Path) -> None:
    """A file of safetensors is as long as its header says."""
    _check_fetched(folder, file)
    again = f"download {file.name} again"
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise _refusal(folder, f"{file.name} is cut off after {size:,} bytes", again)
        try:
            header = json.loads(stream.read(length))
            end = max(
                (
                    tensor["data_offsets"][1]
                    for name, tensor in header.items()
                    if name != "__metadata__"
                ),
                default=0,
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise _refusal(folder, f"{file.name} is no file of safetensors", again) from error
    if size != 8 + length + end:
        raise _refusal(
            folder,
            f"{file.name} has {size:,} bytes where its header promises {8 + length + end:,}",
            again,
        )


def _check_processor(folder: Path, documents: Mapping[str, object]) -> None:
    """Tokenizer, chat template and the processor of videos are there."""
    names = {file.name for file in folder.iterdir()}
    step = "copy it from where the checkpoint came (a published one: from its hub page)"
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= names:
        raise _refusal(folder, "it has no tokenizer.json", step)
    for name in ("merges.txt", "vocab.json", *TEMPLATES):
        if name in names:
            _check_fetched(folder, folder / name)
    settings = (
        "processor_config.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
    )
    if not names & set(settings):
        raise _refusal(
            folder, "it has no processor_config.json (nor preprocessor_config.json)", step
        )
    inline = [documents.get("tokenizer_config.json"), documents.get("processor_config.json")]
    if not names & set(TEMPLATES) and not any(
        isinstance(document, dict) and document.get("chat_template") for document in inline
    ):
        raise _refusal(folder, "it has no chat_template.jinja, the layout of a conversation", step)


def _check_fetched(folder: Path, file: Path) -> None:
    """A file of Git LFS holds its content, not the pointer to it."""
    with open(file, "rb") as stream:
        if stream.read(len(POINTER)) == POINTER:
            raise _refusal(
                folder,
                f"{file.name} is a pointer of Git LFS, not the file itself",
                "fetch it with `git lfs pull` in the checkout, or download it",
            )


def _json(folder: Path, name: str) -> object:
    """The content of one json file; None where there is none."""
    file = folder / name
    if not file.is_file():
        return None
    _check_fetched(folder, file)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise _refusal(folder, f"{name} is no json ({reason})", f"download {name} again") from error
    return document


def positive(value: object) -> bool:
    """Whether it is a finite number above 0."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )


def _refusal(folder: Path, reason: str, step: str) -> UnknownBackbone:
    """The error that says what is wrong with a folder and what to do next."""
    return UnknownBackbone(f"{paths.relative(folder)} is no checkpoint folder: {reason}; {step}")
