"""Changing images a little while training, as a pure function of images, strengths and seed."""

from __future__ import annotations

import math

import tensorflow as tf

from .config import TrainConfig

__all__ = ["affine"]


def affine(images: tf.Tensor, seed: tf.Tensor, config: TrainConfig) -> tf.Tensor:
    """Turns, scales, slants and moves each image by a random amount.

    Every amount is uniform between minus and plus its strength. What comes in at an edge mirrors
    what is inside, which for handwriting is empty paper.

    Args:
        images: float32 (N, H, W, C), any range of values.
        seed: int64 (2,); the same seed gives the same images.
        config: Has the strengths: `rotation_degrees`, `scale`, `shear`, `shift`.

    Returns:
        float32, same shape and range.
    """
    count, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    draw = tf.random.stateless_uniform([6, count], seed, -1.0, 1.0)
    angle = draw[0] * math.radians(config.rotation_degrees)
    scale_x, scale_y = 1.0 + draw[1] * config.scale, 1.0 + draw[2] * config.scale
    shear = draw[3] * config.shear
    side_x, side_y = tf.cast(width, tf.float32), tf.cast(height, tf.float32)
    shift_x, shift_y = draw[4] * config.shift * side_x, draw[5] * config.shift * side_y

    # The matrix leads from a pixel of the result to one of the source, both seen from the centre:
    # a rotation after a slant after a scaling.
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos * scale_x, (cos * shear - sin) * scale_y
    c, d = sin * scale_x, (sin * shear + cos) * scale_y
    centre_x, centre_y = (side_x - 1) / 2, (side_y - 1) / 2
    transforms = tf.stack(
        [
            a, b, centre_x - a * centre_x - b * centre_y + shift_x,
            c, d, centre_y - c * centre_x - d * centre_y + shift_y,
            tf.zeros_like(a), tf.zeros_like(a),
        ],
        axis=1,
    )  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
