"""Straight lines on a page (rulings, squares, frames, underlines), found so as to be left out.

Where a line is nearly level, each column of pixels crosses it in a short run; so runs that are
short, joined from column to column over the strokes that cross them, make components that are as
long as the line. A parabola fitted to each follows tilt, perspective and paper that is not flat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .morphology import Components, find_components, running
from .ruled_paper import Curve, repeated
from .strokes import Strokes

__all__ = ["without_lines"]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

# A line is longer than this share of the longer side, ...
LENGTH = 0.2
# ... thinner than this share, within so many pixels: a larger picture is searched only for small
# characters, and is no closer to its lines, ...
THICKNESS, MIN_THICKNESS, MAX_THICKNESS = 0.009, 3, 6
# (or this share of the characters' height, where that is known,) ...
CHARACTER = 0.2
# ... seen in this share of the columns that it crosses, ...
COVERAGE = 0.7
# ... within so many pixels, and half its thickness, of a parabola fitted in so many steps.
STRAIGHT, FAR, STEPS = 1.0, 8.0, 9
# Of a line that its neighbours tell of, so much has to be seen.
SEEN = 0.35
# So many of its pixels say where a line is.
FIT_PIXELS = 500
# It goes on beyond where it was found, by this share of its length, and comes in pieces of at least
# this share of the longer side.
BEYOND, PIECE = 0.5, 0.07
# A line that is tilted by 10 degrees and a pixel thick shows in each row for so many pixels.
MIN_RUN = 5
# Ink on a line is darker than this many times the line.
DARKER = 1.5
# A picture has no more lines in one direction that are worth the time.
MAX_LINES = 200


def without_lines(strokes: Strokes, character: float | None = None) -> Mask:
    """The mask of a picture's strokes without its lines; strokes that cross a line stay whole.

    Args:
        strokes: What was found on the picture.
        character: How tall its characters are in pixels, if that is known.

    Returns:
        bool array of shape (H, W).
    """
    mask = strokes.mask
    thickest = MAX_THICKNESS if character is None else max(MAX_THICKNESS, character * CHARACTER)
    level = _level_lines(strokes.faint, strokes.dark, thickest)
    upright = _level_lines(np.ascontiguousarray(strokes.faint.T), strokes.dark.T, thickest)
    if level is not None:
        mask = mask & ~level
    if upright is not None:
        mask = mask & ~upright.T
    return mask


def _level_lines(mask: Mask, dark: NDArray[np.uint8], thickest: float) -> Mask | None:
    """What belongs to nearly level lines alone, None if there are none."""
    longer = max(mask.shape)
    thickness = round(min(max(MIN_THICKNESS, longer * THICKNESS), thickest))
    length = max(longer * LENGTH, 8 * thickness)
    if mask.shape[1] < length:
        return None
    thin = mask & ~_opened(mask, thickness + 1 | 1, 0)
    # Upright lines where they are broken, and grain, would tie level lines together.
    thin = _opened(thin, MIN_RUN, 1)
    bridge = 2 * thickness + 3
    found = find_components(running(thin, bridge, np.maximum, 1))
    wide = found.right - found.left
    long = np.flatnonzero(wide > length)
    if not len(long):
        return None
    if len(long) > MAX_LINES:
        long = long[np.argsort(-wide[long])[:MAX_LINES]]
    curves = _curves(found, long, thin, dark)
    if not len(curves):
        return None
    removed = np.zeros(mask.shape, bool)
    for curve in curves:
        rows, x = _along(curve, thin, dark)
        removed[rows, x] = True
    for curve in repeated(curves, *mask.shape):
        rows, x = _along(curve, thin, dark)
        if len(np.unique(x)) > SEEN * mask.shape[1]:
            removed[rows, x] = True
    # Wide strokes cut lines into pieces. What is as thin, straight and dark as the lines is one.
    slope, half, level = (
        float(np.median([getattr(curve, name) for curve in curves]))
        for name in ("slope", "half", "level")
    )
    own = wide - bridge + 1
    flat = found.bottom - found.top <= abs(slope) * own + 2 * half
    pieces = flat & (own > longer * PIECE) & (wide <= length)
    if pieces.any():
        removed |= found.mask(pieces) & thin & (dark < level)
    return removed


def _along(
    curve: Curve, thin: Mask, dark: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pixels of a line, rows and columns: what is thin and no darker, on it or its ends."""
    height, width = thin.shape
    beyond = (curve.right - curve.left) * BEYOND
    x = np.arange(int(max(0, curve.left - beyond)), int(min(width - 1, curve.right + beyond)) + 1)
    reach = int(np.ceil(curve.half))
    rows = (
        np.rint(curve.at(x.astype(np.float64))).astype(np.intp)
        + np.arange(-reach, reach + 1)[:, np.newaxis]
    )
    inside = (rows >= 0) & (rows < height)
    rows = rows.clip(0, height - 1)
    hit = inside & thin[rows, x] & (dark[rows, x] < curve.level)
    return rows[hit], np.broadcast_to(x, rows.shape)[hit]


def _opened(mask: Mask, size: int, axis: int) -> Mask:
    """What is at least `size` pixels long along an axis, an odd number."""
    return running(running(mask, size, np.minimum, axis), size, np.maximum, axis)


def _curves(
    found: Components, chosen: NDArray[np.intp], thin: Mask, dark: NDArray[np.uint8]
) -> list[Curve]:
    """For each component that is a line: its parabola, ends, half thickness and darkest level."""
    curves: list[Curve] = []
    order = np.argsort(found.runs[3], kind="stable")
    runs = found.runs[:, order]
    starts = np.searchsorted(runs[3], [chosen, chosen + 1])
    for component, first, last in zip(chosen, *starts, strict=True):
        left, right = int(found.left[component]), int(found.right[component])
        own = runs[:, first:last]
        lengths = own[2] - own[1]
        y = np.repeat(own[0], lengths)
        x = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        x += np.repeat(own[1], lengths)
        real = thin[y, x]
        x, y = x[real], y[real]
        covered = np.count_nonzero(np.bincount(x - left, minlength=right - left))
        if covered < COVERAGE * (right - left):
            continue
        # Scaled to -1 to 1, the equations are well conditioned.
        middle, scale = (left + right) / 2, (right - left) / 2
        every = max(1, len(x) // FIT_PIXELS)
        x_fit, y_fit = x[::every], y[::every]
        terms = np.stack([((x_fit - middle) / scale) ** k for k in (2, 1, 0)], 1)
        weights = np.ones(len(x_fit))
        for step in range(STEPS):
            weighted = terms * weights[:, np.newaxis]
            solution = np.linalg.lstsq(weighted.T @ terms, weighted.T @ y_fit, rcond=None)[0]
            away = np.abs(y_fit - terms @ solution)
            # Parts of digits hang on to the line; step by step they lose their say.
            weights = 1 / (1 + (away / max(1.0, FAR * 0.6**step)) ** 2)
        place = (x - middle) / scale
        away = np.abs(y - (solution[0] * place + solution[1]) * place - solution[2])
        near = away < STRAIGHT + min(len(x) / covered, MIN_THICKNESS)
        if np.count_nonzero(np.bincount(x[near] - left, minlength=1)) < COVERAGE * (right - left):
            continue
        half = 1.0 + np.count_nonzero(near) / covered
        level = DARKER * float(np.median(dark[y[near], x[near]])) + 8
        bend = solution[0] / scale**2
        slope = solution[1] / scale - 2 * bend * middle
        offset = solution[2] - solution[1] * middle / scale + bend * middle**2
        curves.append(Curve(bend, slope, offset, left, right, half, level))
    return curves
