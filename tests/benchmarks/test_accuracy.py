from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import (
    accuracy_of,
    change_between,
    confusion_matrix,
    images_to_test,
    installed_backends,
    measure_accuracy,
)
from benchmarks.candidates import Comparison, find_comparison
from convert.answers import answers
from convert.parity import mcnemar, wilson_interval
from edge_runtime import Classifier
from edge_runtime.contract import load_sealed, seal
from edge_runtime.errors import InputError
from train.dataset import DataSet


@pytest.fixture
def comparison(small_run: Path) -> Comparison:
    return find_comparison([small_run / "nano_int8.tflite"])


def test_accuracy_has_its_wilson_interval() -> None:
    found = accuracy_of(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 3]))
    assert (found.correct, found.total, found.accuracy) == (3, 4, 0.75)
    assert (found.low, found.high) == wilson_interval(3, 4)


def test_change_counts_images_lost_won_and_answered_otherwise() -> None:
    truth = np.array([0, 0, 0, 0, 0, 0])
    reference = np.array([0, 0, 0, 1, 1, 1])
    answers = np.array([0, 1, 2, 0, 2, 1])
    change = change_between(reference, answers, truth)
    assert (change.lost, change.won, change.disagreements) == (2, 1, 4)
    assert change.points == pytest.approx(-100 / 6)
    assert change.p_value == mcnemar(2, 1)


def test_confusion_has_a_row_for_each_true_label_even_if_unseen() -> None:
    matrix = confusion_matrix(np.array([1, 1, 2]), np.array([1, 0, 2]), 4)
    assert matrix.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_limit_keeps_every_class(comparison: Comparison, small_data: DataSet) -> None:
    limited = images_to_test(small_data, comparison, 50)
    assert len(limited.y_test) == len(limited.x_test) == 50
    assert set(limited.y_test) == set(range(10))
    again = images_to_test(small_data, comparison, 50)
    assert (limited.y_test == again.y_test).all()
    assert images_to_test(small_data, comparison, 10**6) is small_data


def test_data_with_other_labels_or_sizes_are_refused(
    comparison: Comparison, small_data: DataSet
) -> None:
    clothes = replace(small_data, labels=tuple("abcdefghij"))
    expected = r"are a, b, c.*; a data set with the labels of nano \(0, 1, .*9\) was .* --data"
    with pytest.raises(InputError, match=expected):
        images_to_test(clothes, comparison, None)
    small = replace(small_data, x_test=small_data.x_test[:, :20, :20])
    with pytest.raises(InputError, match="are 20×20×1; 28×28×1"):
        images_to_test(small, comparison, None)


def test_answers_are_those_of_the_classifier(comparison: Comparison, small_data: DataSet) -> None:
    data = images_to_test(small_data, comparison, 100)
    said: list[str] = []
    original, confusion, variants = measure_accuracy(comparison, data, said.append)
    assert original.total == confusion.sum() == 100
    assert original.correct == confusion.trace()
    found = variants["int8"]
    names = installed_backends()
    assert [one.backend for one in found.interpreters] == names
    assert found.interpreters[0].accuracy == found.accuracy
    assert found.interpreters[0].differing == 0
    expected = Classifier(comparison.candidates[0].path, backend=names[0]).scores(data.x_test)
    assert found.accuracy.correct == (expected.argmax(axis=1) == data.y_test).sum()
    assert found.change.points == pytest.approx(100 * (found.accuracy.accuracy - original.accuracy))
    assert len(said) == 1 + len(names)


def test_float_model_with_other_labels_is_refused(
    small_run: Path, small_data: DataSet, tmp_path: Path
) -> None:
    sealed = load_sealed(small_run / "nano_int8.tflite")
    assert sealed.contract is not None
    labels = tuple("abcdefghij")
    other = tmp_path / "letters.tflite"
    other.write_bytes(seal(sealed.flatbuffer, sealed.contract.replace(labels=labels)))
    comparison = find_comparison([other], keras=small_run / "nano.keras")
    with pytest.raises(InputError, match=r"nano\.keras are 0, 1, 2.*--keras"):
        measure_accuracy(comparison, replace(small_data, labels=labels), lambda _: None)


def test_released_model_answers_the_same_in_both_interpreters(
    released_model: Callable[[str], Path], mnist_test: tuple[np.ndarray, np.ndarray]
) -> None:
    if len(installed_backends()) < 2:
        pytest.skip("only one interpreter is installed")
    pixels, _ = mnist_test
    sealed = released_model("int8").read_bytes()
    one, other = (
        answers(sealed, pixels[:1000], name).scores.argmax(axis=1) for name in installed_backends()
    )
    assert (one == other).mean() >= 0.999
