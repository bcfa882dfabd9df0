"""The state of a training on disk, from which it goes on after an interruption."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from covrr_utils.files import write_atomically
from covrr_utils.mini.model import Trainee


def save_state(folder: Path, trainee: Trainee, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write weights, optimizer moments and the step in one safetensors file, beside the old one,
    then replace it.
    """
    tensors = {
        f"weights.{name}": value
        for name, value in trainee.state_dict().items()
        if name != "model.lm_head.weight"
    }
    for name, parameter in trainee.named_parameters():
        tensors |= {f"{key}.{name}": value for key, value in optimizer.state[parameter].items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({**tensors, "at": torch.tensor(step)}, folder / "state.tmp")
    os.replace(folder / "state.tmp", folder / "state.safetensors")


def load_state(folder: Path, trainee: Trainee, optimizer: torch.optim.Optimizer) -> int:
    """Restore what `save_state` wrote and return its step; 0 when there is nothing to resume."""
    if not (folder / "state.safetensors").exists():
        return 0
    tensors = load_file(folder / "state.safetensors")
    weights = {
        name.removeprefix("weights."): value
        for name, value in tensors.items()
        if name.startswith("weights.")
    }
    trainee.load_state_dict(
        {
            **weights,
            "model.lm_head.weight": weights["model.model.language_model.embed_tokens.weight"],
        }
    )
    for name, parameter in trainee.named_parameters():
        if f"exp_avg.{name}" in tensors:  # what a stage does not train has no moments yet
            optimizer.state[parameter] = {
                key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }
    return int(tensors["at"])


def resume_log(path: Path, step: int) -> float:
    """Drop what was logged after ``step``, where training goes on, and return the seconds it had
    taken by the last line that is left.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
    return json.loads(kept[-1])["seconds"] if kept else 0.0
