"""Finding one handwritten digit in a picture, and fitting it as MNIST was made.

MNIST's digits were scaled to fit in a box of 20x20 pixels, keeping their proportions, with grey
levels from the anti-aliasing, and placed so that their centre of mass is in the middle of 28x28
(LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). A model trained on it reads
other pictures well only if they are made the same way.

The steps: turn the picture so that the paper is light, see past the lighting (`lighting`), tell ink
from noise, leave out ruled lines, choose the strokes that belong to the digit, scale, place. Every
constant was chosen on MNIST's training images and on pictures made from them, not on test images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .lighting import Darkness, darkness, paper_is_dark
from .morphology import Components, find_components, grow, open_along
from .resize import MAX_FACTOR, resample, shrink

__all__ = ["MAX_SIDE", "FittedImage", "fit_ink", "fit_strokes"]

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

MAX_SIDE = 640
"""What is gained by a picture longer than twice this many pixels is nothing; shrink it first."""

# The share of MNIST's 28 pixels that its box takes, and by how much a digit may miss it and still
# be left alone, because scaling by so little would only blur it.
BOX_SHARE = 20 / 28
SAME_SIZE = 1.12

# In 20 pixels MNIST's strokes are this wide at least (1 in 100 training digits has thinner ones); a
# large digit in fine pen would fade when it is scaled down.
MIN_STROKE = 1.2

# Ink is looked for in a picture of at most this many pixels a side ...
SEARCH_SIDE = 320
# ... and, if the digit is then smaller than this, once more in the part of the picture around it.
CLOSE_SIDE = 64

# Below this contrast (of 255) nothing is called ink: compression leaves such traces on blank paper.
MIN_CONTRAST = 14.0
# The contrast of the ink is that of its darkest pixels but for so many, which may be outliers.
OUTLIERS = 8
# A stroke must somewhere have this share of that contrast, and stand out of the noise by so many
# standard deviations (a normal distribution has 1 in 10^9 beyond 6); it is followed down to less.
SEED_SHARE, SEED_SIGMAS = 0.35, 6.0
EDGE_SHARE, EDGE_SIGMAS = 0.2, 3.0
# The box is drawn around what has this share of full ink, so that a blurred edge does not count.
BOX_LEVEL = 0.35

# A line is longer than this share of the picture at a stretch, thinner than that, ...
LINE_LENGTH, LINE_WIDTH = 1 / 6, 1 / 40
# ... and appears in so many of the columns it crosses (the strokes it meets interrupt it).
LINE_COVERAGE = 0.8

# A digit is at least so many pixels long, and so large a share of the picture.
MIN_LENGTH, MIN_LENGTH_SHARE = 3, 0.02
# Nor is it wider than so many times its height.
FLATTEST = 5
# What touches the edge is the digit only if nothing inside has this share of its ink.
INNER_SHARE = 0.2
# What fills so much of its box, and is no narrower than this, may be a sheet of paper on a desk:
# 1 in 1,000 of MNIST's training digits does (the others were measured on them too).
SHEET_FILL, SHEET_ASPECT = 0.68, 0.35
# So much of the sheet's shorter side is left out along its edges.
SHEET_EDGE = 0.04
# With nothing written on it, what fills this much of its box is no digit: 1 in 10,000 does.
BLANK_FILL = 0.85
# A frame fills less than this of its box, shows along each of its sides to such a depth in such a
# share of it, and has something of at least this share of its length inside. A 0 has nothing.
FRAME_FILL, FRAME_DEPTH, FRAME_COVERAGE, FRAMED_LENGTH = 0.2, 0.15, 0.6, 0.25
# A further stroke has at least this share of the largest one's ink, and is no further from the
# digit than this share of its length.
STROKE_SHARE, STROKE_GAP = 0.04, 0.35


@dataclass(frozen=True)
class FittedImage:
    """A picture as a model takes it.

    Attributes:
        pixels: uint8 array of shape (height, width, channels).
        empty: Nothing was found in the picture; the pixels are then plain background.
    """

    pixels: NDArray[np.uint8]
    empty: bool


@dataclass(frozen=True)
class _Ink:
    """A digit found: its ink (0 for none to 1 for full, all else removed) and its box in pixels."""

    level: Grey
    top: int
    bottom: int
    left: int
    right: int

    @property
    def length(self) -> int:
        return max(self.bottom - self.top, self.right - self.left)

    @property
    def breadth(self) -> int:
        return min(self.bottom - self.top, self.right - self.left)

    @property
    def fill(self) -> float:
        """The share of the box that is ink."""
        box = self.level[self.top : self.bottom, self.left : self.right]
        return float(np.mean(box > 0.5))


def fit_ink(
    grey: NDArray[np.uint8], height: int = 28, width: int = 28, polarity: str = "light-on-dark"
) -> FittedImage:
    """One handwritten digit, isolated, scaled and placed as MNIST's are.

    Args:
        grey: uint8 array of shape (H, W): one digit on light or dark paper, of any size.
        height: Height of the result.
        width: Width of the result.
        polarity: Of the result: "dark-on-light", or anything else for light strokes on dark.

    Returns:
        uint8 pixels of shape (height, width, 1). Blank paper, noise or a constant give
        ``empty=True``.
    """
    ink = _search(grey)
    return FittedImage(_fitted(ink, height, width, polarity), ink is None)


def fit_strokes(
    level: Grey, height: int = 28, width: int = 28, polarity: str = "light-on-dark"
) -> NDArray[np.uint8]:
    """A character whose strokes were found before, scaled and placed as MNIST's are.

    Args:
        level: float32 array of shape (H, W), 0 where there is no ink of it to 1 for full ink.
        height: Height of the result.
        width: Width of the result.
        polarity: As for `fit_ink`.

    Returns:
        uint8 pixels of shape (height, width, 1); plain background if there is no ink.
    """
    core = level > BOX_LEVEL
    rows, columns = np.flatnonzero(core.any(axis=1)), np.flatnonzero(core.any(axis=0))
    if not len(rows):
        return _fitted(None, height, width, polarity)
    box = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    return _fitted(_Ink(level, *box), height, width, polarity)


def _fitted(ink: _Ink | None, height: int, width: int, polarity: str) -> NDArray[np.uint8]:
    canvas = np.zeros((height, width), np.float32)
    if ink is not None:
        box = round(min(height, width) * BOX_SHARE)
        _place(_scale(_thicken(ink, MIN_STROKE * ink.length / box), box), canvas)
    pixels: NDArray[np.uint8] = np.rint(canvas * 255).astype(np.uint8)[:, :, np.newaxis]
    return np.bitwise_not(pixels) if polarity == "dark-on-light" else pixels


def _search(grey: NDArray[np.uint8], dark_paper: bool | None = None) -> _Ink | None:
    """The digit in a picture, None if there is none."""
    factor = min(-(-max(grey.shape) // SEARCH_SIDE), MAX_FACTOR, *grey.shape)
    picture = shrink(grey, factor).astype(np.float32)
    if dark_paper is None:
        dark_paper = paper_is_dark(picture)
    ink = _isolate(darkness(255 - picture if dark_paper else picture))
    if ink is not None and ink.fill > SHEET_FILL and ink.breadth > SHEET_ASPECT * ink.length:
        return _on_sheet(grey, ink, factor, dark_paper)
    if ink is None or factor == 1 or ink.length >= CLOSE_SIDE:
        return ink
    margin = ink.length // 2 + 2
    rows = slice(max(0, ink.top - margin) * factor, (ink.bottom + margin) * factor)
    columns = slice(max(0, ink.left - margin) * factor, (ink.right + margin) * factor)
    return _search(grey[rows, columns], dark_paper) or ink


def _on_sheet(grey: NDArray[np.uint8], sheet: _Ink, factor: int, dark_desk: bool) -> _Ink | None:
    """What is written on something solid, which may be a sheet of paper that lies on a desk.

    The desk was taken for paper and the sheet for ink, so on the sheet it is the other way round.
    """
    # The sheet's own edge is left out: its blur would look like a frame drawn around it.
    inset = round(SHEET_EDGE * sheet.breadth)
    rows = slice((sheet.top + inset) * factor, (sheet.bottom - inset) * factor)
    columns = slice((sheet.left + inset) * factor, (sheet.right - inset) * factor)
    inner = grey[rows, columns]
    written = _search(inner, not dark_desk) if inner.size else None
    if written is not None and written.fill < SHEET_FILL and not _touches_edge(written):
        return written
    return None if sheet.fill > BLANK_FILL else sheet


def _touches_edge(ink: _Ink) -> bool:
    """Whether ink reaches the picture's edge.

    Writing on a sheet does not, but what a digit leaves free of a picture that it fills does.
    """
    level = ink.level
    edges = (level[0], level[-1], level[:, 0], level[:, -1])
    return max(float(edge.max()) for edge in edges) > BOX_LEVEL


def _isolate(seen: Darkness) -> _Ink | None:
    """The digit's strokes, without noise, lines and specks; None if nothing looks like ink."""
    dark, noise = seen.dark, seen.noise * seen.gain
    clear = dark > np.maximum(MIN_CONTRAST * seen.gain, SEED_SIGMAS * noise)
    if np.count_nonzero(clear) < MIN_LENGTH:
        return None
    rank = max(0, dark.size - OUTLIERS)
    contrast = float(np.partition(dark, rank, axis=None)[rank])
    edge = np.maximum(EDGE_SHARE * contrast, EDGE_SIGMAS * noise)
    found = find_components(_without_lines(dark > edge))
    seeds = clear & (dark > SEED_SHARE * contrast)
    ink = np.where(found.sums(seeds) > 0, found.sums(dark), 0)
    chosen = _choose(found, _without_frames(found, ink))
    if not chosen.any():
        return None
    mask = found.mask(chosen)
    full = _full_level(dark[mask])
    core = mask & (dark > BOX_LEVEL * full)
    rows, columns = np.flatnonzero(core.any(axis=1)), np.flatnonzero(core.any(axis=0))
    # Without noise nothing is taken off, so that the palest grey of a clean picture stays.
    floor = np.minimum(2 * noise, 0.5 * edge)
    level = np.clip((dark - floor) / (full - floor), 0, 1)
    level[~grow(mask)] = 0
    return _Ink(level, int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _without_lines(mask: Mask) -> Mask:
    """A mask without straight thin lines across the whole picture, level or upright.

    Where a stroke crosses a line, the mask is thicker than the line, so the stroke stays whole.
    """
    thickness = int(max(mask.shape) * LINE_WIDTH) + 1
    for along, across in ((1, 0), (0, 1)):
        length = int(mask.shape[along] * LINE_LENGTH)
        if length > 2 * thickness:  # In a small picture a stroke would look like a line.
            line = open_along(mask, length, along) & ~open_along(mask, thickness + 1, across)
            if line.any(axis=across).mean() > LINE_COVERAGE:
                mask = mask & ~line
    return mask


def _without_frames(found: Components, ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ink in each component, 0 for a thin frame around others: a drawn one, or a sheet's edge.

    Args:
        found: All components.
        ink: The amount of ink in each.

    Returns:
        float64 array with one entry a component.
    """
    height, width = found.bottom - found.top, found.right - found.left
    length = np.maximum(height, width)
    kept = ink.copy()
    for outer in np.flatnonzero((ink > 0) & (found.area < FRAME_FILL * height * width)):
        inside = (
            (found.top > found.top[outer])
            & (found.bottom < found.bottom[outer])
            & (found.left > found.left[outer])
            & (found.right < found.right[outer])
        )
        if not (ink[inside & (length > FRAMED_LENGTH * length[outer])] > 0).any():
            continue
        mask = found.mask(np.arange(len(found)) == outer)
        box = mask[found.top[outer] : found.bottom[outer], found.left[outer] : found.right[outer]]
        depth = max(1, round(FRAME_DEPTH * min(box.shape)))
        bands = (
            box[:depth].any(0),
            box[-depth:].any(0),
            box[:, :depth].any(1),
            box[:, -depth:].any(1),
        )
        if min(band.mean() for band in bands) > FRAME_COVERAGE:
            kept[outer] = 0
    return kept


def _choose(found: Components, ink: NDArray[np.float64]) -> Mask:
    """Which components are the digit's strokes.

    Args:
        found: All components.
        ink: The amount of ink in each, 0 for those that are noise.

    Returns:
        bool array with one entry a component, all False if none can be a digit.
    """
    chosen = np.zeros(len(found), bool)
    height, width = found.shape
    length = np.maximum(found.bottom - found.top, found.right - found.left)
    shortest = max(MIN_LENGTH, MIN_LENGTH_SHARE * max(height, width))
    inside = (found.top > 0) & (found.left > 0) & (found.bottom < height) & (found.right < width)
    # No digit is as flat as this; a line from edge to edge in a small picture is.
    flat = found.right - found.left > FLATTEST * (found.bottom - found.top)
    large = np.where((length >= shortest) & ~flat, ink, 0)
    if not large.any():
        return chosen
    inner = np.where(inside, large, 0)
    first = int(np.argmax(inner if inner.max() > INNER_SHARE * large.max() else large))
    strokes = (ink > STROKE_SHARE * ink[first]) & (inside | ~inside[first])
    chosen[first] = True
    while True:
        top, bottom = found.top[chosen].min(), found.bottom[chosen].max()
        left, right = found.left[chosen].min(), found.right[chosen].max()
        gap = STROKE_GAP * max(bottom - top, right - left)
        near = (
            strokes
            & (found.top < bottom + gap)
            & (found.bottom > top - gap)
            & (found.left < right + gap)
            & (found.right > left - gap)
        )
        if not (near & ~chosen).any():
            return chosen
        chosen |= near


def _thicken(ink: _Ink, width: float) -> _Ink:
    """The digit with strokes of about `width` pixels, if they are thinner."""
    core = ink.level > 0.5
    # A stroke has two sides: its area is its length times its width, its outline twice its length.
    outline = np.count_nonzero(core & grow(~core))
    rounds = round((width - 2 * np.count_nonzero(core) / max(outline, 1)) / 2)
    if rounds < 1:
        return ink
    level = ink.level
    for _ in range(rounds):
        level = grow(level)
    top, left = max(0, ink.top - rounds), max(0, ink.left - rounds)
    bottom, right = (np.add((ink.bottom, ink.right), rounds)).clip(max=level.shape).tolist()
    return _Ink(level, top, bottom, left, right)


def _scale(ink: _Ink, box: int) -> Grey:
    """The digit's ink with the longer side of its box `box` pixels long."""
    scale = box / ink.length
    if 1 / SAME_SIZE < scale < SAME_SIZE:
        # One pixel more on each side: the palest grey of the edge lies outside the box.
        return ink.level[max(0, ink.top - 1) : ink.bottom + 1, max(0, ink.left - 1) : ink.right + 1]
    height = max(1, round((ink.bottom - ink.top) * scale))
    width = max(1, round((ink.right - ink.left) * scale))
    scaled = resample(ink.level[ink.top : ink.bottom, ink.left : ink.right], height, width)
    # A stroke thinner than an output pixel has become pale; MNIST's strokes never are.
    return np.minimum(scaled / _full_level(scaled), 1)


def _place(level: Grey, canvas: Grey) -> None:
    """Puts a digit on the canvas, its centre of mass in the pixel right and below of the middle.

    That is where MNIST has it: between 14 and 15 of 28 in all but one of its training images.
    What lies beyond the canvas is lost.
    """
    total = level.sum()
    places = []
    for axis, side in enumerate(canvas.shape):
        profile = level.sum(axis=1 - axis)
        centre = float(profile @ (np.arange(len(profile)) + 0.5) / total)
        start = side // 2 - int(centre)
        stop = min(side, start + len(profile))
        places.append((slice(max(0, start), stop), slice(max(0, -start), stop - start)))
    (rows, from_rows), (columns, from_columns) = places
    canvas[rows, columns] = level[from_rows, from_columns]


def _full_level(values: Grey) -> float:
    """The level of full ink: the 90th percentile of what has at least half the greatest level."""
    return float(np.percentile(values[values >= 0.5 * values.max()], 90))
