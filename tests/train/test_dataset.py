from __future__ import annotations

import numpy as np
import pytest

from train.data import DataSet
from train.dataset import split_validation, stratified_order
from train.errors import DataError

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)


@pytest.mark.parametrize("count", [3, 10, 20, 50])
def test_every_beginning_of_the_order_has_the_proportions(count: int) -> None:
    order = stratified_order(LABELS, seed=3)
    assert sorted(order) == list(range(100))
    found = np.bincount(LABELS[order[:count]], minlength=3)
    np.testing.assert_allclose(found, np.array([0.6, 0.3, 0.1]) * count, atol=1.5)
    assert found.min() >= 1


def test_order_depends_on_the_seed_alone() -> None:
    first = stratified_order(LABELS, seed=3)
    np.testing.assert_array_equal(first, stratified_order(LABELS, seed=3))
    assert (first != stratified_order(LABELS, seed=4)).any()


def test_order_is_the_same_under_every_numpy() -> None:
    # Noted once; another order would change every test set that is split off.
    assert stratified_order(np.array([0, 1, 0, 1, 2]), seed=1).tolist() == [1, 4, 0, 3, 2]


def test_split_is_stratified_disjoint_and_whole() -> None:
    kept, held = split_validation(LABELS, 0.2, seed=1)
    assert np.bincount(LABELS[held]).tolist() == [12, 6, 2]
    assert sorted([*kept, *held]) == list(range(100))


def test_split_holds_one_of_each_class_out_even_of_few() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    kept, held = split_validation(labels, 0.1, seed=1)
    assert sorted(labels[held]) == [0, 1, 2]
    assert sorted(labels[kept]) == [0, 1, 2]


def test_class_with_one_image_cannot_be_split() -> None:
    with pytest.raises(DataError, match="class 2 has only 1 image and cannot be split"):
        split_validation(np.array([0] * 9 + [1] * 9 + [2]), 0.2, seed=1)
    with pytest.raises(DataError, match="class pear has only 1 image"):
        split_validation(np.array([0, 0, 1]), 0.2, 1, ("apple", "pear"))


def test_limit_keeps_proportions_and_the_test_set(few_digits: DataSet) -> None:
    small = few_digits.limited(50)
    counts = np.bincount(small.y_train, minlength=10)
    assert counts.sum() == 50
    assert counts.min() >= 4
    assert len(small.y_test) == len(few_digits.y_test)
    assert few_digits.limited(10**6) is few_digits


def test_limit_leaves_images_with_their_labels(few_digits: DataSet) -> None:
    pairs = {
        (x.tobytes(), int(y)) for x, y in zip(few_digits.x_train, few_digits.y_train, strict=True)
    }
    small = few_digits.limited(50)
    assert {
        (x.tobytes(), int(y)) for x, y in zip(small.x_train, small.y_train, strict=True)
    } <= pairs


def test_limit_too_small_for_the_classes_is_an_error(few_digits: DataSet) -> None:
    with pytest.raises(DataError, match=r"19 training images are too few .*at least 20.*--limit"):
        few_digits.limited(19)
