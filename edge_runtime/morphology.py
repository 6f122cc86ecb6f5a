"""Shapes in pictures, with NumPy alone: connected components, and opening and closing.

For components a mask is taken apart into runs, the unbroken stretches of its rows; there are few
of them, and runs of neighbouring rows that touch are joined by union-find on whole arrays. Running
maxima and minima double their window at each step, so a wide one costs hardly more than a narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components", "close_dark", "find_components", "grow", "open_along", "running"]

Value = TypeVar("Value", np.bool_, np.float32)
Integers = NDArray[np.intp]
Mask = NDArray[np.bool_]
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Components:
    """The 8-connected components of a mask; every array but `runs` has one entry a component.

    Attributes:
        shape: The mask's height and width.
        runs: Row, first column, column after the last, and component of every run: (4, runs).
        area: Number of pixels.
        top: First row.
        bottom: Row after the last.
        left: First column.
        right: Column after the last.
    """

    shape: tuple[int, int]
    runs: Integers
    area: Integers
    top: Integers
    bottom: Integers
    left: Integers
    right: Integers

    def __len__(self) -> int:
        return len(self.area)

    def sums(self, values: Grey | Mask) -> NDArray[np.float64]:
        """The sum of `values` (of the mask's shape) over each component."""
        row, start, stop, component = self.runs
        # One zero a row, so that a run that ends at the edge has a cumulative sum to end on.
        total = np.zeros((self.shape[0], self.shape[1] + 1))
        np.cumsum(values, axis=1, dtype=np.float64, out=total[:, 1:])
        sums = np.bincount(component, total[row, stop] - total[row, start], len(self))
        return sums.astype(np.float64, copy=False)

    def mask(self, chosen: Mask) -> Mask:
        """The mask with the `chosen` components alone."""
        row, start, stop, component = self.runs
        kept = chosen[component]
        steps = np.zeros((self.shape[0], self.shape[1] + 1), np.int8)
        steps[row[kept], start[kept]] = 1
        steps[row[kept], stop[kept]] = -1
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool)


def find_components(mask: Mask) -> Components:
    """Finds the components of a mask; pixels that touch at a corner are connected.

    Args:
        mask: bool array of shape (H, W).

    Returns:
        The components, none for an empty mask, in the order of their first pixel.

    >>> found = find_components(np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool))
    >>> found.area.tolist(), found.left.tolist()
    ([2, 2], [0, 3])
    """
    height, width = mask.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1).ravel()
    # A row of `steps` has width + 1 entries: position = row * (width + 1) + column.
    first, after = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    component = _join(first, after, width + 1)
    row, start = np.divmod(first, width + 1)
    stop = after - row * (width + 1)
    count = int(component.max()) + 1 if len(component) else 0
    top, left = np.full(count, height), np.full(count, width)
    bottom, right = np.zeros(count, np.intp), np.zeros(count, np.intp)
    np.minimum.at(top, component, row)
    np.maximum.at(bottom, component, row + 1)
    np.minimum.at(left, component, start)
    np.maximum.at(right, component, stop)
    area = np.bincount(component, stop - start, count).astype(np.intp)
    runs = np.stack([row, start, stop, component])
    return Components((height, width), runs, area, top, bottom, left, right)


def _join(first: Integers, after: Integers, stride: int) -> Integers:
    """The component of each run, numbered from 0 in the order of first runs."""
    # The runs of the next row that touch run i, corners included, are consecutive: those that end
    # at or after its first column and begin at or before the column after its last.
    low = np.searchsorted(after, first + stride, side="left")
    high = np.searchsorted(first, after + stride, side="right")
    counts = np.maximum(high - low, 0)
    upper = np.repeat(np.arange(len(first)), counts)
    offsets = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    lower = np.repeat(low, counts) + offsets
    parent = np.arange(len(first))
    while len(upper):
        a, b = parent[upper], parent[lower]
        apart = a != b
        if not apart.any():
            break
        upper, lower, a, b = upper[apart], lower[apart], a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
    component: Integers = np.unique(parent, return_inverse=True)[1]
    return component


def grow(values: NDArray[Value]) -> NDArray[Value]:
    """The largest value among each pixel and its eight neighbours; for a mask, one pixel more."""
    return _running(_running(values, 3, np.maximum, 0), 3, np.maximum, 1)


def open_along(mask: Mask, length: int, axis: int) -> Mask:
    """The parts of a mask that are at least `length` pixels long along an axis.

    Args:
        mask: bool array of shape (H, W).
        length: In pixels; what reaches the edge counts as long enough.
        axis: 0 for vertical, 1 for horizontal.

    Returns:
        bool array of the same shape.

    >>> open_along(np.array([[0, 1, 0, 1, 1, 1, 0]], bool), 3, axis=1).astype(int).tolist()
    [[0, 0, 0, 1, 1, 1, 0]]
    """
    eroded = _running(mask, length, np.minimum, axis)
    return _running(eroded, length, np.maximum, axis, before=length // 2)


def close_dark(picture: Grey, size: int) -> Grey:
    """The picture with everything dark and narrower than `size` filled up from its surroundings.

    This is the grey-scale closing by a square (maximum, then minimum). Beyond the edges the picture
    is continued where it darkens outwards, so that lighting that falls off there is no valley.

    Args:
        picture: float32 array of shape (H, W).
        size: Side of the square in pixels.

    Returns:
        float32 array of the same shape, nowhere darker than `picture`.
    """
    height, width = picture.shape
    pads = [min(size // 2, side - 1) for side in (height, width)]
    wide = _continue_outwards(_continue_outwards(picture, pads[0], 0), pads[1], 1)
    for operation, before in ((np.maximum, (size - 1) // 2), (np.minimum, size // 2)):
        for axis in (0, 1):
            wide = _running(wide, size, operation, axis, before)
    return wide[pads[0] : pads[0] + height, pads[1] : pads[1] + width]


def running(values: NDArray[Any], size: int, operation: np.ufunc, axis: int) -> NDArray[Any]:
    """The largest or smallest value in a window around each pixel, along one axis.

    Args:
        values: Array of shape (H, W), of bytes or truth values.
        size: Of the window, an odd number of pixels; at the edges it is cut.
        operation: `np.maximum` or `np.minimum`.
        axis: 0 for up and down, 1 for across.

    Returns:
        Array of the same shape and dtype.
    """
    before = (size - 1) // 2
    neutral = 0 if operation is np.maximum else 255
    shape = list(values.shape)
    shape[axis] += size - 1
    padded = np.full(shape, neutral, values.dtype)
    # Along the rows too: a transposed copy would cost more than all comparisons.
    across = (slice(None),) * axis
    padded[(*across, slice(before, before + values.shape[axis]))] = values
    have = 1
    while have < size:
        step = min(have, size - have)
        padded = operation(padded[(*across, slice(-step))], padded[(*across, slice(step, None))])
        have += step
    return padded


def _continue_outwards(picture: Grey, width: int, axis: int) -> Grey:
    """Adds `width` pixels at both ends: the edge's value less what the mirrored pixels rise."""
    lines = np.moveaxis(picture, axis, 0)
    first, last = lines[:1], lines[-1:]
    before = first - np.maximum(lines[1 : width + 1][::-1] - first, 0)
    after = last - np.maximum(lines[-width - 1 : -1][::-1] - last, 0)
    return np.moveaxis(np.concatenate([before, lines, after] if width else [lines]), 0, axis)


def _running(
    values: NDArray[Any], size: int, operation: np.ufunc, axis: int, before: int | None = None
) -> NDArray[Any]:
    """Maximum or minimum over a window that starts `before` pixels earlier, cut at the edges."""
    before = (size - 1) // 2 if before is None else before
    lines = np.moveaxis(values, axis, 0)
    # What never wins is not there.
    neutral = lines.min() if operation is np.maximum else lines.max()
    shape = (len(lines) + size - 1, *lines.shape[1:])
    padded = np.full(shape, neutral, lines.dtype)
    padded[before : before + len(lines)] = lines
    have = 1
    while have < size:
        step = min(have, size - have)
        padded = operation(padded[:-step], padded[step:])
        have += step
    return np.moveaxis(padded, 0, axis)
