"""Token weights and poolings: a `Description` becomes one vector. Every pooling is a pure function of what the store holds.

    v = sum_i a_i h_i / sum_i a_i,   then v / |v|                                      (paper, section "Embedding")

with h_i the state that predicts token i and a_i its importance. Five weight schemes are those of the official code, to the letter;
``word`` is ours and repairs what they get wrong (sub-word pieces weighted as words; camera and motion words treated as stop words).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence

import numpy as np

from covrr_utils.descriptions import Description

# The closed class of English function words, the usual small list of information retrieval.
STOP_WORDS = frozenset(
    "a an the this that these those it its he she they them his her their i you we me my your our and or but nor so yet if then than as of at by for "
    "with about against between into through during before after above below to from up down in out on off over under again further once here "
    "there when where why how all any both each few more most other some such no not only own same too very can will just should now is am are was "
    "were be been being have has had having do does did doing would could may might must while who whom which what because until".split()
)
FILLERS = frozenset("video scene shows showing shown show seen image frame clip see appears visible depicts features".split())
BASIC_STOP_WORDS = frozenset("the a an is are was were in on at to of and".split()) | {"with"}
PUNCTUATION = frozenset(string.punctuation + "–—…“”‘’«»")

# The word scheme's tiers. Camera and motion words, order and negation are what traces are about: they are content.
CONTENT_WORDS = frozenset(
    "zoom zooming pan panning tilt close close-up wide following track tracking static before after then starts stops begins ends no not never "
    "without".split()
)
PARTICLES = frozenset("in out up down on off over".split())  # content where they close a phrase ("is on."), else prepositions
CAMERA_VERBS = frozenset(  # a particle after one of these is content too: "zooms in on"
    "zoom zooms zoomed zooming push pushes pushing pull pulls pulling fade fades fading tilt tilts tilting".split()
)
LABEL_WORDS = frozenset("states actions scene camera tempo".split())  # the names of the five slots say nothing about the video
ATTRIBUTE_WORDS = frozenset(
    "red blue green yellow orange purple pink brown black white grey gray gold silver dark bright light pale small large big tiny huge long short "
    "tall round square old new day night morning evening indoor outdoor indoors outdoors background foreground".split()
)
HIGH, MID, LOW = 1.0, 0.3, 0.1


class NothingToPool(ValueError):
    """A description that cannot become a vector: no content, or states that are zero or not finite."""


def _original(token: str) -> float:
    word = token.strip().lower()
    if not word or all(char in PUNCTUATION for char in word):
        return 0.1
    if word in STOP_WORDS:
        return 0.3
    if word in FILLERS:
        return 0.1
    if word.isdigit():
        return 0.7
    return 0.4 if len(word) <= 2 else 1.0


def _graduated(token: str) -> float:
    word = token.strip().lower()
    if word.startswith("<") and word.endswith(">"):
        return 0.0
    if word in STOP_WORDS:
        return 0.2
    return 0.5 if len(word) <= 2 else 1.0


def _nltk(token: str) -> float:
    word = token.strip().lower()
    return 0.1 if word in STOP_WORDS or "<" in word else 1.0


def _basic(token: str) -> float:
    word = token.strip().lower()
    return 0.1 if word in BASIC_STOP_WORDS or "<" in word else 1.0


def _per_token(rule: Callable[[str], float]) -> Callable[[Sequence[str]], list[float]]:
    return lambda tokens: [rule(token) for token in tokens]


def words_of(tokens: Sequence[str]) -> list[list[int]]:
    """Group token indices into words: a token that starts with white space, or follows a break or punctuation, starts a new word.

    >>> words_of([" clen", "ched", " fists", "."])
    [[0, 1], [2], [3]]
    """
    groups: list[list[int]] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else " "
        inner = token[:1].isalnum() or token[:1] in "-'"
        joins = index and inner and (before[-1:].isalnum() or before[-1:] in "-'") and not before[-1:].isspace()
        if joins:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _word(tokens: Sequence[str]) -> list[float]:
    weights = [LOW] * len(tokens)
    groups = words_of(tokens)
    words = ["".join(tokens[i] for i in group).strip().lower().strip("".join(PUNCTUATION)) for group in groups]
    for before, word, following, group in zip(["", *words], words, [*words[1:], ""], groups):
        if not word or word in LABEL_WORDS:
            tier = LOW
        elif word in ATTRIBUTE_WORDS:
            tier = MID
        elif word in PARTICLES:
            tier = HIGH if before in CAMERA_VERBS or not following or following in ("and", "or", "but") else LOW
        elif word in CONTENT_WORDS or word not in STOP_WORDS | FILLERS:
            tier = HIGH
        else:
            tier = LOW
        for i in group:
            weights[i] = tier
    return weights


SCHEMES: dict[str, Callable[[Sequence[str]], list[float]]] = {
    "original": _per_token(_original),
    "graduated": _per_token(_graduated),
    "nltk": _per_token(_nltk),
    "basic": _per_token(_basic),
    "uniform": _per_token(lambda token: 1.0),
    "word": _word,
}


def token_weights(tokens: Sequence[str], scheme: str = "word") -> np.ndarray:
    """Importance a_i of every token: (T,) float64. Special tokens (``<|...|>``), end of turn included, weigh nothing in any scheme.

    ``original``, ``graduated``, ``nltk``, ``basic``, ``uniform`` follow the official code, first match wins. ``word`` joins sub-word
    pieces and weighs whole words: objects, states, actions, camera and motion words 1.0; attributes, light and place-setting words
    0.3; function words, slot names and punctuation 0.1 (the paper's tiers).

    Raises
    ------
    ValueError
        For an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown weight scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    special = np.array([token.startswith("<|") and token.endswith("|>") for token in tokens], bool)
    return np.where(special, 0.0, np.asarray(SCHEMES[scheme](tokens), np.float64))


def _mean(states, weights):
    return states.mean(0)


def _weighted_mean(states, weights):
    return (weights[:, None] * states).sum(0) / weights.sum()


def _last(states, weights):
    return states[-1]


def _max(states, weights):
    return states.max(0)


POOLINGS: dict[str, tuple[Callable, ...]] = {
    "mean": (_mean,),
    "weighted_mean": (_weighted_mean,),
    "last": (_last,),
    "max": (_max,),
    "mean_last": (_mean, _last),
    "mean_max": (_mean, _max),
}


def pool(description: Description, pooling: str = "weighted_mean", scheme: str = "word") -> np.ndarray:
    """One L2-normalised vector for a description: (D,) float32, or (2 D,) for the concatenations ``mean_last`` and ``mean_max``.

    All poolings run over content tokens only. ``scheme`` matters to ``weighted_mean`` alone.

    Raises
    ------
    ValueError
        For an unknown pooling or scheme.
    NothingToPool
        For a description without content tokens, or a result that is zero or not finite.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
    keep = description.content
    if not keep.any():
        raise NothingToPool(f"nothing to pool: the description {description.text!r} has no content tokens")
    states = description.states[keep].astype(np.float64)
    weights = token_weights(description.tokens, scheme)[keep]
    if weights.sum() == 0:
        raise NothingToPool(f"nothing to pool: every token of {description.text!r} weighs 0 under scheme {scheme!r}")
    vector = np.concatenate([part(states, weights) for part in POOLINGS[pooling]])
    norm = np.linalg.norm(vector)
    if not np.isfinite(norm) or norm == 0:
        raise NothingToPool(f"the {pooling} of {description.text[:60]!r} has norm {norm}; its states are zero or not finite")
    return (vector / norm).astype(np.float32)
