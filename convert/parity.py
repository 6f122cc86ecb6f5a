"""Statistics for comparing two classifiers on the same pictures.

Conversion and benchmarks both use these, so that they say the same thing. The interval of a single
accuracy is `edge_runtime.measure.wilson_interval`, which a device needs as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.measure import wilson_interval

__all__ = ["Agreement", "agreement", "mcnemar"]


@dataclass(frozen=True)
class Agreement:
    """How far two classifiers give the same answers.

    Attributes:
        agreeing: Pictures on which both name the same class.
        compared: Pictures compared.
        max_difference: The largest difference between two scores of the same class and picture;
            NaN if a score is not a number.
    """

    agreeing: int
    compared: int
    max_difference: float

    @property
    def fraction(self) -> float:
        """Agreeing pictures among all, 0 to 1."""
        return self.agreeing / self.compared

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of `fraction`."""
        return wilson_interval(self.agreeing, self.compared)


def agreement(scores_a: NDArray[Any], scores_b: NDArray[Any]) -> Agreement:
    """Compares the scores of two classifiers on the same pictures.

    Args:
        scores_a: Array of shape (N, classes), N at least 1.
        scores_b: Array of the same shape.

    Returns:
        How often the best class is the same (of equal scores the lower index counts, as in
        `edge_runtime.quantization.top_k`), and the largest difference.

    Raises:
        InputError: The shapes differ, or there is nothing to compare.

    >>> agreement(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.8, 0.2], [0.5, 0.5]])).agreeing
    1
    """
    if scores_a.shape != scores_b.shape or scores_a.ndim != 2 or scores_a.size == 0:
        raise InputError(
            f"scores of the shapes {scores_a.shape} and {scores_b.shape} cannot be compared",
            "two arrays of one shape (pictures, classes)",
        )
    same = scores_a.argmax(axis=1) == scores_b.argmax(axis=1)
    difference = np.abs(np.asarray(scores_a, np.float64) - np.asarray(scores_b, np.float64))
    return Agreement(int(same.sum()), len(same), float(difference.max()))


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact McNemar test: do two classifiers differ in accuracy on the same pictures?

    Source: Q. McNemar, "Note on the Sampling Error of the Difference between Correlated
    Proportions or Percentages", Psychometrika 12 (1947), 153-157; exact form: the discordant
    pictures follow a binomial distribution with probability one half.

    Args:
        only_a: Pictures that only the first classifier has right.
        only_b: Pictures that only the second has right.

    Returns:
        Two-sided p-value; 1.0 if no picture tells them apart.

    Raises:
        InputError: A count is negative.

    >>> mcnemar(1, 9)
    0.021484375
    """
    if only_a < 0 or only_b < 0:
        raise InputError(f"{only_a} and {only_b} are not counts", "whole numbers from 0")
    if only_a + only_b == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)
