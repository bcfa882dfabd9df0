"""What a backbone says about a video, token by token: the one type in which gallery videos and
queries end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

T = TypeVar("T", covariant=True)


class NotFinite(ValueError):
    """States with NaN or infinity: a fault of the model or its dtype, never a vector."""


class NotAnswered(Exception):
    """Prompts to which a server gave no usable answer; the message says why."""


@dataclass
class Description:
    """A generated text with the state that predicted each of its tokens.

    Attributes
    ----------
    text : the decoded text, without special tokens
    tokens : T strings, each token decoded by itself; the end-of-turn token, when it was generated,
        is the last
    token_ids : (T,) int64
    states : (T, D) float32; ``states[t]`` is the final, post-norm hidden state that *predicts*
        token t (it sits at position t - 1; official code: a hook on the input of ``lm_head``). The
        state that *reads* token t is therefore ``states[t + 1]``.
    logprobs : (T,) float32, log p(token t | everything before it), natural logarithm
    ended : whether the model ended its turn by itself
    special : (T,) bool, true for end-of-turn and other special tokens
    layers : (L, T, D) float32, as ``states`` but from the outputs of chosen decoder blocks, before
        the final norm, and float16 where they come from the store; None if not asked for
    vision : (D,) float32, the mean of all visual tokens of the video in the prompt, as the vision
        tower hands them to the decoder
    """

    text: str
    tokens: list[str]
    token_ids: np.ndarray
    states: np.ndarray
    logprobs: np.ndarray
    ended: bool
    special: np.ndarray
    layers: np.ndarray | None = None
    vision: np.ndarray | None = None

    @property
    def content(self) -> np.ndarray:
        """(T,) bool: true for the tokens that say something, false for special ones."""
        return ~self.special


@dataclass(frozen=True)
class Failure:
    """One video or triplet that could not be processed: it stays in every denominator, as a miss
    with this cause.
    """

    id: str
    stage: str
    cause: str
    message: str


@dataclass
class Record:
    """A description on its way to or from the store, with what led to it (a trace, the sampled
    traces).
    """

    id: str
    description: Description
    extra: dict = field(default_factory=dict)


class Outcomes(Mapping[str, T]):
    """What became of many videos or triplets: a mapping of what succeeded, by id, and under
    ``failures`` why each of the others did not.
    """

    def __init__(self, succeeded: Mapping[str, T], failures: Mapping[str, Failure]):
        self._succeeded = succeeded
        self.failures = dict(failures)

    def __getitem__(self, id_: str) -> T:
        return self._succeeded[id_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._succeeded)

    def __len__(self) -> int:
        return len(self._succeeded)

    def __repr__(self) -> str:
        return f"<{len(self)} succeeded, {len(self.failures)} failed>"
