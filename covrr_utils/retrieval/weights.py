"""Token weights: how much each word of a description says, by several schemes.

``original``, ``graduated``, ``nltk``, ``basic`` and ``uniform`` follow the official code in their
rules: which tests they make, in which order, and which weight each test gives. Two things are ours.
The word lists are: the official stop list has 310 words, camera, motion and framing words among
them, and `STOP_WORDS` has 117, function words alone; `FILLERS` and the 14 `BASIC_STOP_WORDS` are
not the official ones either. And special tokens weigh nothing here, while the official code gives
the end of turn a weight of 1.

``word`` is ours. It repairs what the five get wrong: they weigh sub-word pieces as if they were
words, and treat order and negation (before, after, no, not) as stop words. ``idf`` says how rare a
word is in the gallery's descriptions, ``surprisal`` how unexpected a token was to the model.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float, Float64

# The closed class of English function words, the usual small list of information retrieval.
STOP_WORDS = frozenset(
    "a an the this that these those it its he she they them his her their i you we me my your our"
    " and or but nor so yet if then than as of at by for with about against between into through"
    " during before after above below to from up down in out on off over under again further once"
    " here there when where why how all any both each few more most other some such no not only own"
    " same too very can will just should now is am are was were be been being have has had having"
    " do does did doing would could may might must while who whom which what because until".split()
)

FILLERS = frozenset(
    "video scene shows showing shown show seen image frame clip see appears visible depicts"
    " features".split()
)

BASIC_STOP_WORDS = frozenset("the a an is are was were in on at to of and".split()) | {"with"}

PUNCTUATION = frozenset(string.punctuation + "–—…“”‘’«»")

_PUNCTUATION = "".join(PUNCTUATION)

# The word scheme's tiers. Camera and motion words, order and negation are what traces are about:
# they are content.
CONTENT_WORDS = frozenset(
    "zoom zooming pan panning tilt close close-up wide following track tracking static before after"
    " then starts stops begins ends no not never without".split()
)

# content where they close a phrase ("is on."), else prepositions
PARTICLES = frozenset("in out up down on off over".split())

CAMERA_VERBS = frozenset(  # a particle after one of these is content too: "zooms in on"
    "zoom zooms zoomed zooming push pushes pushing pull pulls pulling fade fades fading tilt tilts"
    " tilting".split()
)

# the names of the five slots say nothing about the video
LABEL_WORDS = frozenset("states actions scene camera tempo".split())

ATTRIBUTE_WORDS = frozenset(
    "red blue green yellow orange purple pink brown black white grey gray gold silver dark bright"
    " light pale small large big tiny huge long short tall round square old new day night morning"
    " evening indoor outdoor indoors outdoors background foreground".split()
)

HIGH, MID, LOW = 1.0, 0.3, 0.1


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
    """Group token indices into words: a token that starts with white space, or follows a break or
    punctuation, starts a new word.

    >>> words_of([" clen", "ched", " fists", "."])
    [[0, 1], [2], [3]]
    """
    groups: list[list[int]] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else " "
        inner = token[:1].isalnum() or token[:1] in "-'"
        joins = (
            index
            and inner
            and (before[-1:].isalnum() or before[-1:] in "-'")
            and not before[-1:].isspace()
        )
        if joins:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _word(tokens: Sequence[str]) -> list[float]:
    weights = [LOW] * len(tokens)
    groups = words_of(tokens)
    words = [bare_word("".join(tokens[i] for i in group)) for group in groups]
    for before, word, following, group in zip(["", *words], words, [*words[1:], ""], groups):
        if not word or word in LABEL_WORDS:
            tier = LOW
        elif word in ATTRIBUTE_WORDS:
            tier = MID
        elif word in PARTICLES:
            tier = (
                HIGH
                if before in CAMERA_VERBS or not following or following in ("and", "or", "but")
                else LOW
            )
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


SURPRISAL, IDF = "surprisal", "idf"

WEIGHTINGS = (*SCHEMES, SURPRISAL, IDF)


class WordFrequencies:
    """In how many of a gallery's descriptions each word occurs: what ``idf`` weighs by.

    idf(w) = log((1 + N) / (1 + df(w))), N descriptions, df(w) of them with w (Spaerck Jones 1972,
    smoothed); a word that every description has weighs nothing.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.documents: Counter[str] = Counter()
        self.count = 0
        for text in texts:
            self.count += 1
            self.documents.update({bare_word(word) for word in re.split(r"\s+", text)})

    def idf(self, word: str) -> float:
        """The weight of one bare word, natural logarithm."""
        return float(np.log((1 + self.count) / (1 + self.documents[word])))

    def weights(self, tokens: Sequence[str]) -> list[float]:
        """One weight per token: that of the whole word it belongs to; white space and punctuation
        weigh nothing.
        """
        weights = [0.0] * len(tokens)
        for group in words_of(tokens):
            word = bare_word("".join(tokens[i] for i in group))
            for i in group:
                weights[i] = self.idf(word) if word else 0.0
        return weights


def bare_word(word: str) -> str:
    """The word in lower case, without white space and punctuation around it."""
    return word.strip().lower().strip(_PUNCTUATION)


def token_weights(
    tokens: Sequence[str],
    scheme: str = "word",
    logprobs: Float[np.ndarray, " T"] | None = None,
    words: WordFrequencies | None = None,
) -> Float64[np.ndarray, " T"]:
    """Importance a_i of every token. Special tokens (``<|...|>``), end of turn included, weigh
    nothing in any scheme.

    ``original``, ``graduated``, ``nltk``, ``basic``, ``uniform`` have the official code's rules,
    first match wins. ``word`` joins sub-word pieces and weighs whole words: objects, states,
    actions, camera and motion words 1.0; attributes, light and place-setting words 0.3; function
    words, slot names and punctuation 0.1 (the paper's tiers). ``surprisal`` is -log p of the token
    under the model (``logprobs``, natural logarithm), ``idf`` the inverse document frequency of its
    word (``words``).

    Raises
    ------
    ValueError
        For an unknown scheme, or one that lacks what it weighs by.
    """
    if scheme not in WEIGHTINGS:
        raise ValueError(f"unknown weight scheme {scheme!r}; known: {', '.join(WEIGHTINGS)}")
    if scheme == SURPRISAL:
        if logprobs is None:
            raise ValueError(
                "scheme 'surprisal' weighs by the tokens' log probabilities; pass logprobs"
            )
        weights = -np.asarray(logprobs, np.float64)
    elif scheme == IDF:
        if words is None:
            raise ValueError(
                "scheme 'idf' weighs by word frequencies over the gallery; pass"
                " words=WordFrequencies(descriptions' texts)"
            )
        weights = np.asarray(words.weights(tokens))
    else:
        weights = np.asarray(SCHEMES[scheme](tokens), np.float64)
    special = np.array([token.startswith("<|") and token.endswith("|>") for token in tokens], bool)
    return np.where(special, 0.0, weights)
