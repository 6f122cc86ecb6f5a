"""Pictures of nothing: what a network sees while training so that it knows what is not a digit.

A network that has only ever seen digits is sure of everything. Shown some images that are none,
with the target "every class alike", it learns to doubt (outlier exposure: Hendrycks, Mazeika and
Dietterich, "Deep Anomaly Detection with Outlier Exposure", 2019). All are made from the batch
itself or from random numbers: no other data set is needed, and those by which rejection is measured
stay unseen.
"""

from __future__ import annotations

import tensorflow as tf

from .augment import Draws, smooth_field

__all__ = ["KINDS", "negatives", "with_negatives"]

KINDS = ("quarters", "inverse", "pair", "blob")


def with_negatives(
    images: tf.Tensor, partners: tf.Tensor, targets: tf.Tensor, draws: Draws, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts an image of nothing in the place of some images of a batch.

    Args:
        images: float32 (N, H, W, C), 0 to 1.
        partners: As many other images of the same data set, for pictures made of two.
        targets: float32 (N, classes).
        draws: Random numbers of `train.augment.draw`.
        share: Of the images to replace, 0 to 1.

    Returns:
        Images and targets as they came, but for those replaced: their target is 1 / classes.
    """
    rows = tf.where(draws.negative[:, 0] < share)
    chosen = tf.nest.map_structure(
        lambda values: tf.gather(values, rows[:, 0]), (images, partners, draws)
    )
    nothing = negatives(*chosen)
    classes = targets.shape[1]
    alike = tf.fill([tf.shape(rows)[0], classes], 1 / classes)
    return (
        tf.tensor_scatter_nd_update(images, rows, nothing),
        tf.tensor_scatter_nd_update(targets, rows, alike),
    )


def negatives(images: tf.Tensor, partners: tf.Tensor, draws: Draws) -> tf.Tensor:
    """For each image a picture that shows no class, of one of `KINDS`.

    - quarters: the image's quarters change places across the centre;
    - inverse: dark where it was light, as when the background was taken for the ink;
    - pair: it and its partner at half the size, side by side, as two digits that touch;
    - blob: a smooth patch with a smooth texture.

    Args:
        images: float32 (N, H, W, C), 0 to 1.
        partners: Other images, same shape.
        draws: Random numbers of `train.augment.draw`.

    Returns:
        float32, same shape and range.
    """
    height, width = images.shape[1], images.shape[2]
    made = tf.stack(
        [
            tf.roll(images, [height // 2, width // 2], [1, 2]),
            1 - images,
            _pair(images, partners),
            tf.broadcast_to(_blob(draws, height, width), tf.shape(images)),
        ],
        axis=1,
    )
    kind = tf.cast(draws.negative[:, 1] * len(KINDS), tf.int32)
    return tf.gather(made, tf.minimum(kind, len(KINDS) - 1), axis=1, batch_dims=1)


def _pair(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Two images at half their size, in the middle, so close that their digits all but touch."""
    height, width = left.shape[1], left.shape[2]
    closer = width // 14  # each leaves a margin of a seventh on its inner side
    small = [
        tf.nn.avg_pool2d(tf.roll(image, shift, 2), 2, 2, "VALID")
        for image, shift in ((left, closer), (right, -closer))
    ]
    both = tf.concat(small, axis=2)
    above, before = (height - height // 2) // 2, (width - 2 * (width // 2)) // 2
    return tf.image.pad_to_bounding_box(both, above, before, height, width)


def _blob(draws: Draws, height: int, width: int) -> tf.Tensor:
    """A patch around the centre, from small to almost the whole image: (N, height, width, 1)."""
    surface = smooth_field(draws.blob, height, width)
    shape, texture = surface[:, 0], surface[:, 1]
    y = tf.linspace(-1.0, 1.0, height)[:, None]
    x = tf.linspace(-1.0, 1.0, width)[None, :]
    fall = 0.3 + 1.2 * draws.negative[:, 2, None, None]
    sharpness = 10 + 60 * draws.negative[:, 3, None, None]
    patch = tf.sigmoid(sharpness * (2 * shape - 0.5 - fall * (x**2 + y**2)))
    return (patch * tf.clip_by_value(3 * texture - 0.8, 0.1, 1))[..., None]
