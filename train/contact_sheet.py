"""A picture of what augmentation does, to look at before training for an hour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_runtime.files import atomic_path

from .augment import augment, draw
from .batches import changed
from .config import TrainConfig
from .dataset import DataSet
from .negatives import KINDS, negatives

__all__ = ["augmented", "write_contact_sheet"]

# Changed images beside each original.
COLUMNS = 14
# More classes than this would be too small to look at.
MAX_CLASSES = 20
DOTS_PER_INCH = 120
# Inches that an image takes.
SIDE = 0.55


def write_contact_sheet(config: TrainConfig, dataset: DataSet, path: Path) -> Path:
    """Draws an image of each class, how training may show it, and pictures of nothing.

    Args:
        config: Its augmentation is shown.
        dataset: Its first training image of each class is taken.
        path: The PNG to write.

    Returns:
        `path`.
    """
    classes = range(min(len(dataset.labels), MAX_CLASSES))
    firsts = np.array([np.flatnonzero(dataset.y_train == number)[0] for number in classes])
    rows = [
        (dataset.labels[number], row)
        for number, row in enumerate(augmented(config, dataset, firsts))
    ]
    if config.negatives:
        rows += list(zip(KINDS, _nothing(config, dataset), strict=True))
    return _draw(rows, len(classes), bool(config.augments), path)


def augmented(
    config: TrainConfig, dataset: DataSet, chosen: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Training images as they are and as an epoch may show them.

    Args:
        config: Its augmentation; no image is replaced by a picture of nothing.
        dataset: Has the images.
        chosen: int64 (K,), which of its training images.

    Returns:
        uint8 (K, 1 + COLUMNS, H, W, C), the first of each row unchanged.
    """
    config = replace(config, negatives=0.0)
    images = np.repeat(dataset.x_train[chosen], COLUMNS, axis=0)
    targets = tf.one_hot(np.repeat(dataset.y_train[chosen], COLUMNS), len(dataset.labels))
    draws = draw(tf.constant([config.seed, 0], tf.int64), len(images), dataset.input_shape)
    shown, _ = changed(images, images, targets, draws, dataset.labels, config)
    shape = (len(chosen), COLUMNS, *dataset.input_shape)
    return np.concatenate([dataset.x_train[chosen][:, None], shown.numpy().reshape(shape)], axis=1)


def _nothing(config: TrainConfig, dataset: DataSet) -> NDArray[np.uint8]:
    """Pictures of nothing, a row for each kind: uint8 (kinds, 1 + COLUMNS, H, W, C)."""
    count = 1 + COLUMNS
    images = tf.constant(dataset.x_train[: 2 * count], tf.float32) / 255
    draws = draw(tf.constant([config.seed, 1], tf.int64), count, dataset.input_shape)
    rows = []
    for kind in range(len(KINDS)):
        number = (kind + 0.5) / len(KINDS)
        fixed = tf.tensor_scatter_nd_update(
            draws.negative, [[i, 1] for i in range(count)], tf.fill([count], number)
        )
        made = negatives(images[:count], images[count:], draws._replace(negative=fixed))
        rows.append(np.rint(augment(made, draws, config).numpy() * 255).astype(np.uint8))
    return np.stack(rows)


def _draw(
    rows: list[tuple[str, NDArray[np.uint8]]], classes: int, augments: bool, path: Path
) -> Path:
    columns = 1 + COLUMNS
    figure = Figure(figsize=(SIDE * columns + 1, SIDE * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (label, images) in zip(grid, rows, strict=True):
        for axes, image in zip(axes_row, images, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(label, rotation=0, ha="right", va="center")
    grid[0, 0].set_title("original", fontsize=8)
    grid[0, 1].set_title(
        "as training may show it" if augments else "this configuration changes nothing",
        fontsize=8, loc="left",
    )  # fmt: skip
    if len(rows) > classes:
        grid[classes, 0].set_title("shown now and then instead", fontsize=8, loc="left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)
    return path
