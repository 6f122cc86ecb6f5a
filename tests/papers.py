"""What pages are made of, as it reflects light: papers, boards, tables, a room; inks.

Each is RGB float32 of shape (height, width, 3), or of one colour (3,), where 1 reflects all light.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Colour", "Random", "ink", "paper", "wood"]

Random = np.random.Generator
Colour = NDArray[np.float32]


def ink(pen: str, sheet: Colour, random: Random) -> Colour:
    """What a pen's ink reflects, RGB."""
    if pen == "chalk":
        return np.array([0.9, 0.9, 0.86], np.float32) * random.uniform(0.75, 1.0)
    if pen == "pencil":  # Graphite lets the paper's colour through.
        return np.median(sheet[::8, ::8], (0, 1)) * np.float32(random.uniform(0.42, 0.6))
    colours = ([0.08, 0.08, 0.1], [0.1, 0.14, 0.45], [0.1, 0.1, 0.12], [0.6, 0.1, 0.12])
    return np.array(colours[random.integers(len(colours))], np.float32)


def paper(name: str, width: int, height: int, random: Random) -> Colour:
    """What the sheet reflects, RGB (H, W, 3)."""
    colour = np.array([0.92, 0.92, 0.9], np.float32)
    if name == "coloured":
        colour = np.array(
            [[0.95, 0.9, 0.55], [0.95, 0.7, 0.75], [0.7, 0.85, 0.95], [0.75, 0.92, 0.7],
             [0.72, 0.58, 0.42], [0.95, 0.75, 0.45]][random.integers(6)], np.float32,
        )  # fmt: skip
    elif name == "board":
        boards = ([0.1, 0.2, 0.15], [0.1, 0.1, 0.11], [0.13, 0.17, 0.2])
        colour = np.array(boards[random.integers(3)], np.float32)
    if name in ("wood", "scene"):
        return wood(width, height, random) if name == "wood" else _scene(width, height, random)
    sheet = np.empty((height, width, 3), np.float32)
    fibres = {"textured": 0.035, "board": 0.02}.get(name, 0.006) * random.uniform(0.5, 1.2)
    sheet[:] = colour
    sheet += (_cloud(width, height, random.uniform(0.7, 2.5), random) * fibres)[..., np.newaxis]
    if name == "board":  # Wiped chalk.
        sheet += np.abs(_cloud(width, height, width / 15, random) * 0.025)[..., np.newaxis]
    if name in ("ruled", "squared"):
        _rule(sheet, name, random)
    return sheet


def _rule(sheet: Colour, name: str, random: Random) -> None:
    """Prints lines on paper."""
    height, width = sheet.shape[:2]
    short = min(height, width)
    pitch = short * (random.uniform(0.05, 0.11) if name == "ruled" else random.uniform(0.03, 0.06))
    pitch = max(pitch, 12)
    ink = np.array([[0.5, 0.62, 0.85], [0.6, 0.6, 0.62], [0.72, 0.62, 0.8]][random.integers(3)])
    ink = 1 - (1 - ink) * random.uniform(0.5, 1.2)
    thickness = max(1, round(short * random.uniform(0.0012, 0.003)))
    drawn = np.zeros((height, width), np.float32)
    for y in np.arange(random.uniform(0, pitch), height, pitch):
        ends = ((0, int(y * 16)), (width * 16, int(y * 16)))
        cv2.line(drawn, *ends, 1.0, thickness, cv2.LINE_AA, 4)
    if name == "squared":
        for x in np.arange(random.uniform(0, pitch), width, pitch):
            ends = ((int(x * 16), 0), (int(x * 16), height * 16))
            cv2.line(drawn, *ends, 1.0, thickness, cv2.LINE_AA, 4)
    sheet *= 1 - drawn[..., np.newaxis] * (1 - ink).astype(np.float32)
    if name == "ruled" and random.random() < 0.6:
        margin = np.zeros_like(drawn)
        x = int(width * random.uniform(0.05, 0.15) * 16)
        cv2.line(margin, (x, 0), (x, height * 16), 1.0, thickness, cv2.LINE_AA, 4)
        sheet *= 1 - margin[..., np.newaxis] * np.array([0.1, 0.5, 0.5], np.float32)


def _cloud(width: int, height: int, size: float, random: Random) -> NDArray[np.float32]:
    """Smooth noise of standard deviation 1 whose features are about `size` pixels."""
    step = max(1, int(size / 2))
    shape = (height // step + 8, width // step + 8)
    small = random.standard_normal(shape).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), size / step)
    small /= small.std()
    large = cv2.resize(small, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return large[:height, :width]


def wood(width: int, height: int, random: Random) -> Colour:
    """A table: long grain, some of it dark."""
    base = np.array([[0.55, 0.38, 0.24], [0.3, 0.2, 0.13], [0.75, 0.62, 0.45], [0.35, 0.35, 0.36]])
    colour = base[random.integers(len(base))].astype(np.float32)
    grain = cv2.resize(
        random.standard_normal((height // 3 + 1, 12)).astype(np.float32), (width, height),
        interpolation=cv2.INTER_CUBIC,
    )  # fmt: skip
    grain = cv2.GaussianBlur(grain, (0, 0), 1.2) * 0.09
    if random.random() < 0.3:
        grain *= 0.1
    return colour * (1 + grain[..., np.newaxis])


def _scene(width: int, height: int, random: Random) -> Colour:
    """A room out of focus and in it: areas of all sizes with edges, gradients and textures."""
    room = np.empty((height, width, 3), np.float32)
    room[:] = random.uniform(0.1, 0.9, 3)
    for _ in range(random.integers(10, 40)):
        corners = random.uniform(-0.1, 1.1, (random.integers(3, 6), 2)) * [width, height]
        if random.random() < 0.6:
            corners = corners[:1] + (corners - corners[:1]) * random.uniform(0.05, 0.4)
        hull = cv2.convexHull(np.rint(corners).astype(np.int32))
        mask = np.zeros((height, width), np.float32)
        cv2.fillConvexPoly(mask, hull, 1.0, cv2.LINE_AA)
        soft = cv2.GaussianBlur(mask, (0, 0), float(random.choice([0.6, 0.6, 3, 12])))
        texture = 1 + 0.1 * random.random() * _cloud(width, height, random.uniform(2, 30), random)
        area = random.uniform(0.05, 0.95, 3).astype(np.float32) * texture[..., np.newaxis]
        room += soft[..., np.newaxis] * (area - room)
    return room
