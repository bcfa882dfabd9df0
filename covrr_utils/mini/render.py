"""From a `Shot` to frames: camera, motion and light over the drawings of `sprites` and `panoramas`.

A clip is `SECONDS` long at `FPS`; every frame is `SIZE` x `SIZE` RGB. All that the shot leaves open
(which trees, where the object stands, how bright) is drawn from the clip's seed, so (shot, seed)
gives the same frames always and everywhere.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import cv2
import numpy as np

from covrr_utils.mini.panoramas import GROUND, PANORAMA, panorama
from covrr_utils.mini.pen import SPRITE
from covrr_utils.mini.sprites import BASE, sprite
from covrr_utils.mini.world import Shot

SIZE, FPS, SECONDS = 128, 12, 2.0

TOTAL_FRAMES = int(FPS * SECONDS)

CYCLES = {"slow": 0.5, "steady": 1.0, "fast": 2.5}  # of any repeated motion, per clip

# share of the frame crossed by any one-way motion, per clip
REACH = {"slow": 0.45, "steady": 1.0, "fast": 2.0}

ZOOM = {
    "close-up": (1.6, 1.6),
    "wide": (0.55, 0.55),
    "zooming in": (0.65, 1.55),
    "zooming out": (1.55, 0.65),
}

GHOSTS = ((0.06, 0.40), (0.12, 0.22))  # the motion's trail: seconds ago, opacity


def _pose(action: str, tempo: str, u: float, phase: float) -> tuple[float, float, float]:
    """Offset (x, y in pixels on screen, y down) and rotation (degrees, clockwise) of the object at
    clip time ``u`` in 0..1.
    """
    turn = 2 * math.pi * (CYCLES[tempo] * u + phase)
    way = (
        (REACH[tempo] * u + phase * 0.2) % 1.0
        if tempo == "fast"
        else 0.5 + REACH[tempo] * (u - 0.5)
    )
    if action == "bounces":
        return 0.0, -40 * abs(math.sin(turn)), 0.0
    if action == "rolls":
        return 84 * (way - 0.5), 0.0, 400 * way
    if action == "slides":
        return 84 * (way - 0.5), 0.0, 0.0
    if action == "spins":
        return 0.0, -6.0, math.degrees(turn)
    if action == "shakes":
        return 9 * math.sin(3 * turn), 0.0, 7 * math.cos(3 * turn)
    if action == "swings":
        return 34 * math.sin(turn), -22 + 6 * math.cos(turn), -26 * math.sin(turn)
    if action == "rises":
        return 0.0, 16 - 76 * way, 0.0
    if action == "falls":
        return 0.0, -60 + 76 * way, 0.0
    return 0.0, 0.0, 0.0


def _blend(
    frame: np.ndarray,
    drawing: np.ndarray,
    x: float,
    y: float,
    scale: float,
    angle: float,
    opacity: float,
) -> None:
    """Draw ``drawing`` on ``frame`` (both float32): its base centre at (x, y), turned about its
    middle, in place.
    """
    pivot = (SPRITE / 2, BASE - SPRITE * 0.42)
    matrix = cv2.getRotationMatrix2D(pivot, -angle, scale)
    matrix[0, 2] += x - pivot[0]
    matrix[1, 2] += y - scale * SPRITE * 0.42 - pivot[1]
    reach = SPRITE * scale * 0.63
    middle = y - scale * SPRITE * 0.42
    x0, x1 = max(0, int(x - reach)), min(SIZE, int(x + reach) + 2)
    y0, y1 = max(0, int(middle - reach)), min(SIZE, int(middle + reach) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    matrix[0, 2] -= x0
    matrix[1, 2] -= y0
    patch = cv2.warpAffine(
        drawing, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR
    ) * np.float32(opacity)
    region = frame[y0:y1, x0:x1]
    region -= region * cv2.cvtColor(patch[..., 3], cv2.COLOR_GRAY2RGB)
    region += cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB)


def _marks(
    frame: np.ndarray, x: float, y: float, height: float, velocity: tuple[float, float], shot: Shot
) -> None:
    """Speed lines behind fast travel, arcs around fast turning, rattle marks around shaking: as a
    cartoonist would draw them.
    """
    white = (1.0, 1.0, 1.0)
    speed = math.hypot(*velocity)
    if shot.action == "shakes":
        for side in (-1, 1):
            for gap in (0.62, 0.76):
                points = [
                    (x + side * height * (gap + 0.05 * (i % 2)), y - height * (0.25 + 0.13 * i))
                    for i in range(5)
                ]
                cv2.polylines(
                    frame,
                    [np.array([(px * 16, py * 16) for px, py in points], np.int32)],
                    False,
                    white,
                    1,
                    cv2.LINE_AA,
                    4,
                )
    if shot.tempo != "fast":
        return
    if shot.action in ("spins", "rolls", "shakes"):
        middle, radius = (int(x * 16), int((y - height * 0.47) * 16)), int(height * 0.68 * 16)
        for begin in (20, 200):
            cv2.ellipse(
                frame, middle, (radius, radius), 0, begin, begin + 50, white, 2, cv2.LINE_AA, 4
            )
    elif speed > 20:
        dx, dy = velocity[0] / speed, velocity[1] / speed
        for offset in (-0.3, 0.0, 0.3):
            start = (
                x - dx * height * 0.55 - dy * offset * height,
                y - height * 0.5 - dy * height * 0.55 + dx * offset * height,
            )
            end = (start[0] - dx * 16, start[1] - dy * 16)
            cv2.line(
                frame,
                tuple(int(v * 16) for v in start),
                tuple(int(v * 16) for v in end),
                white,
                2,
                cv2.LINE_AA,
                4,
            )


def render(shot: Shot, seed: int, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Frames ``indices`` (default: all `TOTAL_FRAMES`) of the clip of ``shot``: uint8
    (len(indices), SIZE, SIZE, 3), RGB.

    Raises
    ------
    ValueError
        If the world knows no such shot.
    """
    shot.check()
    rng = random.Random(seed)
    background = panorama(shot.place, shot.light, rng.randrange(4))
    shines = shot.state in ("lit", "on")
    drawing = sprite(shot.kind, shot.state, shot.colour, dark=shot.light == "night" and not shines)
    left, bright = rng.uniform(-70, 70), rng.uniform(0.92, 1.06)
    size, shift, phase = rng.uniform(0.94, 1.06), rng.uniform(-6, 6), rng.random()
    frames = np.empty((TOTAL_FRAMES if indices is None else len(indices), SIZE, SIZE, 3), np.uint8)
    for row, index in enumerate(range(TOTAL_FRAMES) if indices is None else indices):
        u = index / TOTAL_FRAMES
        start, end = ZOOM.get(shot.camera, (1.0, 1.0))
        zoom = start * (end / start) ** u
        pan = 90 * (u - 0.5) if shot.camera == "panning" else 0.0
        scroll = 190 * (u - 0.5) if shot.camera == "following" else 0.0
        per_unit = zoom / 1.5  # a panorama has 1.5 pixels per unit of the world
        foot = SIZE * (0.5 + 0.34 * min(1.0, zoom**0.35))  # where the object stands on screen
        centre = PANORAMA[0] / 2 + left + (pan + scroll) * 1.5
        matrix = np.array(
            [
                [per_unit, 0, SIZE / 2 - per_unit * centre],
                [0, per_unit, foot - per_unit * (GROUND + 34)],
            ],
            np.float32,
        )
        frame = cv2.warpAffine(
            background,
            matrix,
            (SIZE, SIZE),
            flags=cv2.INTER_AREA if per_unit < 0.6 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        if shot.camera == "following":
            frame = cv2.blur(frame, (11, 1))  # a tracking camera smears what it passes
        scale = 0.56 * zoom * size
        travel = 0.45 if shot.camera == "following" else 1.0
        x0, height = SIZE / 2 + shift - pan * zoom, scale * SPRITE * 0.9

        def place(
            time: float, x0: float = x0, travel: float = travel, foot: float = foot
        ) -> tuple[float, float, float]:
            x, y, angle = _pose(shot.action, shot.tempo, time, phase)
            return x0 + travel * x, foot + y, angle

        x, y, angle = place(u)
        lift = max(0.0, min(1.0, (foot - y) / 60))
        shadow = (int((x + 2) * 16), int((foot + 1) * 16))
        dark = frame.copy()
        cv2.ellipse(
            dark,
            shadow,
            (int(height * (0.5 - 0.2 * lift) * 16), int(height * 0.09 * 16)),
            0,
            0,
            360,
            (0, 0, 0),
            -1,
            cv2.LINE_AA,
            4,
        )
        cv2.addWeighted(
            dark, 0.35 * (1 - 0.5 * lift), frame, 1 - 0.35 * (1 - 0.5 * lift), 0, dst=frame
        )
        if shot.action == "swings":
            cv2.line(
                frame,
                (int(x0 * 16), -32),
                (int(x * 16), int((y - height * 0.8) * 16)),
                (0.25, 0.18, 0.1),
                2,
                cv2.LINE_AA,
                4,
            )
        xb, yb, _ = place(u - 0.01)
        velocity = ((x - xb) / 0.02, (y - yb) / 0.02)  # pixels per second
        if math.hypot(*velocity) > 1000:  # the motion has just wrapped round
            velocity = (0.0, 0.0)
        if shot.tempo != "slow":
            for ago, opacity in reversed(GHOSTS):
                gx, gy, ga = place(u - ago / SECONDS)
                if math.hypot(gx - x, gy - y) < 45:
                    _blend(frame, drawing, gx, gy, scale, ga, opacity)
        _marks(frame, x, y, height, velocity, shot)
        _blend(frame, drawing, x, y, scale, angle, 1.0)
        frames[row] = np.clip(frame * (255 * bright), 0, 255)
    return frames
