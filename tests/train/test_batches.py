from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from edge_runtime import ModelContract
from train.batches import evaluation_batches, steps_per_epoch, training_batches
from train.config import CONFIGS
from train.dataset import DataSet

PLAIN = replace(CONFIGS["seed"], batch_size=64)
TABLE = ModelContract("t", tuple("0123456789"), 28, 28, 1).pixel_values()


def epoch_of(dataset: DataSet, epoch: int, config=PLAIN) -> tuple[np.ndarray, np.ndarray]:
    number = tf.Variable(epoch, dtype=tf.int64)
    batches = list(training_batches(dataset.x_train, dataset.y_train, TABLE, 10, config, number))
    assert len(batches) == steps_per_epoch(len(dataset.y_train), config) == 7
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def test_epoch_holds_every_image_once_with_its_label(few_digits: DataSet) -> None:
    x, y = epoch_of(few_digits, 0)
    found = {
        (np.rint(i * 255).astype(np.uint8).tobytes(), int(k.argmax()))
        for i, k in zip(x, y, strict=True)
    }
    expected = {
        (i.tobytes(), int(k)) for i, k in zip(few_digits.x_train, few_digits.y_train, strict=True)
    }
    assert found == expected
    assert y.sum(axis=1).tolist() == [1] * 400


def test_order_is_a_function_of_seed_and_epoch(few_digits: DataSet) -> None:
    first, _ = epoch_of(few_digits, 3)
    np.testing.assert_array_equal(first, epoch_of(few_digits, 3)[0])
    assert (first != epoch_of(few_digits, 4)[0]).any()
    assert (first != epoch_of(few_digits, 3, replace(PLAIN, seed=9))[0]).any()
    assert (first != epoch_of(few_digits, 3)[0][::-1]).any()


def test_epoch_number_is_read_when_the_epoch_begins(few_digits: DataSet) -> None:
    number = tf.Variable(0, dtype=tf.int64)
    batches = training_batches(few_digits.x_train, few_digits.y_train, TABLE, 10, PLAIN, number)
    before = next(iter(batches))[0].numpy()
    number.assign(5)
    np.testing.assert_array_equal(next(iter(batches))[0], epoch_of(few_digits, 5)[0][:64])
    assert (before != next(iter(batches))[0].numpy()).any()


def test_augmentation_repeats_with_the_epoch_and_changes_with_it(few_digits: DataSet) -> None:
    config = replace(CONFIGS["nano"], batch_size=64, seed=PLAIN.seed)
    first, labels = epoch_of(few_digits, 1, config)
    np.testing.assert_array_equal(first, epoch_of(few_digits, 1, config)[0])
    np.testing.assert_array_equal(labels, epoch_of(few_digits, 1)[1])
    assert np.abs(first - epoch_of(few_digits, 1)[0]).max() > 0.5


def test_inputs_are_those_of_the_runtime(few_digits: DataSet) -> None:
    x, y = next(iter(evaluation_batches(few_digits.x_test, few_digits.y_test, TABLE, 10)))
    np.testing.assert_array_equal(x, TABLE[few_digits.x_test, 0])
    np.testing.assert_array_equal(np.argmax(y, axis=1), few_digits.y_test)


def test_each_channel_has_its_own_scaling() -> None:
    contract = ModelContract("t", ("a", "b"), 4, 4, 3, mean=(10, 20, 30), scale=(1, 2, 4))
    x = np.full((2, 4, 4, 3), 50, np.uint8)
    batches = evaluation_batches(x, np.array([0, 1]), contract.pixel_values(), 2)
    inputs, _ = next(iter(batches))
    assert inputs[0, 0, 0].numpy().tolist() == [40, 15, 5]


def test_every_batch_of_every_epoch_is_augmented_in_its_own_way(few_digits: DataSet) -> None:
    same = np.repeat(few_digits.x_train[:1], 400, axis=0)
    config = replace(CONFIGS["nano"], batch_size=64)
    dataset = replace(few_digits, x_train=same)
    first, second = epoch_of(dataset, 0, config)[0], epoch_of(dataset, 1, config)[0]
    assert len({image.tobytes() for image in [*first, *second]}) > 780
