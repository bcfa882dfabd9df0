"""Token weights and poolings: a `Description` becomes one vector. Every pooling is a pure function
of what the store holds.

    v = sum_i a_i h_i / sum_i a_i,   then v / |v|              (paper, section "Embedding")

with h_i the state that predicts token i and a_i its importance. `covrr_utils.retrieval.weights`
says where the schemes of a_i come from: five follow the rules of the official code with word lists
of ours, ``word`` is ours and weighs whole words, ``idf`` and ``surprisal`` need no word lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from covrr_utils.backbones.description import Description
from covrr_utils.files import content_hash, digest
from covrr_utils.retrieval import weights
from covrr_utils.retrieval.weights import IDF, WordFrequencies, token_weights


class NothingToPool(ValueError):
    """A description cannot become a vector: no content, or states that are zero or not finite."""


States = Float[np.ndarray, "M D"]

Weights = Float64[np.ndarray, " M"]

Vector = Float[np.ndarray, " D"]


def _mean(states: States, weights: Weights) -> Vector:
    return states.mean(0)


def _weighted_mean(states: States, weights: Weights) -> Vector:
    return (weights[:, None] * states).sum(0) / weights.sum()


def _last(states: States, weights: Weights) -> Vector:
    return states[-1]


def _max(states: States, weights: Weights) -> Vector:
    return states.max(0)


# what is concatenated to make the vector of each pooling
POOLINGS: dict[str, tuple[Callable[[States, Weights], Vector], ...]] = {
    "mean": (_mean,),
    "weighted_mean": (_weighted_mean,),
    "last": (_last,),
    "max": (_max,),
    "mean_last": (_mean, _last),
    "mean_max": (_mean, _max),
}


PREDICTS, READS, VISION = "predicts", "reads", "vision"

# whose states: of the description as it was written, or of the finished text, read by itself
CONTEXT, ALONE = "context", "alone"


def token_states(
    description: Description, source: str = PREDICTS
) -> tuple[Float64[np.ndarray, "M D"], Int[np.ndarray, " M"]]:
    """The M states that ``source`` names, and which of the description's tokens they belong to.

    ``predicts``: the final state that predicts each content token, as in the official code.
    ``reads``: the final state one place later, which has read the token. ``layer 0``, ``layer 1``,
    ...: as ``predicts``, from the stored layers, in their order.

    Raises
    ------
    ValueError
        For an unknown source, or a layer that was not stored.
    NothingToPool
        If there is no content token with such a state.
    """
    keep = np.flatnonzero(description.content)
    states = description.states
    if source == READS:
        keep = keep[keep + 1 < len(states)]
    elif source.startswith("layer ") and source[6:].isdigit():
        layers = () if description.layers is None else description.layers
        if int(source[6:]) >= len(layers):
            raise ValueError(
                f"source {source!r}: {len(layers)} layers are stored; run with layers=(...) to keep"
                " the states of more"
            )
        states = layers[int(source[6:])]
    elif source != PREDICTS:
        raise ValueError(
            f"unknown source {source!r}; known: {PREDICTS}, {READS}, {VISION}, 'layer 0', 'layer"
            " 1', ..."
        )
    if not len(keep):
        raise NothingToPool(
            f"nothing to pool: the description {description.text!r} has no content tokens"
        )
    return states[keep + 1 if source == READS else keep].astype(np.float64), keep


def way_of(
    pooling: str, scheme: str, source: str, words: WordFrequencies | None = None
) -> dict[str, object]:
    """Everything that decides what `pool` makes of a description, its code included: what is pooled
    alike has the same way.
    """
    way: dict[str, object] = {"source": source, "code": _code()}
    if source != VISION:
        way["pooling"] = pooling
        if pooling == "weighted_mean":
            way["scheme"] = scheme
            if scheme == IDF and words is not None:
                way["words"] = [words.count, digest(words.documents)]
    return way


@cache
def _code() -> list[str]:
    """The content of the two modules that pool and weigh."""
    return [content_hash(Path(file)) for file in (__file__, weights.__file__)]


def pool(
    description: Description,
    pooling: str = "weighted_mean",
    scheme: str = "word",
    source: str = PREDICTS,
    words: WordFrequencies | None = None,
) -> Float32[np.ndarray, " V"]:
    """One L2-normalised vector for a description, as wide as its states (V = D), or twice as wide
    for the concatenations ``mean_last`` and ``mean_max``.

    All poolings run over content tokens only. ``scheme`` matters to ``weighted_mean`` alone,
    ``words`` to scheme ``idf`` alone. ``source`` says which states (`token_states`); ``vision`` is
    the mean over *all* visual tokens, whatever the pooling (the official code takes the first of
    them), and knows nothing of an edit.

    Raises
    ------
    ValueError
        For an unknown pooling, scheme or source.
    NothingToPool
        For a description without content tokens, or a result that is zero or not finite.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
    if source == VISION:
        if description.vision is None:
            raise ValueError(
                "source 'vision': the description was stored without its visual tokens; compute it"
                " again"
            )
        vector = description.vision.astype(np.float64)
    else:
        states, kept = token_states(description, source)
        importance = np.ones(len(kept))
        if pooling == "weighted_mean":
            importance = token_weights(description.tokens, scheme, description.logprobs, words)[
                kept
            ]
        if importance.sum() == 0:
            raise NothingToPool(
                f"nothing to pool: every token of {description.text!r} weighs 0 under scheme"
                f" {scheme!r}"
            )
        vector = np.concatenate([part(states, importance) for part in POOLINGS[pooling]])
    norm = np.linalg.norm(vector)
    if not np.isfinite(norm) or norm == 0:
        raise NothingToPool(
            f"the {pooling} of {description.text[:60]!r} has norm {norm}; its states are zero or"
            " not finite"
        )
    return (vector / norm).astype(np.float32)
