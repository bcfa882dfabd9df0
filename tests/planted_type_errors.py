"""Errors that mypy has to see: where it loses sight of a library's types, a comment below ignores
nothing, and that is an error (``warn_unused_ignores``). Never run; `test_the_form_of_the_code`
checks it together with the package.
"""

import cv2
import huggingface_hub
import jinja2
import matplotlib.pyplot as plt
import mteb
import numpy as np
import openai
import platformdirs
import ray
import torch
import tyro
import xgrammar
from filelock import FileLock
from PIL import Image
from pydantic import Field
from rich.table import Table
from sentence_transformers import SentenceTransformer
from traitlets import HasTraits
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedTokenizerBase,
    Qwen3VLForConditionalGeneration,
)
from transformers.cache_utils import DynamicLayer

from covrr_utils.backbones.generation import Generation
from covrr_utils.experiments.config import RunConfig
from covrr_utils.retrieval.metrics import recall_at


def planted(
    states: torch.Tensor,
    model: Qwen3VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    client: openai.AsyncOpenAI,
) -> None:
    states.softmax(dim="rows")  # type: ignore[arg-type]
    torch.nn.functional.normalize(states, eps="small")  # type: ignore[arg-type]
    model.no_such_method()  # type: ignore[operator]
    tokenizer.decode([1], skip_special_tokens="no", clean=1)  # type: ignore[arg-type]
    AutoModelForImageTextToText.from_no_folder("mini-3m")  # type: ignore[attr-defined]
    DynamicLayer().no_such_length()  # type: ignore[attr-defined]
    client.chat.completions.invent()  # type: ignore[attr-defined]
    ray.wait([], num_returns="all")  # type: ignore[arg-type]
    np.linalg.norm(3, axis="rows")  # type: ignore[call-overload]
    Generation(max_new_tokens="many")  # type: ignore[arg-type]
    RunConfig(no_such_option=2)  # type: ignore[call-arg]
    recall_at([1, 2], "one")  # type: ignore[arg-type]
    torch.optim.AdamW(model.parameters(), lr="small")  # type: ignore[arg-type]
    next(iter(torch.nn.ModuleList())).no_such_method()  # type: ignore[operator]
    cv2.resize(3, "large")  # type: ignore[call-overload]
    Image.new("RGB", "large")  # type: ignore[arg-type]
    FileLock(3)  # type: ignore[arg-type]
    Table(no_such_option=4)  # type: ignore[call-arg]
    plt.figure(no_such_option=3).savefig()  # type: ignore[call-arg]
    Field(default=1, no_such_option=3)  # type: ignore[call-overload]
    huggingface_hub.try_to_load_from_cache(3, "config.json")  # type: ignore[arg-type]
    jinja2.Environment(no_such_option=3)  # type: ignore[call-arg]
    mteb.evaluate(no_such_option=3)  # type: ignore[call-arg]
    platformdirs.user_data_path(3)  # type: ignore[arg-type]
    tyro.cli(RunConfig, prog=3)  # type: ignore[call-overload]
    xgrammar.GrammarMatcher("text")  # type: ignore[arg-type]
    SentenceTransformer(no_such_option=3)  # type: ignore[call-arg]
    HasTraits().no_such_method()  # type: ignore[attr-defined]
