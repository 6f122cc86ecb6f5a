"""Which pixels of a page are strokes: seeing past light, shadow, noise and texture, fast.

Handwriting is narrow and differs from what is around it; light and shadow are wide, or are edges.
So the paper under the ink is what is left when everything dark and narrow is filled up (the closing
by a square), which follows even the hard edge of a shadow. All of it works on whole frames of
bytes: NumPy compares and subtracts those many at a time.

`lighting` answers the same questions for one digit, which may fill its picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .morphology import running
from .resize import MAX_FACTOR, resample, shrink

__all__ = ["Strokes", "find_strokes", "strokes_are_light"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# A stroke is narrower than this share of the longer side; in a small picture, which is likely to
# show one digit alone, than a larger share, up to so many pixels.
WIDEST, WIDEST_SMALL, WIDEST_SMALL_PIXELS = 0.1, 0.35, 40
# Reflected light is paper times light, so what is in the shade gains by division, to this level.
DARKEST_PAPER = 40
# Below this contrast (of 255) nothing is called a stroke: compression leaves such traces.
MIN_CONTRAST = 16
# A stroke stands out of the noise around it by so many standard deviations, ...
SIGMAS = 5.0
# ... somewhere this many times as far, ...
CLEAR = 1.6
# ... whose measure is taken in squares of this share of the longer side.
TILE = 0.1
# Of the darkest ink within this share of the longer side a stroke has so much. That ends strokes
# half way down their blurred edges, and leaves out faint rulings, shadows and stains beside them.
NEAR, NEAR_SHARE = 0.035, 0.35
# From this standard deviation of the noise on, the picture is smoothed before.
SMOOTH_FROM = 2.0
# The polarity is that of what is narrower than this share of the longer side.
POLARITY_SHARE = 0.06


@dataclass(frozen=True)
class Strokes:
    """The strokes on a picture.

    Attributes:
        picture: The picture, smoothed if it is noisy, uint8 of shape (H, W).
        dark: How much darker than the paper each pixel is, uint8 of shape (H, W): 255 for what
            reflects nothing, as if the whole page were lit alike.
        mask: Where strokes are.
        clear: Where it is certain that there is more than noise; every stroke has such pixels.
        faint: Where there is anything but paper, beside darker strokes too: rulings are there.
    """

    picture: Bytes
    dark: Bytes
    mask: Mask
    faint: Mask
    clear: Mask


def find_strokes(picture: Bytes) -> Strokes:
    """Finds the dark strokes on a picture.

    Args:
        picture: uint8 array of shape (H, W); for light strokes on dark its negative.

    Returns:
        The strokes.
    """
    longer = max(picture.shape)
    smooth = _smoothed(picture) if _noise(picture) > SMOOTH_FROM else picture
    size = max(3, round(max(longer * WIDEST, min(longer * WIDEST_SMALL, WIDEST_SMALL_PIXELS))) | 1)
    paper = _closed(smooth, size)
    # 255 / paper, in 32nds: at most 204, so that the product still fits in 16 bits.
    gain = (255 * 32 // np.maximum(np.arange(256), DARKEST_PAPER)).astype(np.uint8)
    lit = np.multiply(paper - smooth, np.take(gain, paper), dtype=np.uint16) >> 5
    dark = np.minimum(lit, 255).astype(np.uint8)
    level = _noise_level(dark)
    near = max(3, round(longer * NEAR) | 1)
    darkest = running(running(dark, near, np.maximum, 0), near, np.maximum, 1)
    share = (np.multiply(darkest, round(NEAR_SHARE * 256), dtype=np.uint16) >> 8).astype(np.uint8)
    faint = dark > level
    clear = dark > np.minimum(level.astype(np.float32) * CLEAR, 250).astype(np.uint8)
    return Strokes(smooth, dark, faint & (dark > share), faint, clear)


def strokes_are_light(picture: Bytes) -> float:
    """Which strokes a picture shows.

    Strokes are the minority that differs from its surroundings. So the third powers of the
    differences from the mean around each pixel have, summed up, the sign of the strokes; the edges
    of sheets and shadows have as much on one side as on the other, and so does noise.

    Args:
        picture: uint8 array of shape (H, W).

    Returns:
        From -1, certainly dark strokes on light, to 1, certainly light strokes on dark.
    """
    size = round(max(picture.shape) * POLARITY_SHARE / 3)
    differences = picture - _around(picture, min(max(1, size), MAX_FACTOR, *picture.shape))
    cubes = differences * differences * differences  # Much faster than a power.
    total = float(np.abs(cubes).sum())
    return float(cubes.sum()) / total if total > 0 else 0.0


def _closed(picture: Bytes, size: int) -> Bytes:
    """The closing by a square of `size` pixels; beyond the edges there is nothing."""
    for operation in (np.maximum, np.minimum):
        for axis in (0, 1):
            picture = running(picture, size, operation, axis)
    return picture


def _smoothed(picture: Bytes) -> Bytes:
    """The mean of 3x3 pixels with the weights 1, 2, 1 across and down."""
    wide = np.pad(picture, 1, mode="edge").astype(np.uint16)
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    total = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    smooth: Bytes = ((total + 8) >> 4).astype(np.uint8)
    return smooth


def _noise(picture: Bytes) -> float:
    """Standard deviation of the noise from pixel to pixel; see `lighting._fine_noise`."""
    if min(picture.shape) < 3:
        return 0.0
    # Three rows of every eight are enough, or of two dozen places.
    step = max(8, picture.shape[0] // 24)
    last = picture.shape[0] - 2
    upper, middle, lower = (picture[i : last + i : step].astype(np.int16) for i in range(3))
    bent = upper - 2 * middle + lower
    bent = np.abs(bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:])
    rank = int(bent.size * 0.3)
    return float(np.partition(bent, rank, axis=None)[rank]) / (6 * 0.385)


def _noise_level(dark: Bytes) -> NDArray[np.uint8]:
    """What of `dark` may be noise: uint8 of its shape, or less where broadcasting completes it."""
    height, width = dark.shape
    tile = max(16, round(max(dark.shape) * TILE))
    rows, columns = height // tile, width // tile
    if min(rows, columns) < 2:
        rows, columns, tile_shape = 1, 1, (height, width)
    else:
        tile_shape = (tile, tile)
    step = max(1, tile_shape[0] // 16)
    part = dark[: rows * tile_shape[0], : columns * tile_shape[1]]
    part = part.reshape(rows, tile_shape[0], columns, tile_shape[1])[:, ::step, :, ::step]
    values = part.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    count = values.shape[2]
    # In a normal distribution 5 % and 25 % are below the mean less 1.645 and 0.674 standard
    # deviations. Up to 70 % of a square may be ink.
    ranks = (int(count * 0.05), int(count * 0.25))
    ordered = np.partition(values, ranks, axis=2)
    low, quarter = (ordered[:, :, rank].astype(np.float32) for rank in ranks)
    deviation = (quarter - low) / 0.971
    middle = quarter + 0.674 * deviation
    level = np.maximum(middle + SIGMAS * deviation, MIN_CONTRAST)
    # A square that is full of ink takes it for noise; most of its neighbours know better.
    padded = np.pad(level, 1, mode="edge")
    around = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    level = np.sort(around, 0)[4]
    known: Bytes = np.minimum(level, 254).astype(np.uint8)
    if known.min() == known.max():
        return known[:1, :1]
    wide: Bytes = resample(known, height, width).astype(np.uint8)
    return wide


def _around(picture: Bytes, size: int) -> NDArray[np.float32]:
    """The mean of 3 x 3 squares of `size` pixels around the square that each pixel is in."""
    height, width = picture.shape
    squares = np.pad(shrink(picture, size).astype(np.float32), 1, mode="edge")
    rows = squares[:-2] + squares[1:-1] + squares[2:]
    mean = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)
    wide = mean.repeat(size, axis=0).repeat(size, axis=1)
    # The last incomplete square was dropped; the one before it does as well.
    missing = (height - wide.shape[0], width - wide.shape[1])
    return np.pad(wide, ((0, missing[0]), (0, missing[1])), mode="edge") if any(missing) else wide
