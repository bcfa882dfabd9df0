"""The sentences that ask for an edit: at least four for every cause and for every attribute.

A key is a cause of `covrr_utils.mini.causes.CAUSES`, an attribute, or, where every value has
sentences of its own (lights, cameras, tempi), a value.
"""

from __future__ import annotations

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
