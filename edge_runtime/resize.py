"""Changing the size of a picture with NumPy alone.

Preprocessing must give the same pixels in training and on a device without OpenCV, so it is here
once. Shrinking averages over the exact area that an output pixel covers (fractions of a pixel count
by their share), which neither aliases nor blurs; enlarging interpolates linearly.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["MAX_FACTOR", "resample", "resize", "shrink"]

MAX_FACTOR = 16
"""The largest factor of `shrink`: the sum of 16 x 16 pixels still fits in 16 bits."""


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture in another size, its sides changed independently.

    Args:
        image: uint8 array of shape (H, W) or (H, W, C).
        height: New height in pixels, at least 1.
        width: New width in pixels, at least 1.

    Returns:
        uint8 array of shape (height, width) or (height, width, C); the image itself where it has
        that size already.

    Raises:
        InputError: The image is not of such a shape and dtype, or a side is not at least 1.

    >>> resize(np.array([[0, 100], [100, 200]], np.uint8), 1, 1).tolist()
    [[100]]
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise InputError(
            f"the picture is {image.dtype}{list(image.shape)}", "uint8[H, W] or uint8[H, W, C]"
        )
    if height < 1 or width < 1:
        raise InputError(f"the new size is {height}x{width}", "sides of at least 1 pixel")
    if image.shape[:2] == (height, width):
        return image
    return np.rint(resample(image, height, width)).astype(np.uint8)


def resample(image: NDArray[np.generic], height: int, width: int) -> NDArray[np.float32]:
    """`resize` without rounding and without checks, for pixels of any real dtype.

    Args:
        image: Array of shape (H, W) or (H, W, C).
        height: New height in pixels, at least 1.
        width: New width in pixels, at least 1.

    Returns:
        float32 array of shape (height, width) or (height, width, C).
    """
    rows = _resample_rows(image.reshape(image.shape[0], -1), height)
    rows = rows.reshape(height, image.shape[1], -1)
    # The second pass works on what is already small, so the order is free; this one is contiguous.
    across: NDArray[np.float32] = np.matmul(_weights(image.shape[1], width), rows)
    return across.reshape(height, width, *image.shape[2:])


def shrink(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """A picture made smaller by a whole factor: the mean of each block of factor by factor pixels.

    Much faster than `resize` on a photo. A last incomplete row or column of blocks is dropped.

    Args:
        image: uint8 array of shape (H, W) or (H, W, C), each side at least `factor`.
        factor: From 1 (the image itself) to `MAX_FACTOR`.

    Returns:
        uint8 array with the first two sides divided by `factor`, rounded down.

    >>> shrink(np.array([[0, 4, 8], [4, 8, 8]], np.uint8), 2).tolist()
    [[4]]
    """
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    # Whole rows first: they are contiguous in memory.
    rows = image[0 : height * factor : factor].astype(np.uint16)
    for offset in range(1, factor):
        rows += image[offset : height * factor : factor]
    blocks = rows[:, 0 : width * factor : factor].copy()
    for offset in range(1, factor):
        blocks += rows[:, offset : width * factor : factor]
    return ((blocks + factor * factor // 2) // (factor * factor)).astype(np.uint8)


def _resample_rows(image: NDArray[np.generic], height: int) -> NDArray[np.float32]:
    """Changes the first axis. Row by row, so that a photo is never held whole as floats."""
    weights = _weights(image.shape[0], height)
    if image.shape[0] <= 4 * height:
        return weights @ image.astype(np.float32)
    result = np.empty((height, image.shape[1]), np.float32)
    for row, weight in enumerate(weights):
        used = np.flatnonzero(weight)
        part = slice(used[0], used[-1] + 1)
        np.matmul(weight[part], image[part].astype(np.float32), out=result[row])
    return result


@lru_cache(maxsize=64)
def _weights(size: int, new_size: int) -> NDArray[np.float32]:
    """Each output pixel's weights on the input pixels along one axis: (new_size, size), rows sum 1.

    The share of the output pixel's area that an input pixel covers when shrinking; when enlarging,
    the linear weights of the two pixels beside its centre, the first and last pixel repeated
    beyond the edge.
    """
    step = size / new_size
    places = np.arange(size)
    if step >= 1:
        start = np.arange(new_size)[:, np.newaxis] * step
        weights = np.minimum(start + step, places + 1) - np.maximum(start, places)
    else:
        centre = np.clip((np.arange(new_size) + 0.5) * step - 0.5, 0, size - 1)
        weights = 1 - np.abs(centre[:, np.newaxis] - places)
    weights = np.maximum(weights, 0)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    shares.flags.writeable = False
    return shares
