from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from train.dataset import DataSet
from train.handwriting import european, segment


def drawn(images: np.ndarray, labels: np.ndarray, share: float = 1.0) -> np.ndarray:
    draws = tf.random.stateless_uniform([len(images), 8], [3, 4])
    return european(tf.constant(images), labels == 1, labels == 7, draws, share).numpy()


@pytest.fixture
def digits(few_digits: DataSet) -> tuple[np.ndarray, np.ndarray]:
    return few_digits.x_train.astype(np.float32) / 255, few_digits.y_train


def test_only_ones_and_sevens_get_strokes(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    touched = (drawn(images, labels) != images).any(axis=(1, 2, 3))
    assert touched[np.isin(labels, (1, 7))].all()
    assert not touched[~np.isin(labels, (1, 7))].any()


def test_ink_is_added_and_never_taken(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    out = drawn(images, labels)
    assert (out >= images).all()
    assert out.max() <= 1


def test_share_is_kept(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    ones = np.repeat(images[labels == 1][:1], 1000, axis=0)
    touched = (drawn(ones, np.ones(1000), 0.3) != ones).any(axis=(1, 2, 3))
    assert touched.mean() == pytest.approx(0.3, abs=0.05)
    np.testing.assert_array_equal(drawn(ones, np.ones(1000), 0.0), ones)


def test_bar_crosses_the_stem_in_the_middle_and_the_foot_lies_below() -> None:
    stem = np.zeros((200, 28, 28, 1), np.float32)
    stem[:, 4:24, 13:15] = 1
    half = np.repeat([1, 7], 100)
    added = (drawn(stem, half) - stem)[..., 0].sum(axis=2)
    rows = np.arange(28)
    ones, sevens = added[half == 1], added[half == 7]
    centre = (sevens * rows).sum(axis=1) / sevens.sum(axis=1)
    assert (np.abs(centre - 13.5) < 3.5).all()
    lower = ones[:, 20:].sum(axis=1)
    assert 0.3 < np.mean(lower > 2) < 0.7, "half of the 1s with a flag have a foot"
    assert (ones[:, 4:12].sum(axis=1) > 1).all(), "all have a flag"
    assert ones[:, 13:20].max() < 1


def test_segment_is_as_wide_as_the_pen() -> None:
    at = [tf.constant([value]) for value in (5.0, 10.0, 25.0, 10.0)]
    line = segment((at[0], at[1]), (at[2], at[3]), tf.constant([3.0]), 30, 20).numpy()[0]
    assert line[15].sum() == pytest.approx(3, abs=0.01)
    assert line[2].sum() == 0
    assert line[15, 10] == 1


def test_batch_without_ones_and_sevens_is_left_alone(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images, _ = digits
    np.testing.assert_array_equal(drawn(images[:8], np.full(8, 3)), images[:8])
