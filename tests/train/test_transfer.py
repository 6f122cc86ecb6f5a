from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from edge_runtime.errors import ModelError
from train import model
from train.config import CONFIGS
from train.transfer import freeze_normalization, with_new_head


def classifier(*end: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), *end])


def test_all_but_the_last_dense_layer_is_kept() -> None:
    network = model.build(CONFIGS["nano"], (28, 28, 1), 10)
    # As if trained: fresh averages could not be told from kept ones.
    random = np.random.default_rng(1)
    network.set_weights([random.random(weights.shape) for weights in network.get_weights()])
    result = with_new_head(network, 3, "nano.keras")
    assert result.output_shape == (None, 3)
    before, after = network.get_weights(), result.get_weights()
    for old, new in zip(before[:-2], after[:-2], strict=True):
        np.testing.assert_array_equal(old, new)
    assert after[-2].shape == (before[-2].shape[0], 3)
    assert not np.isin(after[-2], before[-2]).any()


def test_what_the_network_ends_in_stays() -> None:
    softmax = with_new_head(model.build(CONFIGS["seed"], (28, 28, 1), 10), 4, "seed.keras")
    pixels = np.random.default_rng(1).random((5, 28, 28, 1), np.float32)
    np.testing.assert_allclose(np.asarray(softmax(pixels)).sum(axis=1), 1, rtol=1e-5)
    separate = with_new_head(classifier(layers.Dense(10), layers.Softmax()), 4, "own.keras")
    assert [type(layer) for layer in separate.layers] == [
        layers.Flatten, layers.Dense, layers.Softmax,
    ]  # fmt: skip


def test_a_network_of_branches_gets_a_new_head_too() -> None:
    image = keras.Input((8, 8, 1))
    left, right = layers.Conv2D(2, 3)(image), layers.Conv2D(3, 3)(image)
    ends = [layers.GlobalAveragePooling2D()(branch) for branch in (left, right)]
    network = keras.Model(image, layers.Dense(10)(layers.Concatenate()(ends)))
    assert with_new_head(network, 2, "own.keras").output_shape == (None, 2)


@pytest.mark.parametrize(
    "end",
    [
        [layers.Dense(16), layers.PReLU()],
        [layers.Dense(10), layers.Reshape((5, 2)), layers.Flatten()],
        [layers.ReLU()],
        [layers.Dense(10), layers.Reshape((-1, 1))],
    ],
    ids=["learned activation", "fixed shape", "nothing learned", "odd output"],
)
def test_a_network_that_ends_otherwise_is_refused(end: list[layers.Layer]) -> None:
    with pytest.raises(ModelError, match=r"own\.keras does not end in a dense layer; one, to make"):
        with_new_head(classifier(*end), 3, "own.keras")


def test_normalization_is_frozen_wherever_it_is() -> None:
    inner = keras.Sequential([keras.Input((64,)), layers.BatchNormalization()])
    network = classifier(layers.BatchNormalization(), inner, layers.Dense(2))
    freeze_normalization(network)
    assert [variable.path.split("/")[-1] for variable in network.trainable_variables] == [
        "kernel", "bias",
    ]  # fmt: skip
    images = np.random.default_rng(1).random((4, 8, 8, 1), np.float32)
    before = network.get_weights()
    network(images, training=True)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
