from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from train.augment import Draws, draw
from train.dataset import DataSet
from train.negatives import KINDS, negatives, with_negatives


@pytest.fixture
def images(few_digits: DataSet) -> np.ndarray:
    return few_digits.x_train[:300].astype(np.float32) / 255


def numbers(count: int, kind: str | None = None) -> Draws:
    drawn = draw(tf.constant([5, 6], tf.int64), count, (28, 28, 1))
    if kind is None:
        return drawn
    negative = drawn.negative.numpy()
    negative[:, 1] = (KINDS.index(kind) + 0.5) / len(KINDS)
    return drawn._replace(negative=tf.constant(negative))


def made(images: np.ndarray, kind: str) -> np.ndarray:
    out = negatives(images, np.roll(images, 1, axis=0), numbers(len(images), kind)).numpy()
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 1
    return out


def test_share_of_the_images_is_replaced_and_has_every_class_alike(images: np.ndarray) -> None:
    targets = np.eye(10, dtype=np.float32)[np.arange(300) % 10]
    out, found = with_negatives(
        images, np.roll(images, 1, axis=0), tf.constant(targets), numbers(300), 0.2
    )
    replaced = (out.numpy() != images).any(axis=(1, 2, 3))
    assert replaced.mean() == pytest.approx(0.2, abs=0.07)
    np.testing.assert_allclose(found.numpy()[replaced], 0.1, rtol=1e-6)
    np.testing.assert_array_equal(found.numpy()[~replaced], targets[~replaced])


def test_share_zero_replaces_nothing(images: np.ndarray) -> None:
    targets = tf.one_hot(np.zeros(300, int), 10)
    out, found = with_negatives(images, images, targets, numbers(300), 0.0)
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(found, targets)


def test_every_kind_occurs(images: np.ndarray) -> None:
    kinds = (numbers(300).negative.numpy()[:, 1] * len(KINDS)).astype(int)
    assert np.bincount(kinds).min() > 50


def test_quarters_change_places(images: np.ndarray) -> None:
    out = made(images, "quarters")
    np.testing.assert_array_equal(out[:, :14, :14], images[:, 14:, 14:])
    np.testing.assert_array_equal(out[:, 14:, :14], images[:, :14, 14:])


def test_inverse_is_light_where_the_paper_was(images: np.ndarray) -> None:
    np.testing.assert_allclose(made(images, "inverse"), 1 - images)


def test_pair_shows_both_at_half_the_size(images: np.ndarray) -> None:
    out = made(images, "pair")
    assert out[:, :7].max() == 0
    assert out[:, 21:].max() == 0
    half = images.sum(axis=(1, 2, 3)) / 4
    np.testing.assert_allclose(out[:, :, :14].sum(axis=(1, 2, 3)), half, rtol=0.05)
    np.testing.assert_allclose(out[:, :, 14:].sum(axis=(1, 2, 3)), np.roll(half, 1), rtol=0.05)


def test_blob_is_a_filled_patch_around_the_centre(images: np.ndarray) -> None:
    out = made(images, "blob")
    assert out.max(axis=(1, 2, 3)).mean() > 0.5
    middle, corners = out[:, 10:18, 10:18].mean(), out[:, :3, :3].mean()
    assert middle > 5 * corners
    assert len({image.tobytes() for image in out}) == len(out)
