from __future__ import annotations

import numpy as np
import pytest

from convert.parity import agreement, mcnemar
from edge_runtime.errors import InputError
from edge_runtime.measure import wilson_interval


def test_mcnemar_is_the_exact_two_sided_binomial_test() -> None:
    # 2 * (1 + 10) / 2**10
    assert mcnemar(1, 9) == mcnemar(9, 1) == pytest.approx(22 / 1024)


def test_mcnemar_sees_no_difference_where_nothing_differs() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(7, 7) == pytest.approx(1.0)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(InputError, match="not counts"):
        mcnemar(-1, 2)


def test_agreement_counts_the_same_best_class_and_takes_the_lower_index_of_a_tie() -> None:
    float_scores = np.array([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3]])
    int_scores = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    result = agreement(float_scores, int_scores)
    assert (result.agreeing, result.compared) == (1, 3)
    assert result.max_difference == pytest.approx(0.5)
    assert result.fraction == pytest.approx(1 / 3)
    assert result.interval == wilson_interval(1, 3)


def test_agreement_with_a_score_that_is_no_number_has_no_difference_to_show() -> None:
    result = agreement(np.array([[0.6, 0.4]]), np.array([[0.6, np.nan]]))
    assert np.isnan(result.max_difference)


def test_agreement_refuses_scores_of_different_shapes_and_of_nothing() -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        agreement(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(InputError, match="cannot be compared"):
        agreement(np.zeros((0, 3)), np.zeros((0, 3)))
