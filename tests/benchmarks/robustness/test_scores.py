from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.robustness.scores import auroc, calibration
from edge_runtime.errors import InputError


@pytest.mark.parametrize("levels", [3, 256, 10**6])
@pytest.mark.parametrize("seed", [1, 2])
def test_auroc_is_that_of_scikit_learn_with_many_and_few_ties(levels: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    known = random.randint(levels // 3, levels, 300) / levels
    unknown = random.randint(0, levels, 170) / levels
    truth = np.repeat([1, 0], [300, 170])
    expected = roc_auc_score(truth, np.concatenate([known, unknown]))
    assert auroc(known, unknown) == pytest.approx(expected, abs=1e-12)


def test_auroc_is_one_where_all_known_scores_are_higher_and_half_where_all_are_equal() -> None:
    assert auroc(np.array([0.8, 0.9]), np.array([0.1, 0.7])) == 1
    assert auroc(np.array([0.1, 0.7]), np.array([0.8, 0.9])) == 0
    assert auroc(np.full(5, 0.996), np.full(9, 0.996)) == 0.5


@pytest.mark.parametrize(("known", "unknown"), [(0, 3), (3, 0)])
def test_auroc_of_nothing_is_refused(known: int, unknown: int) -> None:
    with pytest.raises(InputError, match=f"{known} known and {unknown} unknown scores; some of"):
        auroc(np.zeros(known), np.zeros(unknown))


def test_calibration_is_the_definition_worked_out_answer_by_answer() -> None:
    random = np.random.RandomState(3)
    confidence = random.random_sample(500).astype(np.float32)
    right = random.random_sample(500) < confidence**2
    expected = 0.0
    for m in range(15):
        inside = [i for i in range(500) if m / 15 < confidence[i] <= (m + 1) / 15]
        if inside:
            gap = abs(np.mean(right[inside]) - np.mean(confidence[inside], dtype=np.float64))
            expected += len(inside) / 500 * gap
    found = calibration(confidence, right)
    assert found.ece == pytest.approx(expected, abs=1e-9)
    assert found.images == sum(one.images for one in found.bins) == 500


def test_calibration_of_one_who_is_as_often_right_as_said_is_zero() -> None:
    found = calibration(np.full(4, 0.75), np.array([True, True, True, False]))
    assert found.ece == 0
    assert calibration(np.full(4, 1.0), np.zeros(4, bool)).ece == 1


def test_bin_has_its_upper_end_and_the_first_one_zero_too() -> None:
    found = calibration(np.array([0.0, 0.5, 0.51, 1.0]), np.ones(4, bool), bins=2)
    assert [(one.low, one.high, one.images) for one in found.bins] == [(0, 0.5, 2), (0.5, 1, 2)]


def test_empty_bin_has_neither_confidence_nor_accuracy() -> None:
    found = calibration(np.array([0.9]), np.array([True]), bins=3)
    assert [(one.confidence, one.accuracy) for one in found.bins] == [
        (None, None), (None, None), (0.9, 1.0),
    ]  # fmt: skip


def test_calibration_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no answers"):
        calibration(np.zeros(0), np.zeros(0, bool))
