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
OUTPUTS = {
    "seed": "probabilities",
    "digits": "logits",
    "nano": "logits",
    "teacher": "logits",
}
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


def _digits(config: TrainConfig, input_shape: Shape, classes: int) -> keras.Model:
    """The released network: on MNIST 82,970 parameters and 2.72 million MACs.

    The seed spends 80 % of its MACs in one convolution, at 11x11; here five share them, which sees
    more of the digit at once. Depthwise convolutions would be smaller, but tflite-runtime has no
    fast one for x86: a network of them took 3.5 times as long as the seed there.
    """
    return _convolutional(
        "digits", config, input_shape, classes,
        [
            *_convolution(16, 5, stride=2),
            *_convolution(32, 3),
            layers.MaxPooling2D(),
            *_convolution(48, 3),
            *_convolution(48, 3),
            layers.MaxPooling2D(),
            *_convolution(96, _rest(input_shape), padding="valid"),
            layers.Flatten(),
        ],
    )  # fmt: skip


def _nano(config: TrainConfig, input_shape: Shape, classes: int) -> keras.Model:
    """A network for microcontrollers: on MNIST 10,202 parameters and 0.71 million MACs.

    Kernels work on 16 channels at a time: with 20 in the second convolution it took a third longer.
    """
    return _convolutional(
        "nano", config, input_shape, classes,
        [
            *_convolution(16, 3, stride=2),
            *_convolution(16, 3),
            layers.MaxPooling2D(),
            *_convolution(32, 3),
            layers.MaxPooling2D(),
            layers.Flatten(),
        ],
    )  # fmt: skip


def _teacher(config: TrainConfig, input_shape: Shape, classes: int) -> keras.Model:
    """A network to learn from: four times the work of `digits`, too large to release."""
    return _convolutional(
        "teacher", config, input_shape, classes,
        [
            *_convolution(32, 5, stride=2),
            *_convolution(64, 3),
            layers.MaxPooling2D(),
            *_convolution(96, 3),
            *_convolution(96, 3),
            layers.MaxPooling2D(),
            *_convolution(192, _rest(input_shape), padding="valid"),
            layers.Flatten(),
        ],
    )  # fmt: skip


def _rest(input_shape: Shape) -> tuple[int, int]:
    """Kernel of a last convolution after three halvings: 3x3 on 28x28, less where less is left."""
    height, width = (-(-side // 2) // 4 for side in input_shape[:2])
    return min(3, height), min(3, width)


def _convolution(
    filters: int, side: int | tuple[int, int], stride: int = 1, padding: str = "same"
) -> list[keras.Layer]:
    """Batch normalization makes training short and costs nothing later: conversion folds it in."""
    return [
        layers.Conv2D(filters, side, strides=stride, padding=padding, use_bias=False),
        layers.BatchNormalization(momentum=BATCH_MOMENTUM),
        layers.ReLU(),
    ]


def _convolutional(
    name: str, config: TrainConfig, input_shape: Shape, classes: int, body: list[keras.Layer]
) -> keras.Model:
    """Logits: an int8 softmax has 256 steps, too coarse to set a threshold on."""
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            *body,
            layers.Dropout(config.dropout, seed=config.seed),
            layers.Dense(classes),
        ],
        name=name,
    )


NETWORKS: dict[str, Callable[[TrainConfig, Shape, int], keras.Model]] = {
    "seed": _seed,
    "digits": _digits,
    "nano": _nano,
    "teacher": _teacher,
}
