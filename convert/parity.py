"""Statistics for comparing two classifiers on the same pictures.

Each function is a thin, named door to SciPy, so that conversion and benchmarks say the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

__all__ = ["Agreement", "agreement", "mcnemar", "wilson_interval"]


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


def wilson_interval(
    correct: int, total: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The Wilson score interval of a proportion.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), 209-212. Unlike the textbook
    interval it stays within 0 and 1 and keeps its width when every answer is correct.

    Args:
        correct: Successes, 0 to `total`.
        total: Trials, at least 1.
        confidence: Coverage, between 0 and 1.

    Returns:
        Lower and upper bound, 0 to 1.

    Raises:
        InputError: The counts or the confidence are impossible.

    >>> low, high = wilson_interval(9929, 10000)
    >>> f"{low:.4f} {high:.4f}"
    '0.9911 0.9944'
    """
    if not 0 <= correct <= total or total == 0 or not 0 < confidence < 1:
        raise InputError(
            f"there is no interval for {correct} of {total} at {confidence} confidence",
            "0 to N successes in N trials, and a confidence between 0 and 1",
        )
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


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
