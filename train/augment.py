"""Changing images while training, as pure functions of images, random numbers and strengths.

Whoever trains on a network's behalf decides here what it will meet: `geometry` is how a person
writes and how well the picture was cut out, `optics` the pen, the camera and the paper. All random
numbers come from `draw`, so that one worker of several can draw for the whole batch and change only
its own images.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_runtime.resize import resample

from .config import TrainConfig

__all__ = ["Draws", "augment", "draw", "geometry", "optics", "smooth_field"]

# Control points a side of the elastic field: on 28 pixels one each 7, about a stroke's curl.
FIELD_POINTS = 5
# Widest blur: standard deviation 1 pixel, what is left of a digit scanned at 8x8 and enlarged.
BLUR_KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
# Sides that a coarse scan has left, as shares of the image's: a digit of MNIST fills 20 of 28
# pixels, so the smallest are those of a digit scanned at 7x7 or 8x8.
COARSE_SIDES = (0.36, 0.4, 0.44, 0.5, 0.6)
# A thinned stroke is brought back to its brightness, though never by more than this factor: what
# was erased to nearly nothing is noise.
MAX_GAIN = 2.5


class Draws(NamedTuple):
    """The random numbers for a batch, image by image: uniform from 0 to 1 but for `noise`.

    Attributes:
        geometry: float32 (N, 6).
        field: float32 (N, 2, FIELD_POINTS, FIELD_POINTS).
        optics: float32 (N, 7).
        noise: Standard normal, float32 (N, H, W, C).
        style: float32 (N, 8), for `train.handwriting`.
        negative: float32 (N, 4), for `train.negatives`.
        blob: float32 (N, 2, FIELD_POINTS, FIELD_POINTS), for `train.negatives`.
    """

    geometry: tf.Tensor
    field: tf.Tensor
    optics: tf.Tensor
    noise: tf.Tensor
    style: tf.Tensor
    negative: tf.Tensor
    blob: tf.Tensor


def draw(seed: tf.Tensor, count: tf.Tensor, shape: tuple[int, int, int]) -> Draws:
    """All the random numbers that a batch takes.

    Args:
        seed: int64 (2,); the same seed gives the same numbers.
        count: Images in the batch.
        shape: Height, width and channels of an image.
    """
    points = FIELD_POINTS**2
    sizes = [6, 2 * points, 7, 8, 4, 2 * points]
    uniform = tf.random.stateless_uniform([count, sum(sizes)], seed)
    moves, field, optic, style, negative, blob = tf.split(uniform, sizes, axis=1)
    grid = [-1, 2, FIELD_POINTS, FIELD_POINTS]
    # Another stream of the same seed.
    noise = tf.random.stateless_normal([count, *shape], seed + 2**32)
    return Draws(
        moves, tf.reshape(field, grid), optic, noise, style, negative, tf.reshape(blob, grid)
    )


def augment(images: tf.Tensor, draws: Draws, config: TrainConfig) -> tf.Tensor:
    """Changes each image by a random amount of everything that the configuration has strength for.

    Args:
        images: float32 (N, H, W, C), 0 to 1; for `stroke` and `contrast` light on dark.
        draws: Random numbers for as many images.
        config: Has the strengths.

    Returns:
        float32, same shape and range.
    """
    return optics(geometry(images, draws, config), draws, config)


def geometry(images: tf.Tensor, draws: Draws, config: TrainConfig) -> tf.Tensor:
    """Turns, scales, slants, moves and bends each image.

    Every amount is uniform between minus and plus its strength. The bending is that of Simard,
    Steinkraus and Platt, "Best Practices for Convolutional Neural Networks" (2003): a smooth field
    of random displacements, here a cubic B-spline through few control points. What comes in at an
    edge mirrors what is inside, which for handwriting is empty paper.

    Args:
        images: float32 (N, H, W, C), any range of values.
        draws: Of `draw`.
        config: `rotation_degrees`, `scale`, `shear`, `shift` and `elastic`.

    Returns:
        float32, same shape and range.
    """
    height, width = images.shape[1], images.shape[2]
    amount = 2 * tf.transpose(draws.geometry)[..., None, None] - 1
    angle = amount[0] * math.radians(config.rotation_degrees)
    scale_x, scale_y = 1 + amount[1] * config.scale, 1 + amount[2] * config.scale
    shear = amount[3] * config.shear
    y = tf.range(height, dtype=tf.float32)[None, :, None] - (height - 1) / 2
    x = tf.range(width, dtype=tf.float32)[None, None, :] - (width - 1) / 2
    # From a pixel of the result to one of the source, both seen from the centre: a scaling, a
    # slant and a rotation.
    slanted_x, slanted_y = scale_x * x + shear * scale_y * y, scale_y * y
    cos, sin = tf.cos(angle), tf.sin(angle)
    source_x = cos * slanted_x - sin * slanted_y + amount[4] * config.shift * width
    source_y = sin * slanted_x + cos * slanted_y + amount[5] * config.shift * height
    if config.elastic:
        bend = config.elastic * smooth_field(2 * draws.field - 1, height, width)
        source_x, source_y = source_x + bend[:, 0] * width, source_y + bend[:, 1] * height
    return _sample(images, source_y + (height - 1) / 2, source_x + (width - 1) / 2)


def optics(images: tf.Tensor, draws: Draws, config: TrainConfig) -> tf.Tensor:
    """Other pens, scanners and papers: stroke width, blur, contrast, coarse pixels and noise.

    Half the images keep their stroke width, half stay sharp and so on: the network has to read a
    plain scan best.

    Args:
        images: float32 (N, H, W, C), 0 to 1, light on dark.
        draws: Of `draw`.
        config: `stroke`, `blur`, `contrast`, `coarse` and `noise`.

    Returns:
        float32, same shape and range.
    """
    # Of each amount the lower half of the draws is 0, the upper rises from 0 to 1.
    width, blur, contrast, noise = (
        tf.nn.relu(2 * draws.optics[:, i, None, None, None] - 1) for i in range(4)
    )
    thinner = draws.optics[:, 4, None, None, None] < 0.5
    if config.stroke:
        images = tf.where(
            thinner,
            _thinned(images, config.stroke * width),
            _thickened(images, config.stroke * width),
        )
    if config.blur:
        images += config.blur * blur * (_blurred(images) - images)
    if config.contrast:
        # Harder, up to a scanner's black and white; or paler.
        hard = tf.clip_by_value((images - 0.5) * (1 + 4 * config.contrast * contrast) + 0.5, 0, 1)
        images = tf.where(thinner, images * (1 - 0.5 * config.contrast * contrast), hard)
    if config.coarse:
        images = _coarse(images, draws.optics[:, 5] < config.coarse, draws.optics[:, 6])
    if config.noise:
        images = tf.clip_by_value(images + config.noise * noise * draws.noise, 0, 1)
    return images


def smooth_field(points: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """A smooth surface over an image: the uniform cubic B-spline of a grid of control points.

    Args:
        points: float32 (N, K, P, P).
        height: Of the image.
        width: Of the image.

    Returns:
        float32 (N, K, height, width), within the range of the points.
    """
    rows = tf.constant(_spline_basis(height, FIELD_POINTS))
    columns = tf.constant(_spline_basis(width, FIELD_POINTS))
    return tf.einsum("hp,nkpq,wq->nkhw", rows, points, columns)


@functools.cache
def _spline_basis(side: int, points: int) -> NDArray[np.float32]:
    """Weights of `points` control points at each of `side` pixels: float32 (side, points)."""
    at = np.linspace(1, points - 2, side)  # the first and last point lie outside the image
    distance = np.abs(at[:, None] - np.arange(points))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - np.minimum(distance, 2)) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def _sample(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Bilinear values at positions (N, H, W) in pixels; outside, the image is mirrored."""
    count = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    y, x = _mirrored(y, height - 1), _mirrored(x, width - 1)
    top, left = tf.floor(y), tf.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    row, column = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    row_below, column_right = tf.minimum(row + 1, height - 1), tf.minimum(column + 1, width - 1)
    flat = tf.reshape(images, [-1, channels])
    first = tf.range(count)[:, None, None] * (height * width)

    def pixel(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        return tf.gather(flat, first + row * width + column)

    above = pixel(row, column) * (1 - right) + pixel(row, column_right) * right
    below = pixel(row_below, column) * (1 - right) + pixel(row_below, column_right) * right
    return above * (1 - down) + below * down


def _mirrored(position: tf.Tensor, last: int) -> tf.Tensor:
    """Positions brought into 0 to `last` by one reflection at either end."""
    return tf.clip_by_value(last - tf.abs(last - tf.abs(position)), 0, last)


def _thickened(images: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    return images + amount * (tf.nn.max_pool2d(images, 3, 1, "SAME") - images)


def _thinned(images: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    thin = images + amount * (-tf.nn.max_pool2d(-images, 3, 1, "SAME") - images)
    brightest = tf.reduce_max(images, axis=[1, 2, 3], keepdims=True)
    left = tf.reduce_max(thin, axis=[1, 2, 3], keepdims=True)
    return thin * tf.clip_by_value(brightest / tf.maximum(left, 1e-3), 1, MAX_GAIN)


def _coarse(images: tf.Tensor, chosen: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Shrinks the chosen images and enlarges them again, as the runtime does both."""
    rows = tf.where(chosen)
    few = tf.gather(images, rows[:, 0])
    which = tf.minimum(
        tf.cast(tf.gather(draws, rows[:, 0]) * len(COARSE_SIDES), tf.int32), len(COARSE_SIDES) - 1
    )
    down, across = (
        tf.gather(tf.constant(_there_and_back(side)), which) for side in images.shape[1:3]
    )
    seen = tf.einsum("nij,njkc,nlk->nilc", down, few, across)
    return tf.tensor_scatter_nd_update(images, rows, seen)


@functools.cache
def _there_and_back(side: int) -> NDArray[np.float32]:
    """Matrices that shrink one axis and enlarge it again: float32 (coarse sides, side, side)."""
    whole = np.eye(side, dtype=np.float32)
    return np.stack(
        [
            resample(resample(whole, max(1, round(share * side)), side), side, side)
            for share in COARSE_SIDES
        ]
    )


def _blurred(images: tf.Tensor) -> tf.Tensor:
    channels = images.shape[-1]
    kernel = tf.constant(np.outer(BLUR_KERNEL, BLUR_KERNEL), tf.float32)
    filters = tf.tile(kernel[:, :, None, None], [1, 1, channels, 1])
    return tf.nn.depthwise_conv2d(images, filters, [1, 1, 1, 1], "SAME")
