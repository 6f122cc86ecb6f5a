from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime import ModelContract
from edge_runtime.images import fit_image
from train.dataset import DataSet
from train.matching import matched

FRUIT = ModelContract("fruit", ("pear", "apple", "T-shirt/top"), 4, 5, 3)


@pytest.fixture
def photos() -> DataSet:
    """Two of the three classes, in the order of their folders."""
    x = np.random.default_rng(1).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    y = np.array([0, 1, 0, 1, 0, 1])
    return DataSet(
        "photos", x[:4], y[:4], x[4:], y[4:], ("T-shirt-top", "pear"), "stretch", "any", None,
        "here", {},
    )  # fmt: skip


def test_labels_get_the_models_names_and_numbers(photos: DataSet) -> None:
    result = matched(photos, FRUIT)
    assert result.labels == FRUIT.labels
    assert result.y_train.tolist() == [2, 0, 2, 0]
    assert result.y_test.tolist() == [2, 0]


def test_labels_that_the_model_does_not_know_stay_as_they_are(photos: DataSet) -> None:
    other = replace(photos, labels=("pear", "plum"))
    result = matched(other, FRUIT)
    assert result.labels == ("pear", "plum")
    assert result.y_train.tolist() == photos.y_train.tolist()


def test_colours_become_grey_as_the_runtime_makes_them(photos: DataSet) -> None:
    grey = FRUIT.replace(channels=1)
    result = matched(photos, grey)
    expected = np.stack([fit_image(image, grey).pixels for image in photos.x_train])
    np.testing.assert_array_equal(result.x_train, expected)
    assert result.x_test.shape == (2, 4, 5, 1)


def test_grey_becomes_rgb(photos: DataSet) -> None:
    grey = replace(photos, x_train=photos.x_train[..., :1], x_test=photos.x_test[..., :1])
    result = matched(grey, FRUIT)
    assert result.input_shape == (4, 5, 3)
    assert (result.x_train == grey.x_train).all()


@pytest.mark.parametrize("fit", ["ink", "stretch"])
def test_only_handwriting_is_turned_over(photos: DataSet, fit: str) -> None:
    grey = replace(
        photos, x_train=photos.x_train[..., :1], x_test=photos.x_test[..., :1], fit=fit,
        polarity="light-on-dark",
    )  # fmt: skip
    contract = FRUIT.replace(channels=1, fit=fit, polarity="dark-on-light")
    result = matched(grey, contract)
    expected = 255 - grey.x_train if fit == "ink" else grey.x_train
    np.testing.assert_array_equal(result.x_train, expected)
    assert result.x_train.dtype == np.uint8
