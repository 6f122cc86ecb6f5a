"""Pictures of paper with nothing written on it: blank, ruled, squared.

Made, not photographed: each is drawn from a seed, so that the same pictures can be had anywhere.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["blank_paper", "paper", "ruled_paper", "squared_paper"]

Picture = NDArray[np.uint8]
Random = np.random.RandomState

# A small photo's sides, in pixels; sizes change what the fit "ink" takes for noise.
SHORTEST, LONGEST = 160, 320
# White paper under a lamp or at a window, of 255 levels.
DARKEST_PAPER, BRIGHTEST_PAPER = 225, 255
# Standard deviation of the paper's fibres, which span some pixels, and of the sensor's noise.
FIBRES, FIBRE_PIXELS, SENSOR = (0.5, 3.0), 1.0, 1.0
# How much darker the corners are than the brightest spot.
VIGNETTE = 0.25
# Distances between lines in pixels: notebooks have 7 to 10 mm, squared paper 4 to 5 mm.
RULING, SQUARES = (18, 40), (12, 26)
# A hand holds a camera as straight as this, in degrees.
TILT = 2.0
# How much of the light a printed line swallows.
LINE_INK, MARGIN_INK = (0.15, 0.5), (0.3, 0.6)


def blank_paper(count: int, seed: int) -> list[Picture]:
    """Photos of blank white paper: faint texture, darker corners, a little noise.

    Args:
        count: How many.
        seed: Chooses which.

    Returns:
        uint8 arrays (H, W) of different sizes.
    """
    random = Random(seed)
    return [_rounded(paper(random, *_size(random))) for _ in range(count)]


def ruled_paper(count: int, seed: int) -> list[Picture]:
    """Photos of a notebook's page: level lines, on every second one with an upright margin line.

    Args:
        count: How many.
        seed: Chooses which.

    Returns:
        uint8 arrays (H, W) of different sizes.
    """
    random = Random(seed)
    pictures = []
    for index in range(count):
        sheet = paper(random, *_size(random))
        tilt = random.uniform(-TILT, TILT)
        sheet *= 1 - _lines(random, sheet.shape, tilt, RULING) * random.uniform(*LINE_INK)
        if index % 2:
            place = random.uniform(0.1, 0.25) * sheet.shape[1]
            line = _line(sheet.shape, tilt + 90, place, _thickness(random))
            sheet *= 1 - line * random.uniform(*MARGIN_INK)
        pictures.append(_rounded(sheet))
    return pictures


def squared_paper(count: int, seed: int) -> list[Picture]:
    """Photos of squared paper: level and upright lines at the same distance.

    Args:
        count: How many.
        seed: Chooses which.

    Returns:
        uint8 arrays (H, W) of different sizes.
    """
    random = Random(seed)
    pictures = []
    for _ in range(count):
        sheet = paper(random, *_size(random))
        tilt = random.uniform(-TILT, TILT)
        distance = random.uniform(*SQUARES)
        level, upright = (
            _lines(random, sheet.shape, tilt + turn, (distance, distance)) for turn in (0, 90)
        )
        sheet *= 1 - np.maximum(level, upright) * random.uniform(*LINE_INK)
        pictures.append(_rounded(sheet))
    return pictures


def paper(random: Random, height: int, width: int) -> NDArray[np.float32]:
    """One photo of blank paper.

    Args:
        random: Where chance comes from.
        height: In pixels.
        width: In pixels.

    Returns:
        float32 (height, width), 0 for black to 255 for white.
    """
    fibres = cv2.GaussianBlur(random.standard_normal((height, width)), (0, 0), FIBRE_PIXELS)
    fibres *= random.uniform(*FIBRES) / fibres.std()
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j] - random.uniform(
        -0.5, 0.5, (2, 1, 1)
    )
    # Light falls off with the square of the distance from the axis, to first order (cos⁴ law).
    light = 1 - random.uniform(0, VIGNETTE) * (x**2 + y**2) / 2
    sheet = (random.uniform(DARKEST_PAPER, BRIGHTEST_PAPER) + fibres) * light
    return (sheet + SENSOR * random.standard_normal(sheet.shape)).astype(np.float32)


def _size(random: Random) -> tuple[int, int]:
    height, width = random.randint(SHORTEST, LONGEST + 1, 2)
    return int(height), int(width)


def _lines(
    random: Random, shape: tuple[int, ...], degrees: float, distance: tuple[float, float]
) -> NDArray[np.float32]:
    """Coverage (0 to 1) by parallel lines across a picture; 0 degrees is level, 90 upright."""
    upright = abs(degrees) > 45
    step = random.uniform(*distance)
    thickness = _thickness(random)
    drawn = np.zeros(shape, np.float32)
    for place in np.arange(random.uniform(0, step), shape[1 if upright else 0], step):
        drawn = np.maximum(drawn, _line(shape, degrees, place, thickness))
    return drawn


def _line(
    shape: tuple[int, ...], degrees: float, place: float, thickness: int
) -> NDArray[np.float32]:
    """Coverage by one line through the middle of the picture's other axis at `place` pixels."""
    height, width = shape[:2]
    middle = (place, height / 2) if abs(degrees) > 45 else (width / 2, place)
    reach = np.array((math.cos(math.radians(degrees)), math.sin(math.radians(degrees))))
    reach *= height + width
    mask = np.zeros((height, width), np.uint8)
    fraction = 4  # OpenCV takes whole numbers: of sixteenths of a pixel, with this many bits.
    ends = [
        tuple(int(value) for value in np.rint((middle + sign * reach) * 2**fraction))
        for sign in (-1, 1)
    ]
    cv2.line(mask, ends[0], ends[1], 255, thickness, cv2.LINE_AA, fraction)
    return mask.astype(np.float32) / 255


def _thickness(random: Random) -> int:
    return int(random.randint(1, 3))


def _rounded(sheet: NDArray[np.float32]) -> Picture:
    return np.rint(sheet).clip(0, 255).astype(np.uint8)
