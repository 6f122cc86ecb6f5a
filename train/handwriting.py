"""Digits as they are written elsewhere: the crossed 7, the 1 with a flag and a foot.

MNIST was written in the United States; such digits are rare in it and common in the world. A few
pen strokes turn its 1s and 7s into them.
"""

from __future__ import annotations

import math

import tensorflow as tf

__all__ = ["european", "segment"]

# Pixels this bright belong to the stroke.
INK = 0.5


def european(
    images: tf.Tensor, ones: tf.Tensor, sevens: tf.Tensor, draws: tf.Tensor, share: float
) -> tf.Tensor:
    """Crosses some 7s, and gives some 1s a flag or a flag and a foot.

    Args:
        images: float32 (N, H, W, 1), 0 to 1, light on dark.
        ones: bool (N,), which images show a 1.
        sevens: bool (N,), which show a 7.
        draws: float32 (N, 8), uniform from 0 to 1.
        share: Of the 1s and 7s, 0 to 1.

    Returns:
        float32, same shape and range.
    """
    rows = tf.where((draws[:, 0] < share) & (ones | sevens))
    ink, sevens, draws = (tf.gather(v, rows[:, 0]) for v in (images[..., 0], sevens, draws))
    height, width = ink.shape[1], ink.shape[2]
    has_ink = tf.cast(tf.reduce_max(ink, axis=2) > INK, tf.float32)  # (N, H)
    lines = tf.range(height, dtype=tf.float32)
    top = tf.reduce_min(tf.where(has_ink > 0, lines, float(height)), axis=1)
    bottom = tf.reduce_max(has_ink * lines, axis=1)
    tall = bottom - top
    # Lengths follow the digit's height: MNIST's are 20 pixels tall.
    unit = tall / 20

    _, bar_at, half, slope, flag_length, flag_angle, foot, pen = tf.unstack(draws, axis=1)
    pen_width = (1.5 + 1.5 * pen) * unit

    middle = top + (0.42 + 0.2 * bar_at) * tall
    half = (3 + 2.5 * half) * unit
    rise = (slope - 0.5) * 0.6 * half
    at = _column_of_stroke(ink, middle)
    bar = segment((middle + rise, at - half), (middle - rise, at + half), pen_width, height, width)

    tip = _column_of_stroke(ink, top + unit)
    angle = math.pi * (1 / 6 + flag_angle / 5)
    length = (4 + 4 * flag_length) * unit
    flag = segment(
        (top + unit, tip),
        (top + unit + length * tf.sin(angle), tip - length * tf.cos(angle)),
        pen_width, height, width,
    )  # fmt: skip
    base = _column_of_stroke(ink, bottom - unit)
    line = segment((bottom, base - half), (bottom, base + half), pen_width, height, width)
    line *= tf.cast(foot < 0.5, tf.float32)[:, None, None]

    added = tf.where(sevens[:, None, None], bar, tf.maximum(flag, line))
    return tf.tensor_scatter_nd_update(images, rows, tf.maximum(ink, added)[..., None])


def segment(
    start: tuple[tf.Tensor, tf.Tensor],
    end: tuple[tf.Tensor, tf.Tensor],
    pen_width: tf.Tensor,
    height: int,
    width: int,
) -> tf.Tensor:
    """A straight pen stroke in each image, its edge one pixel soft.

    Args:
        start: Row and column, each float32 (N,).
        end: Likewise.
        pen_width: In pixels, float32 (N,).
        height: Of the images.
        width: Of the images.

    Returns:
        float32 (N, height, width), 0 to 1.
    """
    (y0, x0), (y1, x1) = ([value[:, None, None] for value in point] for point in (start, end))
    y = tf.range(height, dtype=tf.float32)[None, :, None]
    x = tf.range(width, dtype=tf.float32)[None, None, :]
    along_y, along_x = y1 - y0, x1 - x0
    squared = tf.maximum(along_y**2 + along_x**2, 1e-6)
    part = tf.clip_by_value(((y - y0) * along_y + (x - x0) * along_x) / squared, 0, 1)
    distance = tf.sqrt((y - y0 - part * along_y) ** 2 + (x - x0 - part * along_x) ** 2)
    return tf.clip_by_value(pen_width[:, None, None] / 2 + 0.5 - distance, 0, 1)


def _column_of_stroke(ink: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Where the stroke is in one row of each image: the ink's mean column, float32 (N,)."""
    height, width = ink.shape[1], ink.shape[2]
    index = tf.clip_by_value(tf.cast(tf.round(row), tf.int32), 0, height - 1)
    line = tf.gather(ink, index, axis=1, batch_dims=1)
    columns = tf.range(width, dtype=tf.float32)
    mass = tf.reduce_sum(line, axis=1)
    centre = tf.reduce_sum(line * columns, axis=1) / tf.maximum(mass, 1e-3)
    return tf.where(mass > 1e-3, centre, (width - 1) / 2)
