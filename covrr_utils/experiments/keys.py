"""What decides a description: the keys of the store's folders, and the names of what lies in them.

The digest of a key names a folder of the store. Whatever enters a key here makes every store that
was filled before be computed again, so an option enters only where it is set otherwise than by
default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from covrr_utils.benchmarks.triplets import Triplet
from covrr_utils.experiments.config import RunConfig
from covrr_utils.files import digest
from covrr_utils.reasoning import prompts

if TYPE_CHECKING:
    from covrr_utils.backbones.generation import Generation
    from covrr_utils.backbones.identity import Identity

Key = dict[str, object]

TRACING = ("two_stage", "self_consistency")  # the strategies in which the model writes traces


SERVER = "server"  # of a key: what decides the texts that a server writes


def grammar_of(config: RunConfig, strategy: str) -> str | None:
    """The grammar that constrains this strategy's traces; None where it writes none."""
    return config.grammar if strategy in TRACING else None


def video_key(config: RunConfig, identity: Identity, generation: Generation) -> Key:
    """The key of the descriptions of videos as they are."""
    return _key(config, identity, generation, prompts.describe(config.prompt_style))


def reading_key(config: RunConfig, identity: Identity, generation: Generation) -> Key:
    """The key of texts that the model reads by themselves."""
    key = _key(config, identity, generation, "read alone")
    return {name: value for name, value in key.items() if name != SERVER}


def pair_key(
    config: RunConfig, identity: Identity, generation: Generation, reranker: str, question: str
) -> Key:
    """The key of the scores of texts with videos: by which reranker, asked what. Nothing is
    generated, and no other states are kept.
    """
    key = _key(config, identity, generation, question) | {"reranker": reranker}
    return {
        name: value for name, value in key.items() if name not in ("decoding", "layers", SERVER)
    }


def vector_key(config: RunConfig, identity: Identity, prompt: str) -> Key:
    """The key of an embedder's vectors of inputs that were put into ``prompt``."""
    key: Key = {
        "prompts": prompt,
        "weights": identity.weights_hash,
        "dtype": identity.dtype,
        "processing": identity.processing,
        "sampling": identity.sampling,
    }
    return key if config.attention is None else key | {"attention": config.attention}


def given_key(config: RunConfig, identity: Identity, generation: Generation) -> Key:
    """The key of descriptions after the edit whose traces come from elsewhere."""
    prompt_texts = prompts.after_trace("E", "R", config.prompt_style)
    return _key(config, identity, generation, prompt_texts) | {"strategy": "given"}


def query_key(config: RunConfig, identity: Identity, generation: Generation, strategy: str) -> Key:
    """The key of a strategy's descriptions after the edit: all it may ask, and how it samples."""
    style = config.prompt_style
    prompt_texts = [
        prompts.single_stage("E", style),
        prompts.trace("E", style),
        prompts.after_trace("E", "R", style),
        prompts.synthesis("E", ["R"], style),
    ]
    key = _key(config, identity, generation, prompt_texts)
    key |= {"strategy": strategy, "extra": "trace, samples, written"}
    if strategy == "self_consistency":
        key |= {"samples": config.samples, "synthesis": config.synthesis, "seed": config.seed}
    if grammar := grammar_of(config, strategy):
        key["grammar"] = grammar
    return key


def after_trace_wording(key: Mapping[str, object]) -> object:
    """How a key of queries words the request for a description after a trace."""
    wordings = key["prompts"]
    return wordings[2] if isinstance(wordings, list) else wordings


def stored_name(id_: str, content: str | None, what: str = "") -> str:
    """The name of one description in its folder: its id, the hash of its video's content, and
    ``what`` else it depends on.
    """
    return digest({"id": id_, "content": content, "what": what})


def text_name(text: str) -> str:
    """The name of a text that the model reads by itself."""
    return digest({"text": text})


def content_name(content: str) -> str:
    """The name of a video's description by its content alone, whatever the video is called."""
    return stored_name("", content)


def query_text(triplet: Triplet, strategy: str) -> str:
    """What a triplet's description depends on beside its reference: the edit, and the gold trace
    where the strategy is given it.
    """
    gold = triplet.gold_trace.text() if strategy == "gold_trace" and triplet.gold_trace else ""
    return f"{triplet.edit}\n{gold}"


def _key(config: RunConfig, identity: Identity, generation: Generation, asked: object) -> Key:
    options = config.options()
    return (
        {
            "prompts": asked,
            "prompt_version": prompts.version(config.prompt_style),
            "weights": identity.weights_hash,
            "dtype": identity.dtype,
            "processing": identity.processing,
            "sampling": identity.sampling,
            "decoding": generation.to_dict(),
            "layers": list(config.layers),
        }
        | {name: options[name] for name in ("quantization", "attention") if name in options}
        | ({SERVER: identity.server} if identity.server else {})
    )
