"""The recipes of the mini backbones, judge, embedder and reranker, and of the backbones of the
experiment on practice: their sizes, and their training stage by stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HEADS_WEIGHT = 0.3  # of the attribute heads' loss beside that of the answers


@dataclass(frozen=True)
class Stage:
    """Part of a training: ``steps`` batches of ``batch`` clips. Task ``text`` asks questions,
    ``vision`` trains the vision tower alone, ``judge`` asks for judgements of traces, ``embed``
    contrasts vectors, ``match`` asks whether clips match queries.

    ``rate`` is the peak learning rate, ``vision_rate`` the share of it that the vision tower gets;
    at 0 it is frozen, and so are its heads. ``direct_implicit`` is the share of implicit edits
    among those after which a clip is described directly; ``traces`` is how many traces of each clip
    are asked for: 1, after an implicit edit, or 2, the other after an edit of either kind.
    """

    task: str
    steps: int
    batch: int = 32
    rate: float = 2e-3
    vision_rate: float = 1.0
    direct_implicit: float = 0.0
    traces: int = 2


@dataclass(frozen=True)
class Recipe:
    """One backbone: its widths and depths, and its training, stage by stage: from nothing, from the
    embedded backbone ``beginning``, or from the vision tower and tokenizer of the backbone
    ``eyes``.
    """

    text_width: int
    text_layers: int
    text_heads: int
    text_mlp: int
    vision_width: int
    vision_layers: int
    vision_heads: int
    stages: tuple[Stage, ...]
    seed: int = 7
    beginning: str | None = None
    eyes: str | None = None

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> tuple[Stage, int]:
        """The stage that ``step`` belongs to, and the step within it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError("the training ends before this step")


SCHEDULE = (Stage("vision", 2400, batch=64), Stage("text", 1600, vision_rate=0.25))

RECIPES = {
    "mini-1m": Recipe(96, 4, 3, 240, 80, 4, 4, stages=SCHEDULE),
    "mini-3m": Recipe(192, 4, 6, 512, 128, 4, 4, stages=SCHEDULE),
    "mini-10m": Recipe(320, 5, 10, 960, 192, 5, 6, stages=SCHEDULE),
}

JUDGING = tuple(
    Stage("judge", steps, batch=2, rate=1e-3, vision_rate=0.0) for steps in (3200, 2000)
)

JUDGE_RECIPES = {"mini-judge": replace(RECIPES["mini-3m"], stages=JUDGING, beginning="mini-3m")}

EMBEDDING = (Stage("embed", 700, batch=12, rate=2e-3, vision_rate=0.0),)

EMBEDDER_RECIPES = {
    "mini-embedder": replace(RECIPES["mini-1m"], stages=EMBEDDING, beginning="mini-1m")
}

MATCHING = (Stage("match", 550, batch=8, rate=1e-3, vision_rate=0.0),)

RERANKER_RECIPES = {
    "mini-reranker": replace(RECIPES["mini-3m"], stages=MATCHING, beginning="mini-3m")
}


def _practice(direct_implicit: float, traces: int = 2) -> Recipe:
    stage = Stage("text", 1000, 32, 2e-3, 0.0, direct_implicit, traces)
    return replace(RECIPES["mini-3m"], stages=(stage,), eyes="mini-3m")


# the same eyes; of the edits in the direct form none are implicit, a third, or half (as many as
# explicit ones); with one trace of each clip no explicit edit is met as a trace
PRACTICE_RECIPES = {
    "direct-never": _practice(0.0),
    "direct-half": _practice(1 / 3),
    "direct-as-often": _practice(1 / 2),
    "direct-as-often-fewer-traces": _practice(1 / 2, traces=1),
}
