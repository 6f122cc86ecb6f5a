"""Cutting what may be two characters that touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .characters import Candidate, Found, may_be_character, owned
from .reading import Box

__all__ = ["halves", "may_be_two"]

Mask = NDArray[np.bool_]
Integers = NDArray[np.intp]

# A character may be two that touch if the ratio of its width to its height is within these, and if
# it is not too small to tell. Cuts are tried around these shares of its width, each within so much.
WIDE, WIDEST, MIN_CUT_HEIGHT = 0.6, 2.6, 12
CUTS, CUT_REACH, SIDESTEP = (0.3, 0.5, 0.7), 0.14, 2.0
# How much rather a character is two that touch, in powers of ten: what the model's doubt of the
# whole is over its doubt of the halves, and so much for each time that its width has its height.
# From a logistic regression on 133 pairs that were read as one digit and 1,959 digits, of the
# training set and laid on paper. Where nothing touches on a page, 0.3 % of digits are beyond the
# first limit; where something does, 71 % of such pairs and 1 % of digits are beyond the second.
OF_SHAPE, RARELY, OFTEN = 2.95, 3.6, 2.4


def halves(found: Found, candidate: Candidate) -> list[tuple[Candidate, Candidate]]:
    """What a character falls into where it is cut from top to bottom through the least ink.

    Args:
        found: The groups in a picture.
        candidate: One of them.

    Returns:
        Left and right part for each way of cutting it, none if it cannot be two characters.
    """
    box = candidate.box
    if not WIDE * box.height <= box.width <= WIDEST * box.height or box.height < MIN_CUT_HEIGHT:
        return []
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    own = owned(found.numbers[rows, columns], candidate.strokes)
    cost = np.where(own, found.dark[rows, columns], 0).astype(np.float32)
    ways: list[tuple[Candidate, Candidate]] = []
    seen: list[Integers] = []
    for path in _least(cost):
        if any(np.abs(path - other).mean() < 0.05 * box.width for other in seen):
            continue
        seen.append(path)
        left = np.arange(box.width)[np.newaxis] < path[:, np.newaxis]
        parts = [_part(candidate, half) for half in (own & left, own & ~left)]
        if parts[0] is not None and parts[1] is not None:
            ways.append((parts[0], parts[1]))
    return ways


def may_be_two(box: Box, whole: float, halves: float, touching: bool) -> bool:
    """Whether to doubt that what is read as one character is one.

    Args:
        box: Its place.
        whole: The probability of its best label.
        halves: The probability of the less sure half, where it is cut best.
        touching: Characters on the same page touch.

    Returns:
        True if it may as well be two.
    """
    doubts = np.maximum(1e-6, 1 - np.array([whole, halves]))
    odds = OF_SHAPE * box.width / box.height + np.log10(doubts[0] / doubts[1])
    return bool(odds > (OFTEN if touching else RARELY))


def _part(candidate: Candidate, half: Mask) -> Candidate | None:
    """A part of a character that is a mask in its box, None if that can be no character."""
    box = candidate.box
    rows, columns = np.flatnonzero(half.any(1)), np.flatnonzero(half.any(0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    part = Box(box.x + left, box.y + top, width, height)
    if not may_be_character(part, box.height):
        return None
    inner = half[top : top + height, left : left + width]
    return Candidate(candidate.strokes, part, int(np.count_nonzero(inner)), inner)


def _least(cost: NDArray[np.float32]) -> list[Integers]:
    """Cuts that cross the least ink, as a column for each row, one near each share of `CUTS`.

    From row to row a cut moves by one column at most (dynamic programming, for all at once).
    """
    height, width = cost.shape
    band = max(2, round(2 * CUT_REACH * width))
    starts = [min(max(0, round(share * width - band / 2)), width - band) for share in CUTS]
    bands = np.stack([cost[:, start : start + band] for start in starts], axis=1)
    totals = np.full((height, len(CUTS), band + 2), np.inf, np.float32)
    totals[0, :, 1:-1] = bands[0]
    for row in range(1, height):
        above = totals[row - 1]
        # A step to the side costs a little, so that a cut through blank paper is straight.
        aside = np.minimum(above[:, :-2], above[:, 2:]) + SIDESTEP
        np.minimum(above[:, 1:-1], aside, out=aside)
        np.add(aside, bands[row], out=totals[row, :, 1:-1])
    paths = []
    for cut, start in enumerate(starts):
        ways = totals[:, cut].tolist()
        at = min(range(1, band + 1), key=ways[-1].__getitem__)
        path = [at]
        for row in range(height - 2, -1, -1):
            above = ways[row]
            near = {
                at: above[at],
                at - 1: above[at - 1] + SIDESTEP,
                at + 1: above[at + 1] + SIDESTEP,
            }
            at = min(near, key=near.__getitem__)
            path.append(at)
        paths.append(np.array(path[::-1], np.intp) - 1 + start)
    return paths
