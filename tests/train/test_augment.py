from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from train.augment import Draws, augment, draw, geometry, optics, smooth_field
from train.config import CONFIGS, TrainConfig
from train.dataset import DataSet

STILL = TrainConfig("still", "nano", epochs=1, batch_size=1, learning_rate=0.1)
# Moves and bends, but draws and dims nothing.
MOVING = replace(STILL, rotation_degrees=12, scale=0.15, shear=0.2, shift=0.08, elastic=0.1)


def numbers(images: np.ndarray, seed: int = 1) -> Draws:
    return draw(tf.constant([7, seed], tf.int64), len(images), images.shape[1:])


def changed(images: np.ndarray, config: TrainConfig, seed: int = 1) -> np.ndarray:
    return augment(tf.constant(images), numbers(images, seed), config).numpy()


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
    config = MOVING
    np.testing.assert_array_equal(changed(spot, config), changed(spot, config))
    assert np.abs(changed(spot, config) - changed(spot, config, seed=2)).max() > 0.1


def test_each_image_of_a_batch_is_changed_in_its_own_way(spot: np.ndarray) -> None:
    out = changed(spot, MOVING)
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
    out = changed(images, MOVING)
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-5
    # Something has moved, and nothing was lost or drawn at the edges.
    assert out.sum() == pytest.approx(images.sum(), rel=0.06)
    assert np.median(out[:, 0]) == 0


def test_bending_moves_neighbours_alike_and_the_far_apart_differently(spot: np.ndarray) -> None:
    images = np.zeros((100, 29, 29, 1), np.float32)
    rows = {"near": (9, 6), "beside": (9, 9), "far": (19, 22)}
    found = {}
    for name, (row, column) in rows.items():
        alone = images.copy()
        alone[:, row - 1 : row + 2, column - 1 : column + 2] = 1
        found[name] = centres(changed(alone, replace(STILL, elastic=0.2))) - centres(alone)
    assert np.abs(found["near"]).mean() > 0.5, "it bends"
    apart = {name: np.abs(found["near"] - found[name]).mean() for name in ("beside", "far")}
    assert apart["beside"] < 0.6 * apart["far"]


def test_surface_stays_within_its_control_points() -> None:
    points = tf.random.stateless_uniform([50, 2, 5, 5], [1, 2], -3.0, 5.0)
    surface = smooth_field(points, 28, 20).numpy()
    assert surface.shape == (50, 2, 28, 20)
    assert points.numpy().min() <= surface.min() < surface.max() <= points.numpy().max()
    level = smooth_field(tf.fill([1, 1, 5, 5], 0.25), 28, 20).numpy()
    np.testing.assert_allclose(level, 0.25, rtol=1e-5)


@pytest.fixture
def bars() -> np.ndarray:
    """400 images with a bar 3 pixels wide and 17 long."""
    images = np.zeros((400, 29, 29, 1), np.float32)
    images[:, 6:23, 13:16] = 1
    return images


def test_strokes_get_thicker_and_thinner_and_half_stay(bars: np.ndarray) -> None:
    out = changed(bars, replace(STILL, stroke=1.0))
    width = out[:, 14, :, 0].sum(axis=1)
    assert width.max() > 4.5
    assert width.min() < 1.5
    assert np.mean(np.isclose(width, 3)) == pytest.approx(0.5, abs=0.08)
    assert out.max(axis=(1, 2, 3)).min() > 0.9, "a thin pen is not a pale one"


def test_blur_spreads_the_ink_and_keeps_it(bars: np.ndarray) -> None:
    out = changed(bars, replace(STILL, blur=1.0))
    np.testing.assert_allclose(out.sum(axis=(1, 2, 3)), 51, rtol=1e-4)
    assert out[:, 14, 14].min() < 0.9
    assert out[:, 14, 12].max() > 0.25


def test_contrast_makes_edges_hard_or_strokes_pale(few_digits: DataSet) -> None:
    images = few_digits.x_train[:200].astype(np.float32) / 255
    out = changed(images, replace(STILL, contrast=1.0))
    grey = ((out > 0.05) & (out < 0.95)).mean(axis=(1, 2, 3))
    before = ((images > 0.05) & (images < 0.95)).mean(axis=(1, 2, 3))
    assert (grey < 0.4 * before).any()
    assert out.max(axis=(1, 2, 3)).min() < 0.7
    assert out.min() >= 0
    assert out.max() <= 1


def test_noise_has_the_strength_it_was_given(bars: np.ndarray) -> None:
    half_grey = np.full_like(bars, 0.5)
    deviation = changed(half_grey, replace(STILL, noise=0.1)).std(axis=(1, 2, 3))
    assert deviation.max() == pytest.approx(0.1, abs=0.01)
    assert np.mean(deviation == 0) == pytest.approx(0.5, abs=0.08)


def test_geometry_and_optics_make_the_whole(few_digits: DataSet) -> None:
    images = few_digits.x_train[:50].astype(np.float32) / 255
    config, drawn = CONFIGS["digits"], numbers(images)
    both = optics(geometry(tf.constant(images), drawn, config), drawn, config)
    np.testing.assert_array_equal(changed(images, config), both)


def test_a_part_of_the_draws_changes_its_part_of_the_images(few_digits: DataSet) -> None:
    images = few_digits.x_train[:40].astype(np.float32) / 255
    every_second = tf.nest.map_structure(lambda drawn: drawn[1::2], numbers(images))
    part = augment(tf.constant(images[1::2]), every_second, CONFIGS["digits"]).numpy()
    np.testing.assert_allclose(part, changed(images, CONFIGS["digits"])[1::2], atol=1e-6)
