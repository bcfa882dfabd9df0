"""The mini world's vocabulary and its physics: what a clip can show and what an edit does to it.

A clip shows one `Shot`: one object in one state, doing one action, in one place and light, filmed
by one camera at one tempo. Explicit edits name the attribute they change. Implicit edits name only
a cause: `CAUSES` says what that cause does to everything and what it does to *this* object in
*this* state; `settle` then lets physics take its course (what has melted cannot bounce on; what
rests has no tempo but slow), so an after-effect can have after-effects of its own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from covrr_utils.traces.trace import ARROW, SLOTS, ReasoningTrace

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

# cause: (what it does to everything, {object: {state before: state after}}, {object: what else it
# does to that object});
# the first thing it does to everything is what its words say, all else is left to infer
CAUSES = {
    "night falls": (
        {"light": "night", "action": "rests"},
        {"candle": {"unlit": "lit"}, "lamp": {"off": "on"}, "plant": {"blooming": "budding"}},
        {},
    ),
    "sunrise": (
        {"light": "day", "camera": "zooming out"},
        {
            "candle": {"lit": "unlit"},
            "lamp": {"on": "off"},
            "plant": {"budding": "blooming"},
            "ice": {"solid": "melted"},
        },
        {},
    ),
    "heat": (
        {"action": "rests"},
        {
            "egg": {"raw": "fried", "cracked": "fried"},
            "ice": {"solid": "melted", "shattered": "melted"},
            "candle": {"lit": "spent", "unlit": "spent"},
            "balloon": {"inflated": "popped", "limp": "inflated"},
            "bread": {"fresh": "toasted", "toasted": "burnt"},
            "paper": {"flat": "charred", "crumpled": "charred"},
            "plant": {"blooming": "wilted", "budding": "wilted"},
            "mug": {"full": "empty"},
        },
        {"balloon": {"action": "rises"}},
    ),
    "frost": (
        {"place": "snowfield"},
        {
            "ice": {"melted": "solid"},
            "plant": {"blooming": "wilted", "budding": "wilted"},
            "balloon": {"inflated": "limp"},
            "candle": {"lit": "unlit"},
            "mug": {"full": "broken"},
            "egg": {"raw": "cracked"},
        },
        {},
    ),
    "kick": (
        {"action": "rolls", "tempo": "fast", "camera": "following"},
        {
            "egg": {"raw": "cracked"},
            "ice": {"solid": "shattered"},
            "mug": {"full": "broken", "empty": "broken"},
            "lamp": {"on": "smashed", "off": "smashed"},
            "candle": {"lit": "unlit"},
            "paper": {"flat": "crumpled"},
            "umbrella": {"open": "torn"},
        },
        {"balloon": {"action": "rises"}},
    ),
    "drop": (
        {"action": "falls", "tempo": "fast"},
        {
            "egg": {"raw": "cracked"},
            "ice": {"solid": "shattered"},
            "mug": {"full": "broken", "empty": "broken"},
            "lamp": {"on": "smashed", "off": "smashed"},
            "candle": {"lit": "unlit"},
            "umbrella": {"closed": "open"},
        },
        {},
    ),
    "gale": (
        {"action": "shakes", "tempo": "fast"},
        {
            "candle": {"lit": "unlit"},
            "umbrella": {"open": "torn", "closed": "open"},
            "paper": {"flat": "crumpled"},
        },
        {
            "balloon": {"action": "rises"},
            "paper": {"action": "rises"},
            "plant": {"action": "swings"},
            "lamp": {"action": "swings"},
        },
    ),
    "water": (
        {"action": "rests"},
        {
            "mug": {"empty": "full"},
            "plant": {"wilted": "blooming", "budding": "blooming"},
            "candle": {"lit": "unlit"},
            "paper": {"flat": "crumpled"},
            "lamp": {"on": "off"},
            "umbrella": {"closed": "open"},
            "ice": {"solid": "melted"},
        },
        {},
    ),
    "a week": (
        {"tempo": "fast"},
        {
            "plant": {"budding": "blooming", "blooming": "wilted"},
            "balloon": {"inflated": "limp"},
            "candle": {"lit": "spent"},
            "ice": {"solid": "melted", "shattered": "melted"},
            "mug": {"full": "empty"},
        },
        {},
    ),
    "needle": (
        {"camera": "close-up"},
        {
            "balloon": {"inflated": "popped"},
            "egg": {"raw": "cracked"},
            "umbrella": {"open": "torn"},
            "ice": {"solid": "shattered"},
        },
        {},
    ),
    "earthquake": (
        {"action": "shakes", "tempo": "fast"},
        {
            "mug": {"full": "broken", "empty": "broken"},
            "lamp": {"on": "smashed", "off": "smashed"},
            "egg": {"raw": "cracked"},
            "candle": {"lit": "unlit"},
            "ice": {"solid": "shattered"},
        },
        {},
    ),
    "power cut": (
        {"light": "night", "camera": "static"},
        {"lamp": {"on": "off"}, "candle": {"unlit": "lit"}},
        {},
    ),
    "lullaby": (
        {"action": "swings", "tempo": "slow", "light": "night"},
        {"lamp": {"on": "off"}, "candle": {"lit": "unlit"}, "plant": {"blooming": "budding"}},
        {},
    ),
    "party": (
        {"place": "stage", "action": "bounces", "tempo": "fast"},
        {
            "lamp": {"off": "on"},
            "candle": {"unlit": "lit"},
            "balloon": {"limp": "inflated"},
            "mug": {"empty": "full"},
            "umbrella": {"closed": "open"},
        },
        {},
    ),
    "stamp": (
        {"action": "rests", "camera": "close-up"},
        {
            "egg": {"raw": "cracked"},
            "ice": {"solid": "shattered"},
            "paper": {"flat": "crumpled"},
            "balloon": {"inflated": "popped"},
            "mug": {"full": "broken", "empty": "broken"},
            "lamp": {"on": "smashed", "off": "smashed"},
            "umbrella": {"open": "torn"},
        },
        {},
    ),
    "drone": (
        {"camera": "zooming out", "tempo": "fast"},
        {"candle": {"lit": "unlit"}, "paper": {"flat": "crumpled"}},
        {"balloon": {"action": "rises"}, "plant": {"action": "swings"}},
    ),
}

WORDINGS = {  # {it}: the object; {to}: the value an explicit edit names
    "colour": (
        "Paint the {it} {to}.",
        "Make the {it} {to}.",
        "The {it} should be {to}.",
        "Give me a {to} {it} instead.",
    ),
    "state": (
        "Make the {it} {to}.",
        "Show the {it} {to}.",
        "The {it} is now {to}.",
        "Change it to a {to} {it}.",
    ),
    "kind": (
        "Replace the {it} with a {to}.",
        "Swap the {it} for a {to}.",
        "Use a {to} instead of the {it}.",
        "Turn the {it} into a {to}.",
    ),
    "action": (
        "Now the {it} {to}.",
        "The {it} {to} instead.",
        "Change the motion: it {to}.",
        "Let it be seen as it {to}.",
    ),
    "place": (
        "Move it to the {to}.",
        "Set it in the {to}.",
        "Film it in the {to}.",
        "Change the background to the {to}.",
    ),
    "day": (
        "Relight it as day.",
        "Same shot by day.",
        "Change only the light to day.",
        "Daylight instead of night.",
    ),
    "night": (
        "Relight it as night.",
        "Same shot at night.",
        "Change only the light to night.",
        "Night light instead of day.",
    ),
    "static": (
        "Lock the camera off.",
        "Keep the camera static.",
        "Use a tripod.",
        "No camera movement.",
    ),
    "panning": (
        "Pan the camera.",
        "Sweep the camera sideways.",
        "Film it with a pan.",
        "Use a panning shot.",
    ),
    "zooming in": (
        "Zoom in.",
        "Push in on the {it}.",
        "Let the camera zoom in.",
        "Slowly magnify the {it}.",
    ),
    "zooming out": (
        "Zoom out.",
        "Pull back from the {it}.",
        "Let the camera zoom out.",
        "Reveal the surroundings with a zoom.",
    ),
    "close-up": (
        "Make it a close-up.",
        "Film the {it} from very near.",
        "Tight framing on the {it}.",
        "Use a close-up shot.",
    ),
    "wide": (
        "Make it a wide shot.",
        "Film the {it} from far away.",
        "Loose framing with much background.",
        "Use a wide shot.",
    ),
    "following": (
        "Follow the {it} with the camera.",
        "Use a tracking shot.",
        "Let the camera follow it.",
        "Track the {it}.",
    ),
    "slow": (
        "Slow it down.",
        "Play it in slow motion.",
        "Make the motion slow.",
        "Let it take its time.",
    ),
    "steady": (
        "Play it at a steady pace.",
        "Use normal speed.",
        "Make the motion steady.",
        "Neither fast nor slow, please.",
    ),
    "fast": ("Speed it up.", "Play it fast.", "Make the motion fast.", "Let it hurry."),
    "night falls": (
        "Night falls.",
        "The sun goes down.",
        "Wait until dark.",
        "The evening comes to its end.",
    ),
    "sunrise": ("The sun comes up.", "Morning breaks.", "Wait until dawn.", "The night is over."),
    "heat": (
        "Heat the {it}.",
        "Light a fire under the {it}.",
        "Hold the {it} over a flame.",
        "The {it} gets very hot.",
    ),
    "frost": (
        "An ice age begins.",
        "Deep winter arrives.",
        "It freezes hard.",
        "The temperature drops far below zero.",
    ),
    "kick": (
        "Kick the {it}.",
        "A boot hits the {it}.",
        "Someone kicks the {it} away.",
        "Score a goal with the {it}.",
    ),
    "drop": (
        "Drop the {it}.",
        "The {it} slips from a hand.",
        "Push the {it} off a roof.",
        "Let go of the {it} high above.",
    ),
    "gale": (
        "A gale blows.",
        "Strong wind hits the {it}.",
        "A storm gust arrives.",
        "Point a big fan at the {it}.",
    ),
    "water": (
        "Pour water on the {it}.",
        "It starts to rain.",
        "Empty a bucket over the {it}.",
        "Hold the {it} under a tap.",
    ),
    "a week": (
        "A week goes by.",
        "Time-lapse of seven days.",
        "Come back next week.",
        "Leave the {it} alone for days.",
    ),
    "needle": (
        "Prick the {it} with a needle.",
        "A pin touches the {it}.",
        "A thorn pokes the {it}.",
        "Poke the {it} with a sharp point.",
    ),
    "earthquake": (
        "The ground trembles.",
        "An earthquake strikes.",
        "A heavy train thunders by.",
        "Everything rattles.",
    ),
    "power cut": (
        "The power goes out.",
        "There is a blackout.",
        "The fuse blows.",
        "Someone cuts the mains.",
    ),
    "lullaby": (
        "Sing the {it} a lullaby.",
        "Rock the {it} to sleep.",
        "It is bedtime.",
        "Put the {it} in a cradle.",
    ),
    "party": (
        "Start a party.",
        "The band begins to play.",
        "It is the {it}'s birthday.",
        "Let everybody dance.",
    ),
    "stamp": (
        "Stamp on the {it}.",
        "Someone steps on the {it}.",
        "A heavy foot comes down on the {it}.",
        "Squash the {it}.",
    ),
    "drone": (
        "A drone takes off beside it.",
        "The helicopter lifts away.",
        "Film from a rocket at launch.",
        "Leave by jet pack, filming.",
    ),
}


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

    def description(self) -> str:
        """The caption of the clip: five short sentences in the order states, actions, scene,
        camera, tempo.
        """
        when = "by day" if self.light == "day" else "at night"
        return (
            f"The {self.colour} {self.kind} is {self.state}. It {self.action}. The scene is the"
            f" {self.place} {when}. The camera is {self.camera}. The tempo is {self.tempo}."
        )


@dataclass(frozen=True)
class Edit:
    """One edit: ``name`` is a cause of `CAUSES` (implicit) or an attribute (explicit, with the
    value it sets).
    """

    name: str
    value: str | None = None

    @property
    def implicit(self) -> bool:
        return self.name in CAUSES

    @property
    def id(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"

    def wordings(self, shot: Shot) -> list[str]:
        """At least four sentences that ask for this edit on ``shot``."""
        templates = WORDINGS.get(self.value) or WORDINGS[self.name]
        return [template.format(it=shot.kind, to=self.value) for template in templates]


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


def literal(shot: Shot, edit: Edit) -> Shot:
    """The edit taken at its word, without its after-effects (not settled)."""
    if edit.implicit:
        named, value = next(iter(CAUSES[edit.name][0].items()))
        return replace(shot, **{named: value})
    if edit.name == "kind":
        state, kind = edit.value.split()
        return replace(shot, kind=kind, state=state)
    return replace(shot, **{edit.name: edit.value})


def apply(shot: Shot, edit: Edit) -> Shot | None:
    """The shot after the edit, or None where the edit does not apply.

    An explicit edit applies when it changes its attribute and nothing else follows from it. A cause
    applies when more follows than its words say: something must be left to infer.
    """
    named = literal(shot, edit)
    if not edit.implicit:
        return named if named != shot and settle(named) == named else None
    if (
        edit.name in ("night falls", "lullaby")
        and shot.light == "night"
        or edit.name == "sunrise"
        and shot.light == "day"
    ):
        return None
    if edit.name == "power cut" and (shot.place not in INDOORS or shot.light == "night"):
        return None
    if edit.name in ("frost", "a week") and shot.place == "snowfield" and shot.kind == "ice":
        return None  # it is as cold as it gets: the ice stays as it is
    everything, states, extra = CAUSES[edit.name]
    state = states.get(shot.kind, {}).get(shot.state, shot.state)
    after = settle(replace(shot, **{**everything, "state": state, **extra.get(shot.kind, {})}))
    return after if after not in (shot, settle(named)) else None


def edits(shot: Shot, implicit: bool) -> Iterator[Edit]:
    """Every edit of the given sort that may be asked of ``shot`` (`apply` says whether it does
    anything).
    """
    if implicit:
        yield from (Edit(name) for name in CAUSES)
        return
    values = {
        "colour": COLOURS,
        "state": KINDS[shot.kind],
        "action": ACTIONS,
        "place": PLACES,
        "light": LIGHTS,
        "camera": CAMERAS,
        "tempo": TEMPI,
        "kind": [f"{states[0]} {kind}" for kind, states in KINDS.items()],
    }
    yield from (Edit(name, value) for name in values for value in values[name])


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


def random_edit(shot: Shot, rng: random.Random, implicit: bool) -> tuple[Edit, Shot] | None:
    """An edit that applies to ``shot`` and the shot after it, drawn evenly over causes or
    attributes; None where none applies.
    """
    options = [
        (edit, after) for edit in edits(shot, implicit) if (after := apply(shot, edit)) is not None
    ]
    if not options:
        return None
    name = rng.choice(sorted({edit.name for edit, _ in options}))
    return rng.choice([option for option in options if option[0].name == name])


def random_pair(rng: random.Random, implicit: bool) -> tuple[Shot, Edit, Shot]:
    """A shot, an edit and the shot after it: first the cause (or attribute) is drawn evenly, then a
    shot to which it applies.
    """
    name = rng.choice(
        sorted(CAUSES)
        if implicit
        else ("colour", "state", "kind", "action", "place", "light", "camera", "tempo")
    )
    while True:
        shot = random_shot(rng)
        options = [
            (edit, after)
            for edit in edits(shot, implicit)
            if edit.name == name and (after := apply(shot, edit)) is not None
        ]
        if options:
            return shot, *rng.choice(options)


def gold_trace(before: Shot, after: Shot) -> ReasoningTrace:
    """The trace that leads from ``before`` to ``after``; what stays is stated once."""

    def change(old: str, new: str) -> str:
        return old if old == new else f"{old} {ARROW} {new}"

    pairs = [(f"{before.colour} {before.kind}", f"{after.colour} {after.kind}", "states")]
    pairs += [
        (getattr(before, name), getattr(after, name), SLOT_OF[name]) for name in ATTRIBUTES[2:]
    ]
    return ReasoningTrace(
        **{
            slot: tuple(change(old, new) for old, new, where in pairs if where == slot)
            for slot in SLOTS
        }
    )


_DESCRIPTION = re.compile(
    r"The (?P<colour>\w+) (?P<kind>\w+) is (?P<state>\w+)\. It (?P<action>\w+)\. The scene is the"
    r" (?P<place>\w+) (?P<light>by day|at night)\. "
    r"The camera is (?P<camera>[\w\- ]+)\. The tempo is (?P<tempo>\w+)\."
)


def read_description(text: str) -> dict[str, str]:
    """The eight attributes a description states; empty when it does not have the five sentences."""
    match = _DESCRIPTION.match(text.strip())
    return {} if match is None else {**match.groupdict(), "light": match["light"].split()[-1]}


def read_trace(trace: ReasoningTrace) -> dict[str, str]:
    """The attributes that a trace says hold after the edit; those it leaves out are missing."""
    after = trace.after()
    colour, _, kind = (after["states"] or ("",))[0].partition(" ")
    values = {
        "colour": colour,
        "kind": kind,
        "state": "".join(after["states"][1:2]),
        "action": "".join(after["actions"][:1]),
        "place": "".join(after["scene"][:1]),
        "light": "".join(after["scene"][1:2]),
        "camera": "".join(after["camera"][:1]),
        "tempo": "".join(after["tempo"][:1]),
    }
    return {name: value for name, value in values.items() if value}


def slot_accuracy(stated: list[dict[str, str]], shots: list[Shot]) -> dict[str, float]:
    """Share of ``shots`` whose attribute is stated rightly, per attribute; what is not stated
    counts as wrong.
    """
    truths = [asdict(shot) for shot in shots]
    return {
        name: (
            sum(said.get(name) == truth[name] for said, truth in zip(stated, truths, strict=True))
            / len(shots)
        )
        for name in ATTRIBUTES
    }
