from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from train.augment import affine
from train.config import CONFIGS, TrainConfig
from train.dataset import DataSet

STILL = replace(CONFIGS["nano"], rotation_degrees=0, scale=0, shear=0, shift=0)


def changed(images: np.ndarray, config: TrainConfig, seed: int = 1) -> np.ndarray:
    return affine(tf.constant(images), tf.constant([7, seed], tf.int64), config).numpy()


@pytest.fixture
def spot() -> np.ndarray:
    """200 dark images with a bright spot of 3x3 above the centre, at row 8 and column 14."""
    images = np.zeros((200, 29, 29, 1), np.float32)
    images[:, 7:10, 13:16] = 1
    return images


def centres(images: np.ndarray) -> np.ndarray:
    """Row and column of each image's centre of mass, from the middle of the image."""
    mass = images[..., 0]
    grid = np.arange(images.shape[1]) - (images.shape[1] - 1) / 2
    total = mass.sum(axis=(1, 2))
    rows = (mass.sum(axis=2) * grid).sum(axis=1) / total
    columns = (mass.sum(axis=1) * grid).sum(axis=1) / total
    return np.stack([rows, columns], axis=1)


def test_strength_zero_changes_nothing(few_digits: DataSet) -> None:
    images = few_digits.x_train[:20].astype(np.float32) / 255
    np.testing.assert_allclose(changed(images, STILL), images, atol=1e-5)


def test_same_seed_gives_the_same_images_and_another_seed_others(spot: np.ndarray) -> None:
    config = CONFIGS["nano"]
    np.testing.assert_array_equal(changed(spot, config), changed(spot, config))
    assert np.abs(changed(spot, config) - changed(spot, config, seed=2)).max() > 0.1


def test_each_image_of_a_batch_is_changed_in_its_own_way(spot: np.ndarray) -> None:
    out = changed(spot, CONFIGS["nano"])
    assert len({image.tobytes() for image in out}) > 190


def test_shift_moves_by_at_most_its_share_of_the_side(spot: np.ndarray) -> None:
    found = centres(changed(spot, replace(STILL, shift=0.1))) - centres(spot)
    assert np.abs(found).max() <= 2.9 + 0.01
    assert np.abs(found).max(axis=0).min() > 2.5, "both directions, up to the strength"


def test_rotation_keeps_the_distance_from_the_centre(spot: np.ndarray) -> None:
    found = centres(changed(spot, replace(STILL, rotation_degrees=30)))
    np.testing.assert_allclose(np.hypot(*found.T), 6, atol=0.15)
    angles = np.degrees(np.arctan2(found[:, 1], -found[:, 0]))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -25 < 25 < angles.max()


def test_shear_slants_without_changing_height(spot: np.ndarray) -> None:
    found = centres(changed(spot, replace(STILL, shear=0.3)))
    np.testing.assert_allclose(found[:, 0], -6, atol=0.05)
    assert np.abs(found[:, 1]).max() == pytest.approx(6 * 0.3, abs=0.15)


def test_scale_enlarges_and_shrinks(spot: np.ndarray) -> None:
    found = -centres(changed(spot, replace(STILL, scale=0.2)))[:, 0]
    assert found.min() == pytest.approx(6 / 1.2, abs=0.1)
    assert found.max() == pytest.approx(6 / 0.8, abs=0.2)


def test_values_stay_in_range_and_paper_stays_empty(few_digits: DataSet) -> None:
    images = few_digits.x_train[:100].astype(np.float32) / 255
    out = changed(images, CONFIGS["nano"])
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-5
    # Something has moved, and nothing was lost or drawn at the edges.
    assert out.sum() == pytest.approx(images.sum(), rel=0.05)
    assert np.median(out[:, 0]) == 0
