from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from train import model
from train.config import ARCHITECTURES, CONFIGS, TrainConfig
from train.errors import ConfigError


def macs(network: keras.Model) -> int:
    """Multiply-accumulates of one inference: each weight times the places where it is used."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def test_seed_is_the_network_of_the_notebook() -> None:
    network = model.build(CONFIGS["seed"], (28, 28, 1), 10)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [
        "Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Conv2D",
        "Flatten", "Dropout", "Dense", "Dense",
    ]  # fmt: skip
    convolutions = (3 * 3 * 1 + 1) * 32 + (3 * 3 * 32 + 1) * 64 + (3 * 3 * 64 + 1) * 64
    dense = (3 * 3 * 64 + 1) * 64 + (64 + 1) * 10
    assert network.count_params() == convolutions + dense == 93_322
    assert macs(network) == pytest.approx(2.79e6, rel=0.002)
    assert network.layers[6].rate == 0.5


def test_seed_ends_in_probabilities_and_the_others_in_logits() -> None:
    images = np.random.default_rng(1).random((4, 28, 28, 1), np.float32)
    outputs = {
        name: np.asarray(model.build(CONFIGS[name], (28, 28, 1), 10)(images)) for name in CONFIGS
    }
    np.testing.assert_allclose(outputs["seed"].sum(axis=1), 1, atol=1e-5)
    others = set(CONFIGS) - {"seed"}
    assert all((outputs[name] < 0).any() for name in others)
    assert {"seed": "probabilities", **dict.fromkeys(others, "logits")} == model.OUTPUTS


def test_digits_works_no_harder_than_the_seed() -> None:
    network = model.build(CONFIGS["digits"], (28, 28, 1), 10)
    assert macs(network) <= 2.8e6
    # An int8 weight takes a byte; structure and contract some 12 KB more, of 100 in all.
    assert network.count_params() <= 88_000


def test_nano_is_small_enough_for_a_microcontroller() -> None:
    network = model.build(CONFIGS["nano"], (28, 28, 1), 10)
    assert macs(network) <= 0.8e6
    # An int8 weight takes a byte; structure and contract some 7 KB more, of 20 in all.
    assert network.count_params() <= 13_000


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("shape", "classes"), [((64, 48, 3), 3), ((18, 18, 1), 2)])
def test_networks_take_other_sizes_colours_and_classes(
    architecture: str, shape: tuple[int, int, int], classes: int
) -> None:
    network = model.build(CONFIGS[architecture], shape, classes)
    assert network.input_shape == (None, *shape)
    assert network.output_shape == (None, classes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_images_too_small_are_refused(architecture: str) -> None:
    with pytest.raises(ConfigError, match=r"images of 17x30 are too small.*--image-size 18x18"):
        model.build(CONFIGS[architecture], (17, 30, 1), 10)


def test_dropout_comes_from_the_configuration() -> None:
    config: TrainConfig = dataclasses.replace(CONFIGS["nano"], dropout=0.25)
    network = model.build(config, (28, 28, 1), 10)
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.25]
