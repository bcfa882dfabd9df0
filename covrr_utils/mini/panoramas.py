"""The places of the mini world: one panorama for every place, light and variant.

Panoramas are RGB images of `PANORAMA` pixels with the ground below `GROUND`, drawn at twice their
final size and reduced, so that edges are antialiased.
"""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

PANORAMA, GROUND = (768, 384), 232

SCALE = 2  # everything is drawn so many times its final size

WIDTH, HEIGHT, HORIZON = PANORAMA[0] * SCALE, PANORAMA[1] * SCALE, GROUND * SCALE

Colour = tuple[int, int, int]


class Brush:
    """Draws one panorama: its canvas, its light, and the random numbers of its variant."""

    def __init__(self, rng: random.Random, night: bool) -> None:
        self.rng, self.night = rng, night
        self.image = Image.new("RGB", (WIDTH, HEIGHT))
        self.draw = ImageDraw.Draw(self.image)

    def dim(self, colour: Colour) -> Colour:
        """The colour as it looks in this panorama's light."""
        red, green, blue = colour
        if not self.night:
            return colour
        return int(red * 0.26), int(green * 0.29), int(blue * 0.44 + 8)

    def step(self, low: float, high: float) -> int:
        """A random length between ``low`` and ``high`` pixels of the panorama."""
        return int(self.rng.uniform(low, high)) * SCALE

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour,
        outline: Colour | None = None,
        width: int = 1,
    ) -> None:
        """A rectangle in this panorama's light."""
        edge = self.dim(outline) if outline else None
        self.draw.rectangle([x0, y0, x1, y1], fill=self.dim(fill), outline=edge, width=width)

    def polygon(self, *points: tuple[float, float], fill: Colour) -> None:
        """A polygon in this panorama's light."""
        self.draw.polygon(points, fill=self.dim(fill))

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """An ellipse in this panorama's light, from corner to corner."""
        self.draw.ellipse([x0, y0, x1, y1], fill=self.dim(fill))

    def line(self, *points: tuple[float, float], fill: Colour, width: int) -> None:
        """A line in this panorama's light."""
        self.draw.line(points, fill=self.dim(fill), width=width)


def _sky(brush: Brush) -> None:
    draw, rng = brush.draw, brush.rng
    top, bottom = ((8, 10, 40), (30, 34, 84)) if brush.night else ((96, 176, 244), (206, 234, 252))
    for y in range(HORIZON):
        mix = y / HORIZON
        draw.line(
            [(0, y), (WIDTH, y)], fill=tuple(int(a + (b - a) * mix) for a, b in zip(top, bottom))
        )
    if brush.night:
        for _ in range(90):
            star = rng.uniform(0, WIDTH), rng.uniform(0, HORIZON * 0.8)
            draw.ellipse(_circle(*star, rng.uniform(1.5, 4)), fill=(245, 245, 220))
    for x in range(int(rng.uniform(100, 300)), WIDTH, 500):
        height, r = HORIZON * 0.42, 34
        if brush.night:
            draw.ellipse(_circle(x, height, r), fill=(246, 242, 208))
            draw.ellipse(_circle(x + 18, height - 8, r), fill=top)
        else:
            draw.ellipse(_circle(x, height, r), fill=(255, 236, 120))


def _circle(x: float, y: float, r: float) -> list[float]:
    return [x - r, y - r, x + r, y + r]


def _kitchen(brush: Brush) -> None:
    brush.box(0, 0, WIDTH, HORIZON, (250, 226, 170))
    tile = 48 * SCALE
    for x in range(0, WIDTH, tile):
        for y in range(0, HORIZON, tile):
            if (x + y) // tile % 2:
                brush.box(x, y, x + tile, y + tile, (240, 196, 120))
    x = brush.step(10, 60)
    while x < WIDTH:
        brush.box(
            x,
            20 * SCALE,
            x + 90 * SCALE,
            110 * SCALE,
            (170, 104, 56),
            outline=(90, 50, 26),
            width=6,
        )
        brush.oval(x + 72 * SCALE, 60 * SCALE, x + 80 * SCALE, 68 * SCALE, (250, 220, 120))
        x += brush.step(150, 220)


def _stage(brush: Brush) -> None:
    brush.box(0, 0, WIDTH, HORIZON, (110, 16, 60))
    for x in range(0, WIDTH, 32 * SCALE):
        brush.box(x, 0, x + 14 * SCALE, HORIZON, (160, 30, 90))
    x = brush.step(20, 120)
    while x < WIDTH:
        brush.polygon(
            (x, 0),
            (x + 20 * SCALE, 0),
            (x + 80 * SCALE, HORIZON),
            (x - 60 * SCALE, HORIZON),
            fill=(226, 150, 190),
        )
        x += brush.step(190, 260)


def _street(brush: Brush) -> None:
    _sky(brush)
    x = -brush.step(0, 60)
    while x < WIDTH:
        w, h = brush.step(70, 120), brush.step(100, 200)
        tone = brush.rng.choice(((150, 110, 104), (128, 128, 140), (176, 150, 120)))
        brush.box(x, HORIZON - h, x + w, HORIZON, tone, outline=(60, 56, 60), width=4)
        for wx in range(x + 12 * SCALE, x + w - 16 * SCALE, 26 * SCALE):
            for wy in range(HORIZON - h + 14 * SCALE, HORIZON - 20 * SCALE, 34 * SCALE):
                lit = brush.night and brush.rng.random() < 0.6
                pane = (255, 226, 120) if lit else brush.dim((200, 226, 240))
                brush.draw.rectangle([wx, wy, wx + 14 * SCALE, wy + 20 * SCALE], fill=pane)
        x += w


def _garden(brush: Brush) -> None:
    _sky(brush)
    x = brush.step(0, 80)
    while x < WIDTH:
        r, crown = brush.step(30, 46), HORIZON - 80 * SCALE
        brush.box(x - 8 * SCALE, crown, x + 8 * SCALE, HORIZON, (120, 76, 40))
        brush.oval(x - r, crown - 1.5 * r, x + r, HORIZON - 60 * SCALE, (30, 124, 52))
        x += brush.step(90, 150)
    for x in range(0, WIDTH, 26 * SCALE):
        brush.polygon(
            (x, HORIZON),
            (x, HORIZON - 36 * SCALE),
            (x + 9 * SCALE, HORIZON - 46 * SCALE),
            (x + 18 * SCALE, HORIZON - 36 * SCALE),
            (x + 18 * SCALE, HORIZON),
            fill=(250, 250, 244),
        )


def _beach(brush: Brush) -> None:
    _sky(brush)
    brush.box(0, HORIZON - 70 * SCALE, WIDTH, HORIZON, (20, 130, 200))
    for _ in range(60):
        at, y = brush.rng.uniform(0, WIDTH), HORIZON - brush.rng.uniform(6, 64) * SCALE
        brush.line((at, y), (at + 50 * SCALE, y), fill=(190, 230, 250), width=5)
    x = brush.step(40, 160)
    while x < WIDTH:
        top = (x + 16 * SCALE, HORIZON - 130 * SCALE)
        brush.line((x, HORIZON), top, fill=(140, 90, 50), width=11 * SCALE)
        for dx, dy in ((-60, 6), (-44, -30), (0, -46), (44, -30), (60, 6)):
            tip = (top[0] + dx * SCALE, top[1] + dy * SCALE)
            brush.line(top, tip, fill=(40, 150, 70), width=10 * SCALE)
        x += brush.step(200, 300)


def _snowfield(brush: Brush) -> None:
    _sky(brush)
    x = -brush.step(0, 100)
    while x < WIDTH:
        w, h = brush.step(180, 260), brush.step(90, 150)
        peak = (x + w // 2, HORIZON - h)
        brush.polygon((x, HORIZON), peak, (x + w, HORIZON), fill=(120, 140, 176))
        snow = HORIZON - 2 * h // 3
        brush.polygon((x + w // 3, snow), peak, (x + 2 * w // 3, snow), fill=(250, 252, 255))
        x += w // 2
    x = brush.step(20, 80)
    while x < WIDTH:
        for level in (0, 24, 48):
            half, foot = (32 - level // 3) * SCALE, HORIZON - level * SCALE
            brush.polygon(
                (x - half, foot),
                (x, HORIZON - (44 + level) * SCALE),
                (x + half, foot),
                fill=(24, 92, 70),
            )
        x += brush.step(110, 170)


# place: what stands behind, the colour of the floor, and that of its edge and of its marks
_DRAW = {
    "kitchen": (_kitchen, (190, 190, 196), (120, 120, 128)),
    "stage": (_stage, (200, 132, 66), (120, 70, 30)),
    "garden": (_garden, (96, 186, 74), (60, 140, 50)),
    "beach": (_beach, (244, 214, 142), (220, 184, 108)),
    "street": (_street, (92, 92, 98), (214, 214, 214)),
    "snowfield": (_snowfield, (240, 246, 255), (200, 214, 236)),
}


@lru_cache(maxsize=64)
def panorama(place: str, light: str, variant: int) -> np.ndarray:
    """The background of one place and light: (384, 768, 3) float32 in 0..1.

    ``variant`` moves trees, windows, stars.
    """
    rng = random.Random(f"{place}/{light}/{variant}")
    brush = Brush(rng, night=light == "night")
    draw_background, floor, edge = _DRAW[place]
    draw_background(brush)
    brush.box(0, HORIZON, WIDTH, HEIGHT, floor)
    brush.box(0, HORIZON, WIDTH, HORIZON + 8 * SCALE, edge)
    for _ in range(70):
        x, y = rng.uniform(0, WIDTH), rng.uniform(HORIZON + 24 * SCALE, HEIGHT)
        w = rng.uniform(10, 30) * SCALE
        brush.line((x, y), (x + w, y), fill=edge, width=7)
    return np.asarray(brush.image.resize(PANORAMA, Image.Resampling.BOX), np.float32) / 255
