"""From 8-bit images in memory to batches of model inputs.

The order of images and their augmentation are functions of (seed, epoch, step) alone, never of what
ran before: a run repeats exactly, and one that is resumed goes on as if it had not stopped. Nor do
they depend on how many workers share a batch: each draws the numbers for all of it and takes its
rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .augment import Draws, augment, draw
from .cluster import ALONE, Worker
from .config import TrainConfig
from .dataset import Images, Labels
from .handwriting import european
from .negatives import with_negatives

__all__ = [
    "Worker", "changed", "evaluation_batches", "model_inputs", "steps_per_epoch",
    "training_batches",
]  # fmt: skip

# Without gradients to keep, larger batches fit; beyond this they are no faster on two cores.
EVALUATION_BATCH = 256


def steps_per_epoch(images: int, config: TrainConfig, workers: int = 1) -> int:
    """Batches in an epoch; the last may be smaller, though not so that a worker goes empty."""
    whole, rest = divmod(images, config.batch_size)
    return max(1, whole + (rest >= workers and rest > 0))


def training_batches(
    x: Images, y: Labels, table: NDArray[np.float32], labels: Sequence[str], config: TrainConfig,
    first_epoch: int = 0, worker: Worker = ALONE, answers: NDArray[np.float16] | None = None,
) -> tf.data.Dataset:  # fmt: skip
    """The shuffled and, if the configuration says so, augmented batches of a whole run.

    The epochs follow each other in one stream, `steps_per_epoch` batches each: the first batches of
    the next are prepared while the last is validated. The number of an epoch is an element of that
    stream, not a variable: of a data set that reads a variable TensorFlow's determinism leaves
    nothing parallel and nothing prefetched.

    Args:
        x: uint8 (N, H, W, C).
        y: int64 (N,).
        table: The model's input for each pixel value, `ModelContract.pixel_values`.
        labels: Names of the classes.
        config: Gives batch size, seed and augmentation.
        first_epoch: Epochs before it are left out: they are done.
        worker: Takes its share of each batch.
        answers: The teacher's logits for every image of the epochs that differ, in their order:
            float16 (images of all these epochs, classes).

    Returns:
        Batches of inputs, float32 (B, H, W, C); targets, float32 (B, classes); and weights, float32
        (B,), with which the sum over all workers' images is the batch's mean. With answers, those
        too, float32 (B, classes).
    """
    images, numbers, values = tf.constant(x), tf.constant(y), tf.constant(table)
    shape = (x.shape[1], x.shape[2], x.shape[3])
    seed, steps = tf.constant(config.seed, tf.int64), steps_per_epoch(len(y), config, worker.count)
    # Steps are numbered as a single worker would count them, who leaves none out.
    numbers_per_epoch = steps_per_epoch(len(y), config)

    def indices_of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch %= config.different_epochs
        order = tf.random.experimental.stateless_shuffle(tf.range(len(y)), tf.stack([seed, epoch]))
        batches = tf.data.Dataset.from_tensor_slices(order).batch(config.batch_size).take(steps)
        first_step = epoch * numbers_per_epoch
        return batches.enumerate().map(lambda step, indices: (first_step + step, indices))

    def batch(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, ...]:
        mine, partners = (
            rows[worker.index :: worker.count] for rows in (indices, tf.roll(indices, 1, 0))
        )
        shown = tf.gather(images, mine)
        targets = tf.one_hot(tf.gather(numbers, mine), len(labels))
        if config.augments:
            draws = draw(tf.stack([seed, step]), tf.size(indices), shape)
            draws = tf.nest.map_structure(lambda drawn: drawn[worker.index :: worker.count], draws)
            shown, targets = changed(
                shown, tf.gather(images, partners), targets, draws, labels, config
            )
        weights = tf.fill([tf.size(mine)], 1 / tf.cast(tf.size(indices), tf.float32))
        shares = model_inputs(shown, values), targets, weights
        if answers is None:
            return shares
        epoch, step_of_epoch = step // numbers_per_epoch, step % numbers_per_epoch
        first = epoch * len(y) + step_of_epoch * config.batch_size
        rows = first + tf.range(tf.size(indices, tf.int64))[worker.index :: worker.count]
        return *shares, tf.gather(known, rows)

    # Of 16-bit numbers TensorFlow says on stderr that it has no fast code for them.
    known = None if answers is None else tf.constant(answers.astype(np.float32))
    return (
        tf.data.Dataset.range(first_epoch, config.epochs)
        .flat_map(indices_of_epoch)
        # The order is kept; two at a time keep two cores busy while the network waits.
        .map(batch, num_parallel_calls=2, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(steps * (config.epochs - first_epoch)))
        .prefetch(2)
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


def changed(
    images: tf.Tensor, partners: tf.Tensor, targets: tf.Tensor, draws: Draws,
    labels: Sequence[str], config: TrainConfig,
) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
    """Augments images and makes them 8-bit again, as a camera would deliver them.

    Args:
        images: uint8 (N, H, W, C).
        partners: As many others.
        targets: float32 (N, classes), one-hot.
        draws: Random numbers for as many images.
        labels: Names of the classes.
        config: Has the strengths.

    Returns:
        uint8 (N, H, W, C) and float32 (N, classes); a picture of nothing has every class alike.
    """
    shown, others = (tf.cast(pixels, tf.float32) / 255 for pixels in (images, partners))
    if config.european and {"1", "7"} <= set(labels):
        ones, sevens = (targets[:, labels.index(digit)] > 0 for digit in ("1", "7"))
        shown = european(shown, ones, sevens, draws.style, config.european)
    if config.negatives:
        shown, targets = with_negatives(shown, others, targets, draws, config.negatives)
    shown = augment(shown, draws, config)
    return tf.cast(tf.round(shown * 255), tf.uint8), targets
