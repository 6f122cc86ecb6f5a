"""In which order the characters on a page are read: lines, tilted ones too, and wide gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TextOrder", "order_text", "word_starts"]

Floats = NDArray[np.float64]

# The next character on a line is no further away than this many times the larger one's height, nor
# higher or lower than this.
NEXT_ACROSS, NEXT_DOWN = 3.0, 0.45
# A line may be tilted by so many degrees.
MAX_TILT = 20.0
# So many neighbours tell half of a tilt.
FEW_SLOPES = 3
# A gap is wide if it is wider than this many times the characters' height, and than this many
# times the line's usual gap.
WIDE_GAP, WIDER_THAN_USUAL = 0.7, 2.2


class TextOrder:
    """Lines of characters.

    Attributes:
        order: Indices of the boxes in reading order.
        line: The line of each box, from 0 at the top, in the order of the boxes.
        tilt: By how much a line falls a pixel to the right, in pixels.
    """

    def __init__(self, order: list[int], line: list[int], tilt: float) -> None:
        self.order, self.line, self.tilt = order, line, tilt


def order_text(boxes: NDArray[np.intp]) -> TextOrder:
    """Sorts characters into lines.

    Args:
        boxes: Integer array of shape (N, 4): x, y, width and height of each.

    Returns:
        The lines, from top to bottom, each from left to right.
    """
    if not len(boxes):
        return TextOrder([], [], 0.0)
    x, y, width, height = boxes.T.astype(np.float64)
    across, down = x + width / 2, y + height / 2
    size = np.maximum(height, 0.6 * width)
    tilt = _tilt(across, down, size)
    lines = _lines(across, down - tilt * across, size)
    # Far apart on a line, two characters say more about its tilt than two neighbours do.
    tilt = _slope(across, down, lines, tilt)
    lines = _lines(across, down - tilt * across, size)
    lines.sort(key=lambda line: float(np.median(down[line] - tilt * across[line])))
    number = [0] * len(boxes)
    for position, line in enumerate(lines):
        for index in line:
            number[index] = position
    return TextOrder([index for line in lines for index in line], number, tilt)


def _lines(across: Floats, down: Floats, size: Floats) -> list[list[int]]:
    """Characters whose lines are level, or nearly so, line by line from left to right."""
    lines: list[list[int]] = []
    last_across, last_down, last_size = (np.empty(len(across)) for _ in range(3))
    for index in np.argsort(across, kind="stable").tolist():
        count = len(lines)
        away = np.abs(down[index] - last_down[:count])
        # Beside a tall character a small one may stand at its foot or its head.
        limit = NEXT_DOWN * np.maximum(size[index], last_size[:count])
        gap = across[index] - last_across[:count]
        # What is near decides: lines drift where the paper is not flat.
        cost = away / limit + 0.02 * gap / last_size[:count]
        best = int(np.argmin(np.where(away < limit, cost, np.inf))) if count else -1
        if best < 0 or away[best] >= limit[best]:
            best = count
            lines.append([])
        lines[best].append(index)
        last_across[best], last_down[best] = across[index], down[index]
        last_size[best] = size[index]
    return lines


def _slope(across: Floats, down: Floats, lines: list[list[int]], tilt: float) -> float:
    """The slope that all lines of three characters and more have in common, by least squares."""
    along = crosswise = 0.0
    for line in lines:
        if len(line) > 2:
            x, y = across[line] - across[line].mean(), down[line] - down[line].mean()
            along += float(x @ x)
            crosswise += float(x @ y)
    return crosswise / along if along else tilt


def word_starts(boxes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Where in a line words begin: at its first character and after each wide gap.

    Args:
        boxes: Integer array of shape (N, 4), N at least 1: x, y, width and height of a line's
            characters from left to right.

    Returns:
        bool array of shape (N,).
    """
    starts = np.ones(len(boxes), bool)
    if len(boxes) > 1:
        left, right = boxes[:, 0], boxes[:, 0] + boxes[:, 2]
        gaps = left[1:] - np.maximum.accumulate(right)[:-1]
        sizes, ordered = np.sort(np.maximum(boxes[:, 3], boxes[:, 2])), np.sort(gaps)
        height = float(sizes[len(sizes) // 2])
        usual = max(0.0, float(ordered[int(0.4 * len(ordered))]))
        starts[1:] = gaps > max(WIDE_GAP * height, WIDER_THAN_USUAL * usual)
    return starts


def _tilt(across: Floats, down: Floats, size: Floats) -> float:
    """The slope from most characters to their neighbours on the right."""
    order = np.argsort(across, kind="stable")
    across, down, size = across[order], down[order], size[order]
    slopes = []
    steepest = np.tan(np.radians(MAX_TILT))
    # Enough for a median, however full the page is.
    for i in range(0, len(across), max(1, len(across) // 200)):
        stop = int(np.searchsorted(across, across[i] + NEXT_ACROSS * size[i], "right"))
        if stop - i < 2:
            continue
        dx, dy = across[i + 1 : stop] - across[i], down[i + 1 : stop] - down[i]
        ratio = size[i + 1 : stop] / size[i]
        fits = (dx > 0.3 * size[i]) & (np.abs(dy) < 0.8 * size[i]) & (ratio > 0.5) & (ratio < 2)
        fits &= np.abs(dy) < steepest * dx + 0.25 * size[i]
        if fits.any():
            j = int(np.argmin(np.where(fits, dx + 2 * np.abs(dy), np.inf)))
            slopes.append(dy[j] / dx[j])
    if not slopes:
        return 0.0
    # Neighbours are never quite level: a few of them say little.
    certain = len(slopes) / (len(slopes) + FEW_SLOPES)
    return certain * float(np.clip(np.median(slopes), -steepest, steepest))
