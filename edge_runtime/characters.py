"""From strokes to what may be characters: which strokes belong together.

Strokes that nearly meet form a group. A group is one character, broken or not, or several that
stand close. Which it is cannot be told from shapes alone, so every possible character is fitted and
shown to the model, and its answers decide (`page`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .morphology import Components, find_components, running
from .reading import Box
from .ruling import without_lines
from .strokes import Strokes

__all__ = [
    "Candidate",
    "Found",
    "Group",
    "find_groups",
    "is_edge",
    "level_of",
    "may_be_character",
    "owned",
]

Mask = NDArray[np.bool_]
Integers = NDArray[np.intp]
Bytes = NDArray[np.uint8]

# A stroke is at least so many pixels long and has so many pixels.
MIN_LENGTH, MIN_AREA = 5, 8
# So many of its pixels are certainly not noise.
MIN_CLEAR = 4
# In a picture no larger than this, a digit may reach the edge, and no line is looked for.
SMALL_PICTURE = 100
# A character is at least so many pixels tall (a 1 that lies would be a line).
MIN_HEIGHT = 8
# What is longer than this share of the picture is a line, a frame or the edge of a table, ...
LONGEST = 0.9
# ... and so is what is flatter than this.
FLATTEST = 3.0
# What fills so much of its box, and is no narrower than this, is a blot, a thumb or a shadow.
SOLID, SOLID_ASPECT = 0.85, 0.45
# A frame or a table's edge fills less than this of its box.
HOLLOW = 0.04
# Strokes nearly meet if the gap is at most this share of the characters' usual height.
MEETING = 0.1
# What is no character and longer than this share of the picture is an edge.
LARGE = 0.12
# Of the pixels so far around an edge, such a share is nearer to its own brightness than this.
RING, EDGE_SHARE, EDGE_LEVEL = 5, 0.2, 0.4
# Characters of which there is less ink than this share do not call for a closer look.
SMALL_SHARE = 0.15
# Only so many strokes make a group; more are a scribble or a texture, and are taken one by one.
MAX_STROKES = 6
# A part that is smaller than this share of its group's height is no character by itself.
MIN_PART = 0.35
# No picture holds more characters; noise does. OpenCV's sheet has 5,000.
MAX_GROUPS = 8000


@dataclass(frozen=True)
class Candidate:
    """What may be a character: some strokes of a group, or a part of one.

    Attributes:
        strokes: Its components, sorted from left to right, by their number in the picture.
        box: Around its ink, in pixels of the searched picture.
        area: Pixels of ink.
        cut: None, or for a part of strokes that touch: which of the pixels in `box` are its own.
    """

    strokes: tuple[int, ...]
    box: Box
    area: int
    cut: Mask | None = None


@dataclass(frozen=True)
class Group:
    """Strokes that nearly meet, and all characters they may be.

    Attributes:
        strokes: Its components from left to right.
        candidates: Each possible character.
        at_edge: It nearly meets something that is none, as large as a table's edge.
    """

    strokes: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    at_edge: bool


@dataclass(frozen=True)
class Found:
    """The groups in a picture, with what is needed to fit them.

    Attributes:
        groups: In no special order.
        numbers: int32 (H, W): the component of each pixel plus 1, 0 for none.
        dark: uint8 (H, W), see `Strokes`.
        picture: uint8 (H, W), dark strokes on light.
        height: The usual height of a character in pixels, 0 if there is none.
        small_height: The height below which there are few characters, by their ink.
    """

    groups: list[Group]
    numbers: NDArray[np.int32]
    dark: Bytes
    picture: Bytes
    height: float
    small_height: float


def find_groups(strokes: Strokes, character: float | None = None) -> Found:
    """Finds what may be characters.

    Args:
        strokes: What was found on a picture.
        character: How tall its characters are in pixels, if that is known.

    Returns:
        The groups.
    """
    mask = strokes.mask
    if max(mask.shape) > SMALL_PICTURE:
        mask = without_lines(strokes, character)
    found = find_components(mask)
    _, start, stop, component = found.runs
    pixels = np.flatnonzero(mask)
    owner = np.repeat(component, stop - start)
    clear = np.bincount(owner, strokes.clear.reshape(-1)[pixels], len(found))
    kept = _kept(found) & (clear >= MIN_CLEAR)
    chosen = np.flatnonzero(kept)
    if len(chosen) > 4 * MAX_GROUPS:
        chosen = np.sort(chosen[np.argsort(-found.area[chosen])[: 4 * MAX_GROUPS]])
    height = (found.bottom - found.top)[chosen]
    wide = (found.right - found.left)[chosen]
    likely = (height >= MIN_HEIGHT) & (wide < 1.5 * height)
    usual = float(np.median(height[likely])) if likely.any() else 0.0
    small = _small(height[likely], found.area[chosen][likely]) if likely.any() else 0.0
    numbers = np.zeros(mask.shape, np.int32)
    numbers.reshape(-1)[pixels] = owner + 1
    groups = []
    for members, at_edge in _near(mask, found, chosen, usual):
        group = _group(found, members, at_edge)
        if group is not None:
            groups.append(group)
        if len(groups) == MAX_GROUPS:
            break
    return Found(groups, numbers, strokes.dark, strokes.picture, usual, small)


def _small(height: Integers, area: Integers) -> float:
    """The height that only `SMALL_SHARE` of the ink is below: specks have little ink."""
    order = np.argsort(height)
    ink = np.cumsum(area[order])
    return float(height[order][np.searchsorted(ink, SMALL_SHARE * ink[-1])])


def level_of(found: Found, candidate: Candidate) -> tuple[NDArray[np.float32], float]:
    """A candidate's ink alone, float32 from 0 to 1, with a margin of two pixels around its box."""
    x, y, width, height = candidate.box
    margin = 2
    top, left = max(0, y - margin), max(0, x - margin)
    rows, columns = slice(top, y + height + margin), slice(left, x + width + margin)
    numbers, dark = found.numbers[rows, columns], found.dark[rows, columns]
    own = owned(numbers, candidate.strokes)
    if candidate.cut is not None:
        inner = np.zeros_like(own)
        inner[y - top : y - top + height, x - left : x - left + width] = candidate.cut
        own &= inner
    values = np.sort(dark[own])
    full = max(1.0, float(values[int(len(values) * 0.85)]))
    # The blurred edge of a stroke lies outside of the mask; other strokes' do, too.
    around = running(running(own, 3, np.maximum, 0), 3, np.maximum, 1)
    around &= own | (numbers == 0)
    level = np.minimum(dark * np.float32(1 / full), np.float32(1))
    level *= around
    return level, full


def is_edge(found: Found, candidate: Candidate) -> bool:
    """Whether what looks like a stroke is the edge of something, with paper on one side alone.

    Args:
        found: The groups in a picture.
        candidate: One of them.

    Returns:
        True if too much of what surrounds it is as dark as it is.
    """
    x, y, width, height = candidate.box
    top, left = max(0, y - RING), max(0, x - RING)
    rows, columns = slice(top, y + height + RING), slice(left, x + width + RING)
    numbers, picture = found.numbers[rows, columns], found.picture[rows, columns]
    own = owned(numbers, candidate.strokes)
    inner = outer = own
    for axis in (0, 1):
        inner = running(inner, 2 * RING - 3, np.maximum, axis)
        outer = running(outer, 2 * RING + 1, np.maximum, axis)
    around = picture[outer & ~inner & (numbers == 0)]
    if not len(around):
        return False
    inside, around = np.sort(picture[own]), np.sort(around)
    ink, paper = float(inside[int(len(inside) * 0.3)]), float(around[int(len(around) * 0.75)])
    return bool(np.mean(around < ink + EDGE_LEVEL * (paper - ink)) > EDGE_SHARE)


def owned(numbers: NDArray[np.int32], strokes: tuple[int, ...]) -> Mask:
    """Which pixels belong to some strokes."""
    own: Mask = numbers == strokes[0] + 1
    for stroke in strokes[1:]:
        own |= numbers == stroke + 1
    return own


def _kept(found: Components) -> Mask:
    """Which components may be strokes of characters."""
    height, width = found.shape
    tall, wide = found.bottom - found.top, found.right - found.left
    longest = np.maximum(tall, wide)
    fill = found.area / (tall * wide)
    inside = (found.top > 0) & (found.left > 0) & (found.bottom < height) & (found.right < width)
    small_picture = max(height, width) <= SMALL_PICTURE
    blot = (fill > SOLID) & (np.minimum(tall, wide) > SOLID_ASPECT * longest)
    kept: Mask = (
        (longest >= MIN_LENGTH)
        & (found.area >= MIN_AREA)
        & (inside | small_picture)
        & (longest <= LONGEST * max(height, width))
        & ~(blot & (longest > 12))
        & (fill > HOLLOW)
    )
    return kept


def _near(
    mask: Mask, found: Components, chosen: Integers, height: float
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """The chosen components in groups of those that nearly meet, and whether at an edge."""
    if not len(chosen):
        return
    reach = max(1, round(MEETING * height / 2))
    joined_mask = mask
    for axis in (0, 1):
        joined_mask = running(joined_mask, 2 * reach + 1, np.maximum, axis)
    joined = find_components(joined_mask)
    # A component's first run begins inside a run of the joined mask.
    stride = mask.shape[1] + 1
    first = np.unique(found.runs[3], return_index=True)[1]
    places = found.runs[0][first] * stride + found.runs[1][first]
    positions = joined.runs[0] * stride + joined.runs[1]
    owner = joined.runs[3][np.searchsorted(positions, places, "right") - 1]
    large = np.maximum(found.bottom - found.top, found.right - found.left) > LARGE * max(mask.shape)
    large[chosen] = False
    edges = np.zeros(len(joined), bool)
    edges[owner[large]] = True
    whole = owner[chosen]
    order = np.argsort(whole, kind="stable")
    for part in np.split(chosen[order], np.flatnonzero(np.diff(whole[order])) + 1):
        middle = found.left[part] + found.right[part]
        members = tuple(part[np.argsort(middle, kind="stable")].tolist())
        at_edge = bool(edges[owner[members[0]]])
        if len(members) <= MAX_STROKES:
            yield members, at_edge
        else:
            yield from (((member,), at_edge) for member in members)


def _group(found: Components, members: tuple[int, ...], at_edge: bool) -> Group | None:
    """All characters that some strokes may be, None if they can be none."""
    candidates: list[Candidate] = []
    tallest = max(int(found.bottom[m] - found.top[m]) for m in members)
    for first in range(len(members)):
        for last in range(first + 1, len(members) + 1):
            part = members[first:last]
            box = _box(found, part)
            if not may_be_character(box, tallest):
                continue
            area = int(found.area[list(part)].sum())
            candidates.append(Candidate(part, box, area))
    if not candidates:
        return None
    return Group(members, tuple(candidates), at_edge)


def may_be_character(box: Box, tallest: int) -> bool:
    """Whether a part of something `tallest` pixels tall has the size and shape of a character."""
    return box.height >= max(MIN_HEIGHT, MIN_PART * tallest) and box.width <= FLATTEST * box.height


def _box(found: Components, members: tuple[int, ...]) -> Box:
    left = min(int(found.left[m]) for m in members)
    top = min(int(found.top[m]) for m in members)
    right = max(int(found.right[m]) for m in members)
    bottom = max(int(found.bottom[m]) for m in members)
    return Box(left, top, right - left, bottom - top)
