"""Arithmetic between pixels, real numbers and integers, as pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .errors import InputError

__all__ = ["dequantize", "normalize", "quantize", "softmax", "top_k"]


def normalize(
    pixels: NDArray[np.uint8], mean: Sequence[float], scale: Sequence[float]
) -> NDArray[np.float32]:
    """The model's real-valued input for 8-bit pixels: ``(pixel - mean) / scale``.

    This is the one definition of that arithmetic; training, conversion and the runtime all use it,
    mostly through `ModelContract.pixel_values`.

    Args:
        pixels: uint8, any shape; the last axis is the channel where `mean` has several values.
        mean: One value for all channels, or one for each, in pixel units (0 to 255).
        scale: Likewise; 255 with a mean of 0 gives the range 0 to 1.

    Returns:
        float32 array of the shape of `pixels`.

    >>> normalize(np.array([0, 51, 255], np.uint8), (0.0,), (255.0,)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    shifted = pixels.astype(np.float32) - np.asarray(mean, np.float32)
    return np.asarray(shifted / np.asarray(scale, np.float32), np.float32)


def quantize(values: ArrayLike, scale: float, zero_point: int, dtype: DTypeLike) -> NDArray[Any]:
    """Real values as integers: ``round(value / scale) + zero_point``, clipped to the type's range.

    The formula is that of the TensorFlow Lite quantization specification; halves are rounded away
    from zero, as its QUANTIZE kernel does with ``std::round``.

    Args:
        values: Real numbers, any shape.
        scale: Real step of one integer; positive.
        zero_point: The integer that stands for 0.0.
        dtype: int8, uint8 or int16.

    Returns:
        Array of `dtype`, the shape of `values`.

    Raises:
        InputError: `dtype` is not an integer type, `scale` is not positive, or a value is NaN.

    >>> quantize([-1.0, 0.0, 0.5, 9.0], 0.5, -128, "int8").tolist()
    [-128, -128, -127, -110]
    """
    target = np.dtype(dtype)
    if target.kind not in "iu":
        raise InputError(f"values cannot be quantized to {target}", "int8, uint8 or int16")
    if not scale > 0:
        raise InputError(f"a quantization scale of {scale} has no meaning", "a positive scale")
    steps = np.asarray(values, np.float64) / scale
    if np.isnan(steps).any():
        raise InputError("NaN cannot be quantized", "finite values")
    rounded = np.trunc(steps + np.copysign(0.5, steps)) + zero_point
    limits = np.iinfo(target)
    return np.asarray(np.clip(rounded, limits.min, limits.max), target)


def dequantize(values: NDArray[np.generic], scale: float, zero_point: int) -> NDArray[np.float32]:
    """Integers as real values: ``(value - zero_point) * scale``.

    Args:
        values: Integer array, any shape.
        scale: Real step of one integer.
        zero_point: The integer that stands for 0.0.

    Returns:
        float32 array of the shape of `values`.

    >>> dequantize(np.array([-128, 127], np.int8), 1 / 256, -128).tolist()
    [0.0, 0.99609375]
    """
    steps = values.astype(np.int32) - zero_point
    return np.asarray(steps * np.float32(scale), np.float32)


def softmax(logits: NDArray[Any], axis: int = -1) -> NDArray[np.float32]:
    """Probabilities from logits, shifted by the largest so that no exponential overflows.

    Args:
        logits: Real numbers, any shape.
        axis: The axis of the classes.

    Returns:
        float32 array of the same shape; sums to 1 along `axis`.

    >>> softmax(np.array([1000.0, 1000.0])).tolist()
    [0.5, 0.5]
    """
    wide = np.asarray(logits, np.float64)
    exponentials = np.exp(wide - wide.max(axis=axis, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=axis, keepdims=True), np.float32)


def top_k(scores: ArrayLike, k: int) -> NDArray[np.intp]:
    """Indices of the `k` largest scores, largest first; of equal scores the lower index first.

    Args:
        scores: One-dimensional, one score a class.
        k: How many; more than there are classes gives all of them.

    Returns:
        Indices, at most `k`.

    Raises:
        InputError: `k` is less than 1, or `scores` is not one-dimensional.

    >>> top_k([0.1, 0.4, 0.4, 0.1], 3).tolist()
    [1, 2, 0]
    """
    flat = np.asarray(scores, np.float64)
    if flat.ndim != 1:
        raise InputError(f"scores have the shape {flat.shape}", "one score a class")
    if k < 1:
        raise InputError(f"top-k is {k}", "a whole number from 1")
    return np.argsort(-flat, kind="stable")[:k]
