"""Lines that repeat, as on ruled and squared paper: those found tell where the others are.

Strokes that cross a line again and again leave pieces of it that are too short to be known for a
line by themselves. Paper is ruled at an even pitch, so a line in a gap of twice that pitch is known
by its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "repeated"]

Floats = NDArray[np.float64]

# Paper is ruled if so many lines are seen over this share of its width, ...
FEWEST, WIDE = 5, 0.45
# ... at distances that differ from whole pitches by no more than this share of one, ...
UNEVEN = 0.2
# ... and all but this share of them lie within so many pixels of where an even pitch has them.
MISFITS, NEAR = 0.25, 2.0
# Lines closer than this are one, found in pieces, or none.
CLOSEST = 6.0
# So many places on each line say how it runs, and so many lines may follow the last one seen.
PLACES, FOLLOWING = 5, 2


class Curve(NamedTuple):
    """A nearly level line: y = (bend x + slope) x + offset for left <= x <= right, in pixels.

    Attributes:
        half: Half its thickness.
        level: It is nowhere darker than this.
    """

    bend: float
    slope: float
    offset: float
    left: float
    right: float
    half: float
    level: float

    def at(self, x: Floats) -> Floats:
        """Its height at each x."""
        return (self.bend * x + self.slope) * x + self.offset


def repeated(curves: Sequence[Curve], height: int, width: int) -> list[Curve]:
    """All lines of a ruling, from those that were found.

    Args:
        curves: Nearly level lines, in any order, some perhaps in pieces and some no rulings.
        height: Of the picture, in pixels.
        width: Likewise.

    Returns:
        A line from side to side for each place where the ruling has one, seen or not; none where
        the lines do not repeat.
    """
    long = [curve for curve in curves if curve.right - curve.left > WIDE * width]
    if len(long) < FEWEST:
        return []
    middle = np.array([float(curve.at(np.array(width / 2.0))) for curve in long])
    order = np.argsort(middle)
    numbers = _numbers(middle[order])
    if numbers is None:
        return []
    x, y, k = [], [], []
    for curve, number in zip((long[i] for i in order), numbers, strict=True):
        places = np.linspace(curve.left, curve.right, PLACES)
        x.append(places)
        y.append(curve.at(places))
        k.append(np.full(PLACES, float(number)))
    fitted = _fit(np.concatenate(x), np.concatenate(y), np.concatenate(k), width, len(long))
    if fitted is None:
        return []
    half, level = (float(np.median([getattr(c, name) for c in long])) for name in ("half", "level"))
    last = int(numbers.max()) + FOLLOWING
    lines = []
    for number in range(-FOLLOWING, last + 1):
        offset = (fitted[2] * number + fitted[1]) * number + fitted[0]
        line = Curve(
            fitted[5], fitted[4] * number + fitted[3], offset, 0.0, float(width), half, level
        )
        if 0 <= line.at(np.array(width / 2.0)) < height:
            lines.append(line)
    return lines


def _numbers(middle: Floats) -> NDArray[np.intp] | None:
    """Which line of the ruling each is, from their sorted places; None if there is no pitch."""
    gaps = np.diff(middle)
    apart = gaps[gaps > CLOSEST]
    if len(apart) < FEWEST - 1:
        return None
    pitch = float(np.median(apart[apart < 1.5 * apart.min()]))
    numbers = [0]
    even = 0
    for gap in gaps:
        step = round(gap / pitch)
        numbers.append(numbers[-1] + step)
        if step and abs(gap / pitch - step) <= UNEVEN * step:
            even += 1
            # In perspective the pitch changes from line to line.
            pitch += 0.5 * (gap / step - pitch)
    return np.array(numbers) if even >= (1 - MISFITS) * len(apart) else None


def _fit(x: Floats, y: Floats, k: Floats, width: int, lines: int) -> Floats | None:
    """Where line k is at x: factors of 1, k, k², x, kx and x²; None if the lines do not fit."""
    place = x / width
    terms = np.stack([np.ones_like(k), k, k * k, place, k * place, place * place], 1)
    kept = np.ones(len(y), bool)
    for _ in range(3):
        solution = np.linalg.lstsq(terms[kept], y[kept], rcond=None)[0]
        kept = np.abs(terms @ solution - y) < NEAR
        if np.count_nonzero(kept) < (1 - MISFITS) * lines * PLACES:
            return None
    scale = np.array([1, 1, 1, width, width, width * width])
    return np.asarray(solution / scale)
