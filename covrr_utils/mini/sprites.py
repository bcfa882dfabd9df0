"""The objects of the mini world: one drawing for every object in every state.

Sprites are square RGBA images of `SPRITE` pixels whose base line lies at `BASE`, drawn at several
times their final size and reduced, so that edges are antialiased.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from covrr_utils.mini.pen import BLACK, GREY, ORANGE, SPRITE, WHITE, Colour, Pen, shade

BASE = 116

PAINT = {
    "red": (214, 52, 48),
    "blue": (42, 98, 214),
    "green": (38, 160, 72),
    "yellow": (246, 200, 34),
}

NIGHT = np.array([0.62, 0.66, 0.86], np.float32)  # what is left of red, green and blue in the dark


def _egg(pen: Pen, state: str, paint: Colour) -> None:
    if state == "raw":
        pen.oval(64, 72, 34, 44, paint)
        pen.line((36, 64), (50, 74), (64, 62), (78, 74), (92, 64), fill=WHITE, width=5)
        pen.line((40, 92), (64, 100), (88, 92), fill=WHITE, width=4)
    elif state == "cracked":
        pen.oval(64, 104, 52, 11, (250, 224, 120), width=1.5)
        pen.oval(64, 101, 17, 9, ORANGE)
        pen.shape(
            (8, 62), (20, 70), (30, 58), (42, 70), (52, 60), (50, 84), (38, 98), (20, 96),
            (8, 82), fill=paint
        )  # fmt: skip
        pen.shape(
            (120, 62), (108, 70), (98, 58), (86, 70), (76, 60), (78, 84), (90, 98),
            (108, 96), (120, 82), fill=paint
        )  # fmt: skip
    else:
        pen.line((96, 98), (126, 84), width=8)
        pen.oval(60, 98, 54, 18, paint)
        pen.oval(60, 92, 42, 12, WHITE, line=None)
        pen.oval(60, 88, 17, 10, ORANGE)


def _ice(pen: Pen, state: str, paint: Colour) -> None:
    pen.box(6, 106, 122, 116, paint)
    cyan, light = (150, 220, 250), (220, 246, 255)
    if state == "solid":
        pen.shape((26, 46), (52, 30), (106, 34), (84, 52), fill=light)
        pen.shape((26, 46), (84, 52), (84, 106), (26, 106), fill=cyan)
        pen.shape((84, 52), (106, 34), (106, 92), (84, 106), fill=shade(cyan, 0.8))
        pen.line((36, 60), (36, 92), fill=WHITE, width=4)
    elif state == "shattered":
        for x, y, s in (
            (12, 106, 20), (36, 106, 28), (64, 106, 22), (88, 106, 26), (30, 84, 16),
            (76, 84, 18)
        ):  # fmt: skip
            pen.shape(
                (x, y), (x + s * 0.3, y - s), (x + s, y - s * 0.6), (x + s * 0.9, y),
                fill=light if s % 4 else cyan
            )  # fmt: skip
    else:
        pen.oval(64, 102, 50, 8, (96, 190, 245))
        pen.oval(50, 100, 16, 2.5, WHITE, line=None)
        for x, y in ((40, 76), (64, 60), (88, 78)):
            pen.shape(
                (x, y - 12), (x + 7, y + 2), (x, y + 8), (x - 7, y + 2), fill=(96, 190, 245),
                width=1.5
            )  # fmt: skip


def _candle(pen: Pen, state: str, paint: Colour) -> None:
    pen.box(34, 106, 94, 116, GREY)
    if state == "spent":
        pen.shape(
            (30, 108), (36, 94), (56, 90), (60, 98), (72, 88), (90, 96), (98, 108), fill=paint
        )
        pen.line((62, 92), (66, 82), width=4)
        pen.line((66, 76), (60, 62), (70, 50), (62, 34), fill=GREY, width=4)
        return
    pen.box(48, 54, 80, 107, paint, round_=3)
    pen.line((64, 54), (64, 42), width=4)
    if state == "lit":
        pen.shape((64, 4), (78, 28), (75, 40), (64, 46), (53, 40), (50, 28), fill=ORANGE, width=1.5)
        pen.shape((64, 20), (70, 34), (64, 42), (58, 34), fill=(255, 246, 170), line=None)
        pen.glow(64, 34, 22, (255, 210, 90))


def _balloon(pen: Pen, state: str, paint: Colour) -> None:
    if state == "inflated":
        pen.line((64, 90), (60, 102), (68, 116), width=2.5)
        pen.shape((58, 94), (70, 94), (64, 84), fill=paint)
        pen.oval(64, 48, 40, 42, paint)
        pen.oval(50, 32, 9, 12, shade(paint, 1.5), line=None)
    elif state == "limp":
        pen.line((88, 100), (104, 108), (116, 104), width=2.5)
        pen.shape(
            (14, 108), (16, 90), (34, 80), (46, 86), (58, 78), (78, 92), (90, 98), (78, 112),
            (40, 116), fill=paint
        )  # fmt: skip
        pen.line((30, 92), (40, 100), (34, 108), width=2)
        pen.line((52, 90), (60, 102), width=2)
    else:
        for points in (
            ((10, 100), (30, 88), (34, 104), (20, 114)),
            ((44, 112), (52, 92), (68, 98), (66, 115)),
            ((78, 106), (96, 86), (104, 100), (92, 114)),
            ((104, 116), (112, 106), (122, 116)),
        ):
            pen.shape(*points, fill=paint)
        for x0, y0, x1, y1 in (
            (64, 44, 64, 20),
            (42, 52, 24, 34),
            (86, 52, 104, 34),
            (36, 72, 14, 68),
            (92, 72, 114, 68),
        ):
            pen.line((x0, y0), (x1, y1), fill=(255, 120, 20), width=5)


def _mug(pen: Pen, state: str, paint: Colour) -> None:
    if state == "broken":
        pen.shape((10, 116), (14, 88), (30, 98), (40, 84), (46, 116), fill=paint)
        pen.shape((54, 116), (60, 96), (76, 104), (84, 116), fill=paint)
        pen.shape((90, 116), (94, 92), (108, 100), (118, 116), fill=shade(paint, 0.7))
        pen.line((66, 84), (82, 78), (92, 88), width=7, fill=paint)
        return
    pen.oval(94, 80, 20, 22, None, width=9)
    pen.oval(94, 80, 17.5, 19.5, None, line=paint, width=4)
    pen.box(26, 46, 88, 116, paint, round_=8)
    pen.oval(57, 48, 31, 9, shade(paint, 0.45))
    if state == "full":
        pen.oval(57, 48, 27, 7, (110, 62, 24), line=None)
        for x in (42, 57, 72):
            pen.line((x, 36), (x + 5, 28), (x - 4, 18), (x + 2, 6), fill=WHITE, width=4.5)


def _plant(pen: Pen, state: str, paint: Colour) -> None:
    pen.shape((36, 82), (92, 82), (84, 116), (44, 116), fill=paint)
    pen.box(32, 76, 96, 88, paint, round_=3)
    if state == "wilted":
        stem = (130, 108, 50)
        pen.line((64, 76), (62, 52), (76, 36), (96, 40), (104, 62), fill=stem, width=6)
        pen.shape((104, 58), (114, 70), (106, 84), (96, 70), fill=(150, 96, 50))
        pen.shape((60, 62), (40, 60), (30, 76), (50, 72), fill=stem)
        return
    leaf = (40, 140, 60)
    pen.line((64, 76), (64, 40), fill=leaf, width=6)
    pen.shape((64, 68), (40, 54), (26, 62), (44, 74), fill=leaf)
    pen.shape((64, 68), (88, 54), (102, 62), (84, 74), fill=leaf)
    if state == "budding":
        pen.shape((64, 14), (74, 32), (64, 46), (54, 32), fill=(170, 210, 90))
    else:
        for dx, dy in ((0, -17), (16, -6), (10, 13), (-10, 13), (-16, -6)):
            pen.oval(64 + dx, 28 + dy, 12, 12, (244, 120, 200))
        pen.oval(64, 28, 9, 9, (255, 220, 60))


def _bread(pen: Pen, state: str, paint: Colour) -> None:
    pen.oval(64, 108, 60, 9, paint)
    crust, crumb = {
        "fresh": ((206, 150, 84), (252, 236, 200)),
        "toasted": ((150, 90, 36), (216, 146, 62)),
        "burnt": (BLACK, (66, 58, 54)),
    }[state]
    pen.shape(
        (28, 104), (28, 58), (18, 44), (26, 30), (64, 24), (102, 30), (110, 44), (100, 58),
        (100, 104), fill=crust
    )  # fmt: skip
    pen.shape(
        (36, 97), (36, 56), (28, 44), (34, 37), (64, 32), (94, 37), (100, 44), (92, 56),
        (92, 97), fill=crumb, line=None
    )  # fmt: skip
    if state == "toasted":
        for x in (46, 60, 74):
            pen.line((x, 50), (x + 8, 88), fill=crust, width=4)
    if state == "burnt":
        for x in (44, 64, 84):
            pen.line((x, 20), (x + 6, 12), (x - 4, 2), fill=GREY, width=4)


def _lamp(pen: Pen, state: str, paint: Colour) -> None:
    pen.oval(64, 110, 32, 7, GREY)
    pen.line((64, 108), (64, 62), width=6)
    if state == "smashed":
        pen.shape((20, 64), (36, 26), (50, 40), (60, 24), (70, 64), (54, 54), (40, 66), fill=paint)
        pen.shape((86, 108), (94, 88), (104, 96), (112, 108), fill=paint)
        pen.shape((10, 112), (18, 96), (32, 112), fill=paint)
        pen.line((64, 62), (74, 52), (70, 44), width=3)
        return
    pen.shape((44, 16), (84, 16), (106, 66), (22, 66), fill=paint)
    if state == "on":
        pen.shape((24, 68), (104, 68), (124, 106), (4, 106), fill=(255, 240, 140, 150), line=None)
        pen.oval(64, 70, 15, 9, (255, 250, 190))
        pen.glow(64, 66, 34, (255, 236, 130))
    else:
        pen.oval(64, 70, 12, 7, GREY)


def _paper(pen: Pen, state: str, paint: Colour) -> None:
    if state == "flat":
        pen.shape((24, 18), (98, 12), (108, 108), (32, 116), fill=paint)
        for y in (36, 52, 68, 84):
            pen.line((40, y), (92, y - 4), fill=WHITE, width=4)
    elif state == "crumpled":
        pen.shape(
            (30, 106), (18, 84), (26, 60), (44, 52), (62, 44), (84, 52), (106, 62),
            (108, 88), (94, 108), (62, 116), fill=paint
        )  # fmt: skip
        for points in (
            ((30, 106), (48, 84), (44, 52)),
            ((48, 84), (76, 76), (84, 52)),
            ((76, 76), (94, 108)),
            ((76, 76), (106, 62)),
        ):
            pen.line(*points, width=2)
    else:
        pen.shape(
            (20, 116), (30, 96), (50, 104), (64, 90), (80, 102), (98, 94), (110, 116), fill=BLACK
        )
        pen.shape((42, 96), (52, 72), (66, 66), (74, 78), (90, 74), (84, 94), (62, 92), fill=paint)
        pen.line((42, 96), (52, 80), (64, 86), (74, 78), (86, 86), fill=ORANGE, width=5)
        pen.line((62, 58), (56, 44), (66, 32), (60, 18), fill=GREY, width=4)


def _umbrella(pen: Pen, state: str, paint: Colour) -> None:
    if state == "closed":
        pen.shape((64, 6), (76, 70), (64, 82), (52, 70), fill=paint)
        pen.line((64, 14), (60, 70), width=2)
        pen.line((64, 82), (64, 106), (70, 114), (80, 112), (80, 104), width=5)
        return
    pen.line((64, 50), (64, 106), (70, 114), (80, 112), (80, 104), width=5)
    if state == "open":
        pen.shape(
            (8, 62), (14, 36), (36, 16), (64, 8), (92, 16), (114, 36), (120, 62), (102, 54),
            (84, 62), (64, 54), (44, 62), (26, 54), fill=paint
        )  # fmt: skip
        pen.line((44, 60), (52, 30), (64, 8), (76, 30), (84, 60), width=2)
    else:
        pen.shape((64, 58), (40, 46), (12, 12), (30, 22), (36, 10), (64, 44), fill=paint)
        pen.shape((64, 58), (86, 48), (116, 14), (98, 20), (92, 6), (80, 26), (64, 44), fill=paint)
        pen.line((64, 58), (54, 24), width=3)
        pen.line((64, 58), (106, 52), width=3)


_DRAW = {
    "egg": _egg,
    "ice": _ice,
    "candle": _candle,
    "balloon": _balloon,
    "mug": _mug,
    "plant": _plant,
    "bread": _bread,
    "lamp": _lamp,
    "paper": _paper,
    "umbrella": _umbrella,
}


@cache
def sprite(kind: str, state: str, colour: str, dark: bool) -> np.ndarray:
    """The drawing of one object, by day or in the dark: (SPRITE, SPRITE, 4) float32, premultiplied
    RGBA in 0..1.
    """
    pen = Pen()
    _DRAW[kind](pen, state, PAINT[colour])
    image = np.asarray(pen.image.resize((SPRITE, SPRITE), Image.Resampling.BOX), np.float32) / 255
    image[..., :3] *= image[..., 3:] * (NIGHT if dark else 1)
    return image
