"""Strokes for `pages.py`: MNIST's digits as other pens would write them, and no digits.

A stroke picture is float32, 0 for paper to 1 for full ink, cut to its ink with a margin.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Strokes",
    "as_written",
    "broken",
    "crossed",
    "letter",
    "printed",
    "redrawn",
    "scribble",
    "skeleton",
]

Strokes = NDArray[np.float32]
Random = np.random.Generator

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
# Letters that hands and fonts draw as digits are drawn stand in words here as they do in life, but
# no word is made of them alone.
WORDS = (
    *("name", "date", "water", "total", "hello", "garden", "kitchen", "menu", "paper", "lamp"),
    *("have", "friend", "march", "the", "and", "with", "receipt", "from", "nothing", "every"),
    *("morning", "page", "write", "dear", "thank", "you", "number", "Monday", "Street", "AMOUNT"),
    *("KEEP", "THIS", "SIDE", "UP", "NAME", "CHECK", "WEEK", "TEXT", "PARK", "MUNICH"),
)

PRINT = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
# In print there is no such mercy.
PROSE = (
    *WORDS,
    *("so", "is", "of", "to", "it", "in", "on", "as", "or", "all", "see", "soon", "less", "will"),
    *("Book", "Is", "So", "Oil", "School", "look", "zoo", "also", "does", "loss", "sold", "old"),
)


def skeleton(image: NDArray[np.uint8], height: float) -> Strokes:
    """The lines in the middle of a digit's strokes, enlarged so that the digit is `height` tall.

    Found by thinning: T. Y. Zhang and C. Y. Suen, "A fast parallel algorithm for thinning digital
    patterns" (1984). A pen of any width can be drawn along them.
    """
    scale = 4
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    thin = np.pad(large > 110, 1)
    while True:
        before = np.count_nonzero(thin)
        for odd in (0, 1):
            p = [
                np.roll(thin, shift, (0, 1))[1:-1, 1:-1]
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            ]
            around = sum(side.astype(np.int8) for side in p)
            turns = sum((~p[i] & p[(i + 1) % 8]).astype(np.int8) for i in range(8))
            if odd:
                corner = ~(p[0] & p[2] & p[6]) & ~(p[0] & p[4] & p[6])
            else:
                corner = ~(p[0] & p[2] & p[4]) & ~(p[2] & p[4] & p[6])
            thin[1:-1, 1:-1] &= ~((around >= 2) & (around <= 6) & (turns == 1) & corner)
        if np.count_nonzero(thin) == before:
            break
    rows, columns = np.nonzero(thin)
    tall = np.ptp(np.nonzero(image.max(1))[0]) * scale + scale
    factor = height / tall
    points = np.stack([columns - columns.min(), rows - rows.min()], 1) * factor
    margin = 2
    size = np.ceil(points.max(0)).astype(int) + 1 + 2 * margin
    drawn = np.zeros((size[1], size[0]), np.float32)
    # Neighbouring points are joined, so that nothing tears when the lines are enlarged.
    index = {
        (r, c): i for i, (r, c) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))
    }
    fixed = np.rint((points + margin) * 16).astype(int)
    for (r, c), i in index.items():
        for step in ((0, 1), (1, -1), (1, 0), (1, 1)):
            j = index.get((r + step[0], c + step[1]))
            if j is not None:
                cv2.line(drawn, fixed[i].tolist(), fixed[j].tolist(), 1.0, 1, cv2.LINE_8, 4)
    return drawn


def redrawn(image: NDArray[np.uint8], height: float, width: float, random: Random) -> Strokes:
    """A digit drawn with a round pen of `width` pixels."""
    lines = skeleton(image, max(4.0, height - width))
    margin = int(width) + 2
    lines = np.pad(lines, margin)
    fine = 3 if max(lines.shape) < 500 else 1
    lines = cv2.resize(lines, None, fx=fine, fy=fine, interpolation=cv2.INTER_NEAREST)
    far = cv2.distanceTransform((lines < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / fine
    # The pen's pressure varies along the stroke.
    wobble = cv2.resize(random.standard_normal((4, 4)).astype(np.float32), lines.shape[::-1])
    radius = width / 2 * (1 + 0.12 * wobble)
    sharp = np.clip((radius - far) * fine / 1.5 + 0.5, 0, 1).astype(np.float32)
    return cv2.resize(sharp, None, fx=1 / fine, fy=1 / fine, interpolation=cv2.INTER_AREA)


def as_written(image: NDArray[np.uint8], height: float) -> Strokes:
    """A digit with the strokes it has in MNIST, enlarged so that it is `height` tall."""
    rows = np.flatnonzero(image.max(1) > 100)
    factor = height / (np.ptp(rows) + 1)
    size = max(4, round(28 * factor))
    way = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    large = cv2.resize(image.astype(np.float32) / 255, (size, size), interpolation=way)
    # Enlarging blurs, a pen does not: the edge is drawn over about two pixels again.
    steep = min(max(1.0, factor), 4.0)
    return np.clip((large - 0.45) * steep + 0.45, 0, 1).astype(np.float32)


def broken(strokes: Strokes, random: Random) -> Strokes:
    """The strokes with one or two gaps where the pen did not touch the paper."""
    strokes = strokes.copy()
    rows, columns = np.nonzero(strokes > 0.6)
    tall = np.ptp(rows) + 1
    for _ in range(random.integers(1, 3)):
        at = random.integers(len(rows))
        angle = random.uniform(0, np.pi)
        reach = 0.16 * tall * np.array([np.cos(angle), np.sin(angle)])
        centre = np.array([columns[at], rows[at]])
        ends = [np.rint((centre + sign * reach) * 16).astype(int).tolist() for sign in (-1, 1)]
        gap = max(1, round(tall * random.uniform(0.03, 0.06)))
        cv2.line(strokes, ends[0], ends[1], 0.0, gap, cv2.LINE_8, 4)
    return strokes


def crossed(strokes: Strokes, width: float, random: Random) -> Strokes:
    """A 7 with the bar through its stem that is usual in much of Europe."""
    rows, _ = np.nonzero(strokes > 0.5)
    top, tall = rows.min(), np.ptp(rows) + 1
    middle = int(top + tall * random.uniform(0.45, 0.6))
    across = np.flatnonzero(strokes[middle] > 0.5)
    if not len(across):
        return strokes
    reach = tall * random.uniform(0.16, 0.26)
    pad = int(reach + width) + 2
    wide = np.pad(strokes, ((0, 0), (pad, pad)))
    centre = across.mean() + pad
    rise = random.uniform(-0.1, 0.25) * reach
    ends = [
        np.rint([(centre + s * reach) * 16, (middle - s * rise) * 16]).astype(int).tolist()
        for s in (-1, 1)
    ]
    cv2.line(wide, ends[0], ends[1], 1.0, max(1, round(width)), cv2.LINE_AA, 4)
    return wide


def letter(word: str, height: float, width: float, random: Random) -> Strokes:
    """A word drawn with a pen of `width` pixels, in a font made of strokes, a little slanted."""
    font = FONTS[random.integers(len(FONTS))]
    thickness = max(1, round(width))
    scale = height / 22  # The capitals of these fonts are 21 or 22 pixels tall at scale 1.
    (wide, tall), below = cv2.getTextSize(word, font, scale, thickness)
    pad = thickness + 4
    canvas = np.zeros((tall + below + 2 * pad, wide + 2 * pad), np.float32)
    cv2.putText(canvas, word, (pad, tall + pad), font, scale, 1.0, thickness, cv2.LINE_AA)
    slant = random.uniform(-0.05, 0.25)
    turn = np.array([[1, -slant, slant * canvas.shape[0]], [0, 1, 0]])
    size = (canvas.shape[1] + int(abs(slant) * canvas.shape[0]) + 1, canvas.shape[0])
    return cv2.warpAffine(canvas, turn, size)


def printed(word: str, height: float, font: int) -> Strokes:
    """A word in print: upright, its strokes as thick as print has them."""
    scale, thickness = height / 22, max(1, round(height / 9))
    (wide, tall), below = cv2.getTextSize(word, font, scale, thickness)
    canvas = np.zeros((tall + below + 8, wide + 8), np.float32)
    cv2.putText(canvas, word, (4, tall + 4), font, scale, 1.0, thickness, cv2.LINE_AA)
    return canvas


def scribble(height: float, width: float, random: Random) -> Strokes:
    """A tangle of loops, as one tries a pen."""
    count = random.integers(6, 14)
    size = int(height)
    points = random.uniform(0.05, 0.95, (count, 2)) * [size * random.uniform(1.5, 3), size]
    t = np.linspace(0, count - 1, count * 12)
    smooth = np.stack([np.interp(t, range(count), points[:, i]) for i in (0, 1)], 1)
    smooth = cv2.blur(smooth.astype(np.float32), (1, 13))
    pad = int(width) + 2
    shape = (size + 2 * pad, int(points[:, 0].max()) + 2 * pad)
    canvas = np.zeros(shape, np.float32)
    fixed = np.rint((smooth + pad) * 16).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 1.0, max(1, round(width)), cv2.LINE_AA, 4)
    return canvas
