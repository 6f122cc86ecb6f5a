from __future__ import annotations

import numpy as np
import pytest

from convert.parity import agreement, mcnemar, wilson_interval
from edge_runtime.errors import InputError


def test_wilson_interval_has_the_values_of_the_formula() -> None:
    # By hand: centre (p + z²/2n) / (1 + z²/n) and its half width, z = 1.959964, p = 0.8, n = 10.
    assert wilson_interval(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)


def test_wilson_interval_of_no_mistake_still_has_a_width_and_ends_at_one() -> None:
    low, high = wilson_interval(500, 500)
    assert low == pytest.approx(0.992376, abs=1e-6)
    assert high == pytest.approx(1.0)
    assert wilson_interval(0, 10)[0] == pytest.approx(0.0)


def test_wilson_interval_widens_with_the_confidence() -> None:
    narrow, wide = wilson_interval(90, 100, 0.8), wilson_interval(90, 100, 0.99)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


@pytest.mark.parametrize("counts", [(5, 4), (-1, 4), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(counts: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"no interval for {counts[0]} of {counts[1]}"):
        wilson_interval(*counts)


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
