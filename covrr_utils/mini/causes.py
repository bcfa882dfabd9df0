"""The laws of the mini world: what each cause does to everything, and what it does to this object
in this state.

The first thing that a cause does to everything is what its words say (`covrr_utils.mini.wordings`).
All else is left to infer.
"""

from __future__ import annotations

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
