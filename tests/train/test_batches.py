from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime import ModelContract
from train.batches import Worker, evaluation_batches, steps_per_epoch, training_batches
from train.config import CONFIGS, TrainConfig
from train.dataset import DataSet

PLAIN = replace(CONFIGS["seed"], batch_size=64)
TABLE = ModelContract("t", tuple("0123456789"), 28, 28, 1).pixel_values()


def epoch_of(dataset: DataSet, epoch: int, config=PLAIN) -> tuple[np.ndarray, np.ndarray]:
    stream = training_batches(
        dataset.x_train, dataset.y_train, TABLE, dataset.labels, config, epoch
    )
    batches = list(stream.take(steps_per_epoch(len(dataset.y_train), config)))
    assert len(batches) == 7
    return np.concatenate([x for x, _, _ in batches]), np.concatenate([y for _, y, _ in batches])


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


def test_epochs_follow_each_other_in_one_stream(few_digits: DataSet) -> None:
    config = replace(PLAIN, epochs=5)
    stream = training_batches(
        few_digits.x_train, few_digits.y_train, TABLE, few_digits.labels, config, 2
    )
    batches = [x for x, _, _ in stream]
    assert len(stream) == len(batches) == 3 * 7
    for number in range(3):
        shown = np.concatenate(batches[7 * number : 7 * (number + 1)])
        np.testing.assert_array_equal(shown, epoch_of(few_digits, 2 + number)[0])


def test_augmentation_repeats_with_the_epoch_and_changes_with_it(few_digits: DataSet) -> None:
    config = replace(CONFIGS["nano"], batch_size=64, seed=PLAIN.seed, negatives=0.0)
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


def test_weights_make_sums_the_mean_of_each_batch(few_digits: DataSet) -> None:
    x, y = few_digits.x_train, few_digits.y_train
    sizes = []
    stream = training_batches(x, y, TABLE, few_digits.labels, replace(PLAIN, epochs=1))
    for images, targets, weights in stream:
        assert len(images) == len(targets) == len(weights)
        assert weights.numpy().sum() == pytest.approx(1)
        sizes.append(len(images))
    assert sizes == [64] * 6 + [16]


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_each_batch_out(few_digits: DataSet, workers: int) -> None:
    """What one worker would see is what several see together, augmented alike."""
    config = replace(CONFIGS["nano"], batch_size=64, epochs=4, negatives=0.3, european=0.5)
    arguments = (few_digits.x_train, few_digits.y_train, TABLE, few_digits.labels, config, 2)
    alone = list(training_batches(*arguments))
    parts = [list(training_batches(*arguments, Worker(index, workers))) for index in range(workers)]
    assert {len(part) for part in parts} == {len(alone)}
    for step, (images, targets, weights) in enumerate(alone):
        for index, part in enumerate(parts):
            shown, wanted, counted = part[step]
            np.testing.assert_allclose(shown, images[index::workers], atol=1 / 255 + 1e-6)
            np.testing.assert_array_equal(wanted, targets[index::workers])
            np.testing.assert_array_equal(counted, weights[index::workers])


def test_last_batch_that_would_leave_a_worker_without_images_is_left_out() -> None:
    config = replace(PLAIN, batch_size=10)
    assert [steps_per_epoch(32, config, workers) for workers in (1, 2, 3)] == [4, 4, 3]
    assert steps_per_epoch(30, config) == 3
    assert steps_per_epoch(3, config) == 1


def test_pictures_of_nothing_have_every_class_alike(few_digits: DataSet) -> None:
    config = replace(CONFIGS["nano"], batch_size=64, negatives=0.4)
    _, targets = epoch_of(few_digits, 0, config)
    alike = np.isclose(targets, 0.1).all(axis=1)
    assert alike.mean() == pytest.approx(0.4, abs=0.08)
    assert (targets[~alike].max(axis=1) == 1).all()


def test_european_strokes_are_for_data_with_ones_and_sevens(few_digits: DataSet) -> None:
    once = replace(PLAIN, epochs=1)
    config = replace(once, european=1.0)
    x, y = few_digits.x_train, few_digits.y_train
    plain, drawn, letters = (
        np.concatenate([b[0] for b in training_batches(x, y, TABLE, labels, settings)])
        for labels, settings in (
            (few_digits.labels, once),
            (few_digits.labels, config),
            (tuple("abcdefghij"), config),
        )
    )
    assert (plain != drawn).any()
    np.testing.assert_allclose(plain, letters, atol=1e-6)


def answered(dataset: DataSet, config: TrainConfig, worker: Worker) -> list:
    """A run's batches; the teacher's first logit for an image is the image's sum."""
    once = replace(config, epochs=config.different_epochs)
    arguments = (dataset.x_train, dataset.y_train, TABLE, dataset.labels)
    sums = [x.numpy().sum(axis=(1, 2, 3)) for x, *_ in training_batches(*arguments, once)]
    answers = np.zeros((sum(map(len, sums)), 10), np.float16)
    answers[:, 0] = np.concatenate(sums)
    return list(training_batches(*arguments, config, 0, worker, answers))


@pytest.mark.parametrize("worker", [Worker(), Worker(1, 2)])
def test_each_image_comes_with_the_answer_for_it(few_digits: DataSet, worker: Worker) -> None:
    config = replace(CONFIGS["nano"], batch_size=64, epochs=5, varied_epochs=2)
    for x, _, _, answers in answered(few_digits, config, worker):
        sums = x.numpy().sum(axis=(1, 2, 3))
        np.testing.assert_allclose(answers[:, 0], sums, rtol=0.002)


def test_after_the_varied_epochs_the_same_images_come_again(few_digits: DataSet) -> None:
    config = replace(CONFIGS["nano"], batch_size=64, epochs=5, varied_epochs=2)
    batches = [x.numpy() for x, *_ in answered(few_digits, config, Worker())]
    np.testing.assert_array_equal(batches[0], batches[14])
    np.testing.assert_array_equal(batches[3], batches[31])
    assert (batches[0] != batches[7]).any()
