"""What reasons and describes: a backbone in this process, or a server with a backbone beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from covrr_utils.backbones.description import Description
from covrr_utils.backbones.generation import Generation, Prompt


class Writer(Protocol):
    """The three verbs of `covrr_utils.backbones.backbone.Backbone`, whoever writes the texts."""

    @property
    def generated_tokens(self) -> int:
        """Tokens written by all calls so far."""

    def write(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
    ) -> list[str]:
        """One text per prompt, in order."""

    def sample(
        self, prompts: Sequence[Prompt], generations: Sequence[Generation], desc: str | None = None
    ) -> list[list[str]]:
        """For each of these ways of generating, which differ in their seeds alone, one text per
        prompt, in order.
        """

    def describe(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
        layers: Sequence[float] = (),
    ) -> list[Description]:
        """One `Description` per prompt, in order."""
