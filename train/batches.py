"""From 8-bit images in memory to batches of model inputs.

The order of images and their augmentation are functions of (seed, epoch, step) alone, never of what
ran before: a run repeats exactly, and one that is resumed goes on as if it had not stopped.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .augment import affine
from .config import TrainConfig
from .dataset import Images, Labels

__all__ = ["evaluation_batches", "model_inputs", "steps_per_epoch", "training_batches"]

# Without gradients to keep, larger batches fit; beyond this they are no faster on two cores.
EVALUATION_BATCH = 256


def steps_per_epoch(images: int, config: TrainConfig) -> int:
    """Batches in an epoch; the last may be smaller than the others."""
    return math.ceil(images / config.batch_size)


def training_batches(
    x: Images, y: Labels, table: NDArray[np.float32], classes: int, config: TrainConfig,
    epoch: tf.Variable,
) -> tf.data.Dataset:  # fmt: skip
    """One epoch of shuffled and, if the configuration says so, augmented batches.

    Args:
        x: uint8 (N, H, W, C).
        y: int64 (N,).
        table: The model's input for each pixel value, `ModelContract.pixel_values`.
        classes: Number of classes.
        config: Gives batch size, seed and augmentation.
        epoch: int64 scalar; read each time the data set is iterated over.

    Returns:
        Batches of float32 (B, H, W, C) and one-hot float32 (B, classes).
    """
    images, labels, values = tf.constant(x), tf.constant(y), tf.constant(table)
    steps = steps_per_epoch(len(y), config)

    def indices_of_epoch(_: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(y)), tf.stack([tf.constant(config.seed, tf.int64), epoch])
        )
        batches = tf.data.Dataset.from_tensor_slices(order).batch(config.batch_size)
        first_step = epoch * steps
        return batches.enumerate().map(lambda step, indices: (first_step + step, indices))

    def batch(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = model_inputs(tf.gather(images, indices), values)
        if config.augments:
            inputs = affine(inputs, tf.stack([tf.constant(config.seed, tf.int64), step]), config)
        return inputs, tf.one_hot(tf.gather(labels, indices), classes)

    return (
        tf.data.Dataset.range(1)
        .flat_map(indices_of_epoch)
        .map(batch)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_batches(
    x: Images, y: Labels, table: NDArray[np.float32], classes: int
) -> tf.data.Dataset:
    """Batches in the order of the images, unchanged.

    Args:
        x: uint8 (N, H, W, C).
        y: int64 (N,).
        table: The model's input for each pixel value.
        classes: Number of classes.

    Returns:
        Batches of float32 (B, H, W, C) and one-hot float32 (B, classes).
    """
    values = tf.constant(table)
    return (
        tf.data.Dataset.from_tensor_slices((x, y))
        .batch(EVALUATION_BATCH)
        .map(lambda images, labels: (model_inputs(images, values), tf.one_hot(labels, classes)))
        .prefetch(tf.data.AUTOTUNE)
    )


def model_inputs(images: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Looks each 8-bit value up: the preprocessing of the runtime, on a batch.

    Args:
        images: uint8 (N, H, W, C).
        table: float32 (256, C).

    Returns:
        float32 (N, H, W, C).
    """
    channels = [
        tf.gather(table[:, channel], tf.cast(images[..., channel], tf.int32))
        for channel in range(table.shape[1])
    ]
    return tf.stack(channels, axis=-1)
