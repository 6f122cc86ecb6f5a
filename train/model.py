"""The networks. They know nothing of training, data or files.

Each takes real-valued images (H, W, C) as a contract's ``pixel_values`` make them and works for any
size that survives its poolings and any number of classes.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

from .config import TrainConfig
from .errors import ConfigError

__all__ = ["MIN_SIDE", "OUTPUTS", "build"]

Shape = tuple[int, int, int]

# What each network ends in: the contract's field `output`.
OUTPUTS = {"seed": "probabilities", "nano": "logits"}
# Below this a network of three convolutions and two poolings has nothing left to look at.
MIN_SIDE = 18
# Keras's 0.99 needs many hundred steps before its averages mean anything; here runs may be short.
BATCH_MOMENTUM = 0.95


def build(config: TrainConfig, input_shape: Shape, classes: int) -> keras.Model:
    """The network that a configuration names, with fresh weights.

    Args:
        config: Names the architecture and sets its dropout.
        input_shape: Height, width and channels of an image.
        classes: Number of outputs.

    Returns:
        An uncompiled model from float32 (N, H, W, C) to float32 (N, classes).

    Raises:
        ConfigError: The images are too small.
    """
    if min(input_shape[:2]) < MIN_SIDE:
        raise ConfigError(
            f"images of {input_shape[0]}x{input_shape[1]} are too small for this network",
            f"at least {MIN_SIDE}x{MIN_SIDE}",
            f"use --image-size {MIN_SIDE}x{MIN_SIDE} or more",
        )
    return NETWORKS[config.architecture](config, input_shape, classes)


def _seed(config: TrainConfig, input_shape: Shape, classes: int) -> keras.Model:
    """The notebook's network: 93,322 parameters and 2.79 million multiply-accumulates on MNIST."""
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(config.dropout, seed=config.seed),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ],
        name="seed",
    )


def _nano(config: TrainConfig, input_shape: Shape, classes: int) -> keras.Model:
    """A network for microcontrollers: on MNIST 9,766 parameters and 0.63 million MACs.

    Time and memory go where pixels are many, so the first convolution looks at 5x5 pixels at once
    and takes every second one: nothing runs at full resolution. Batch normalization makes training
    short and costs nothing later, because conversion folds it into the convolution before it.
    """

    def convolution(filters: int, side: int, stride: int = 1) -> list[keras.Layer]:
        return [
            layers.Conv2D(filters, side, strides=stride, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=BATCH_MOMENTUM),
            layers.ReLU(),
        ]

    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            *convolution(12, side=5, stride=2),
            *convolution(16, side=3),
            layers.MaxPooling2D(),
            *convolution(32, side=3),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(config.dropout, seed=config.seed),
            # Logits: an int8 softmax has 256 steps, too coarse to set a threshold on.
            layers.Dense(classes),
        ],
        name="nano",
    )


NETWORKS: dict[str, Callable[[TrainConfig, Shape, int], keras.Model]] = {
    "seed": _seed,
    "nano": _nano,
}
