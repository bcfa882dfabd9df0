"""How the strategies decode: what all of them share, declared once. Needs no model and no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from covrr_utils.backbones.generation import Generation
from covrr_utils.backbones.grammar import check_form

SYNTHESES = ("vote", "model")


@dataclass(frozen=True)
class Settings:
    """How strategies decode: ``generation`` for every greedy step; ``samples`` traces at
    ``temperature`` for self-consistency.

    ``synthesis`` merges the sampled traces by majority ``vote`` per slot, or by asking the
    ``model`` (as the official code does). ``grammar`` constrains every trace (not the descriptions)
    to a form of `covrr_utils.backbones.grammar`. ``style``: how every prompt is worded
    (`covrr_utils.reasoning.prompts.STYLES`). ``layers``: depths of decoder blocks whose states
    descriptions keep too (`covrr_utils.backbones.backbone.Backbone.describe`).

    Raises
    ------
    ValueError
        If ``samples`` is below 1, the synthesis is unknown, or the grammar is no form.
    """

    generation: Generation = field(default_factory=Generation)
    samples: int = 5
    temperature: float = 0.9
    synthesis: str = "vote"
    seed: int = 0
    layers: tuple[float, ...] = ()
    grammar: str | None = None
    style: str = "slots"

    @property
    def tracing(self) -> Generation:
        """How traces are generated."""
        return replace(self.generation, grammar=self.grammar)

    def sampling(self, number: int) -> Generation:
        """How sample ``number`` (0, 1, ...) of self-consistency is generated, with its own seed."""
        return replace(
            self.tracing,
            do_sample=True,
            temperature=self.temperature,
            seed=self.seed * 1000 + number,
        )

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        if self.synthesis not in SYNTHESES:
            raise ValueError(f"unknown synthesis {self.synthesis!r}; known: {', '.join(SYNTHESES)}")
        if self.grammar is not None:
            check_form(self.grammar)
