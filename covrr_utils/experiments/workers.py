"""What a worker of a cluster does: load the model once, and compute what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covrr_utils.store.journal import Line
from covrr_utils.store.part import Part
from covrr_utils.store.prefetch import Work

if TYPE_CHECKING:
    from covrr_utils.backbones.identity import Identity
    from covrr_utils.experiments.descriptions import Descriptions
    from covrr_utils.experiments.model import Model
    from covrr_utils.experiments.pairs import PairQuery


@dataclass(frozen=True)
class Unread:
    """A text that the model is to read by itself, and the name under which it is stored."""

    stored: str
    text: str


@dataclass(frozen=True)
class Unscored:
    """A pair of a query and a candidate that a reranker is to score: the name under which the score
    is stored, the candidate with the name under which it fails, and what is asked.
    """

    stored: str
    video: str
    candidate: str
    question: PairQuery


Task = Work | Unread | Unscored

Do = Callable[["Descriptions", Part, Sequence[Any]], None]  # of one kind of `Task`


class OtherModel(RuntimeError):
    """A worker's model is another one than that of the process that hands out the work."""


@dataclass(frozen=True)
class Phase:
    """What all workers do until it is done.

    Attributes
    ----------
    descriptions : of the run, without its model
    identity : of its model
    folder, key : of the collection that is filled
    do : computes some work into it, with the descriptions of a worker
    """

    descriptions: Descriptions
    identity: Identity
    folder: Path
    key: Mapping[str, object]
    do: Do


class Worker:
    """One process with one model. What the store holds of other workers' work is not seen, nor
    needed: nothing is handed out twice at a time.
    """

    def __init__(self) -> None:
        self.model: Model | None = None
        self.parts: dict[Path, Part] = {}

    def load(self, phase: Phase) -> None:
        """Load the model that all phases of a run share.

        Raises
        ------
        OtherModel
            If it would write under another key than the one that its work is stored under.
        """
        self.model = phase.descriptions.model
        ours, theirs = asdict(self.model.backbone.identity), asdict(phase.identity)
        if other := [name for name in theirs if ours[name] != theirs[name]]:
            raise OtherModel(
                f"the model of a worker differs in {other[0]} ({ours[other[0]]}) from that of the"
                f" process that hands out the work ({theirs[other[0]]}); give both the same"
                " libraries and checkpoint, and say --device and --dtype"
            )

    def compute(self, phase: Phase, work: Sequence[Task]) -> list[Line]:
        """Compute this work; what is to be announced of it."""
        assert self.model is not None
        descriptions = phase.descriptions
        descriptions.model = self.model
        if phase.folder not in self.parts:
            self.parts[phase.folder] = Part(phase.folder, phase.key)
        part = self.parts[phase.folder]
        phase.do(descriptions, part, work)
        return part.handed()
