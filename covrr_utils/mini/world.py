"""The mini world: what a clip can show, and the physics that everything in it obeys.

A clip shows one `Shot`: one object in one state, doing one action, in one place and light, filmed
by one camera at one tempo. `settle` lets physics take its course: what has melted cannot bounce on;
what rests has no tempo but slow. What an edit does to a shot is told in `edits`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

KINDS = {  # every object, and the states it can be in
    "egg": ("raw", "cracked", "fried"),
    "ice": ("solid", "shattered", "melted"),
    "candle": ("unlit", "lit", "spent"),
    "balloon": ("inflated", "limp", "popped"),
    "mug": ("empty", "full", "broken"),
    "plant": ("budding", "blooming", "wilted"),
    "bread": ("fresh", "toasted", "burnt"),
    "lamp": ("off", "on", "smashed"),
    "paper": ("flat", "crumpled", "charred"),
    "umbrella": ("closed", "open", "torn"),
}

COLOURS = ("red", "blue", "green", "yellow")

ACTIONS = ("rests", "bounces", "rolls", "spins", "shakes", "swings", "rises", "falls", "slides")

PLACES = ("kitchen", "stage", "garden", "beach", "street", "snowfield")

INDOORS = ("kitchen", "stage")

LIGHTS = ("day", "night")

CAMERAS = ("static", "panning", "zooming in", "zooming out", "close-up", "wide", "following")

TEMPI = ("slow", "steady", "fast")

ATTRIBUTES = ("kind", "colour", "state", "action", "place", "light", "camera", "tempo")

VALUES = dict(
    zip(
        ATTRIBUTES,
        (  # every value of every attribute
            tuple(KINDS),
            COLOURS,
            tuple(state for states in KINDS.values() for state in states),
            ACTIONS,
            PLACES,
            LIGHTS,
            CAMERAS,
            TEMPI,
        ),
    )
)

SLOT_OF = dict(
    zip(ATTRIBUTES, ("states", "states", "states", "actions", "scene", "scene", "camera", "tempo"))
)

# states that cannot leave the ground
GROUNDED = {"fried", "shattered", "melted", "spent", "broken", "smashed", "popped", "charred"}

TRAVELS, IN_PLACE = {"rolls", "rises"}, {"bounces", "spins", "swings"}

FLOATERS = {("balloon", "inflated"), ("paper", "flat"), ("umbrella", "open")}  # these fall slowly


@dataclass(frozen=True, order=True)
class Shot:
    """What one clip shows: eight attributes, each one of the values above."""

    kind: str
    colour: str
    state: str
    action: str
    place: str
    light: str
    camera: str
    tempo: str

    def check(self) -> None:
        """What is drawn must be in the world; what is only said, such as a wrong answer, need not.

        Raises
        ------
        ValueError
            For a value that the world does not know, or a state in which this object cannot be.
        """
        for attribute in ATTRIBUTES:
            value = getattr(self, attribute)
            known = KINDS[self.kind] if attribute == "state" else VALUES[attribute]
            if value not in known:
                of = f" of a {self.kind}" if attribute == "state" else ""
                raise ValueError(f"unknown {attribute}{of}: {value!r}; known: {', '.join(known)}")

    def description(self) -> str:
        """The caption of the clip: five short sentences in the order states, actions, scene,
        camera, tempo.
        """
        when = "by day" if self.light == "day" else "at night"
        return (
            f"The {self.colour} {self.kind} is {self.state}. It {self.action}. The scene is the"
            f" {self.place} {when}. The camera is {self.camera}. The tempo is {self.tempo}."
        )


def settle(shot: Shot) -> Shot:
    """The consequences of consequences: physics applied until nothing changes.

    ``settle(settle(s)) == settle(s)``.
    """
    if shot.state in GROUNDED and shot.action in TRAVELS:
        shot = replace(shot, action="slides")
    if shot.state in GROUNDED and shot.action in IN_PLACE:
        shot = replace(shot, action="rests")
    if shot.action == "falls" and (shot.kind, shot.state) in FLOATERS:
        shot = replace(shot, tempo="slow")
    if shot.action == "rests":
        shot = replace(
            shot, tempo="slow", camera="static" if shot.camera == "following" else shot.camera
        )
    return shot


def random_shot(rng: random.Random) -> Shot:
    """A settled shot, drawn uniformly attribute by attribute (draws that physics forbids are drawn
    again).
    """
    while True:
        kind = rng.choice(list(KINDS))
        shot = Shot(
            kind,
            rng.choice(COLOURS),
            rng.choice(KINDS[kind]),
            rng.choice(ACTIONS),
            rng.choice(PLACES),
            rng.choice(LIGHTS),
            rng.choice(CAMERAS),
            rng.choice(TEMPI),
        )
        if shot == settle(shot):
            return shot
