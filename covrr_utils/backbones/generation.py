"""What a backbone is asked, and how its text is generated. Needs no model and no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from covrr_utils.backbones.grammar import check_form
from covrr_utils.video.clips import Clip


@dataclass(frozen=True)
class Prompt:
    """One user turn: a video, then text."""

    clip: Clip
    text: str


@dataclass(frozen=True)
class Generation:
    """How text is generated: greedy by default. Temperature, top_p and top_k matter only when
    sampling.

    ``grammar`` constrains the text to a form of `covrr_utils.backbones.grammar`: ``lines`` or
    ``json`` for traces, or the text of a JSON schema.
    """

    max_new_tokens: int = 256
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    grammar: str | None = None

    def __post_init__(self) -> None:
        if self.grammar is not None:
            check_form(self.grammar)

    def to_dict(self) -> dict:
        """What decides the text; the grammar only where there is one."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name != "grammar" or value is not None
        }
