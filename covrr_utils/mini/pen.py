"""The pen that draws the objects of the mini world, and its colours."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFilter

SPRITE = 128  # pixels along each side of a finished sprite

Colour = tuple[int, ...]  # red, green, blue and perhaps opacity, each 0..255

Point = tuple[float, float]

INK = (38, 34, 40)

WHITE, GREY, BROWN, ORANGE, BLACK = (
    (252, 252, 248),
    (150, 152, 158),
    (134, 84, 44),
    (250, 146, 30),
    (30, 28, 30),
)


class Pen:
    """Draws in sprite coordinates (0..128, y down) on a canvas four times as large, with a dark
    outline.
    """

    SCALE = 4

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (SPRITE * self.SCALE,) * 2, (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def _points(self, points: tuple[Point, ...]) -> list[Point]:
        return [(x * self.SCALE, y * self.SCALE) for x, y in points]

    def shape(
        self, *points: Point, fill: Colour, line: Colour | None = INK, width: float = 2.0
    ) -> None:
        """A polygon with its outline; no outline where ``line`` is None."""
        scaled = self._points(points)
        self.draw.polygon(scaled, fill=fill)
        if line:
            self.draw.line(
                [*scaled, scaled[0], scaled[1]],
                fill=line,
                width=int(width * self.SCALE),
                joint="curve",
            )

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Colour | None,
        line: Colour | None = INK,
        width: float = 2.0,
    ) -> None:
        """An ellipse about (x, y) with radii ``rx`` and ``ry``; hollow where ``fill`` is None."""
        box = [v * self.SCALE for v in (x - rx, y - ry, x + rx, y + ry)]
        self.draw.ellipse(
            box, fill=fill, outline=line, width=int(width * self.SCALE) if line else 0
        )

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour,
        round_: float = 4,
        line: Colour | None = INK,
        width: float = 2.0,
    ) -> None:
        """A rectangle from (x0, y0) to (x1, y1) with corners rounded by ``round_``."""
        box = [v * self.SCALE for v in (x0, y0, x1, y1)]
        self.draw.rounded_rectangle(
            box,
            round_ * self.SCALE,
            fill=fill,
            outline=line,
            width=int(width * self.SCALE) if line else 0,
        )

    def line(self, *points: Point, fill: Colour = INK, width: float = 2.5) -> None:
        """A line through the points."""
        self.draw.line(
            self._points(points), fill=fill, width=int(width * self.SCALE), joint="curve"
        )

    def glow(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A soft halo about (x, y), behind what is drawn already."""
        halo = Image.new("RGBA", self.image.size, (*colour, 0))
        alpha = Image.new("L", self.image.size, 0)
        ImageDraw.Draw(alpha).ellipse(
            [v * self.SCALE for v in (x - radius, y - radius, x + radius, y + radius)], fill=120
        )
        halo.putalpha(alpha.filter(ImageFilter.GaussianBlur(radius * 0.3 * self.SCALE)))
        self.image = Image.alpha_composite(halo, self.image)
        self.draw = ImageDraw.Draw(self.image)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour ``factor`` times as bright."""
    return tuple(int(min(255, c * factor)) for c in colour)
