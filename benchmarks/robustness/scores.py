"""How well scores tell known from unknown, and how well they say how often they are right."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

__all__ = ["BINS", "Bin", "Calibration", "auroc", "calibration"]

BINS = 15
"""As Guo, Pleiss, Sun and Weinberger take them in all their tables."""


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence lies in one interval.

    Attributes:
        low: The interval's lower end, which is outside.
        high: Its upper end, which is inside.
        images: Answers in it.
        confidence: Their mean confidence, 0 to 1; None where there are none.
        accuracy: The share of them that is right; None where there are none.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy are apart.

    Attributes:
        ece: Expected calibration error, 0 (0.9 means right in nine of ten cases) to 1.
        images: Answers it was taken from.
        bins: The intervals of confidence.
    """

    ece: float
    images: int
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        values = asdict(self)
        values["bins"] = list(values["bins"])
        return values


def auroc(known: NDArray[Any], unknown: NDArray[Any]) -> float:
    """Area under the ROC curve of a score that should be higher for what is known.

    It is the probability that something known, drawn at random, is scored higher than something
    unknown, a tie counting half: the Mann-Whitney U statistic divided by the number of pairs.
    Sources: Hanley and McNeil, "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve", Radiology 143 (1982), 29-36; with the maximum softmax probability
    as score: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution
    examples in neural networks", ICLR 2017.

    Args:
        known: (N,), the scores of what is known, N at least 1.
        unknown: (M,), the scores of what is not, M at least 1.

    Returns:
        1 where every known score is above every unknown one; 0.5 where they do not differ.

    Raises:
        InputError: There are no scores on one side.

    >>> auroc(np.array([0.9, 0.8]), np.array([0.8, 0.1]))
    0.875
    """
    if not len(known) or not len(unknown):
        raise InputError(f"{len(known)} known and {len(unknown)} unknown scores", "some of each")
    below = np.sort(unknown)
    # Counting both those below and those not above, each pair counts twice and a tie once.
    halves = np.searchsorted(below, known, "left") + np.searchsorted(below, known, "right")
    return float(halves.sum(dtype=np.float64) / (2 * len(known) * len(unknown)))


def calibration(
    confidence: NDArray[Any], right: NDArray[np.bool_], bins: int = BINS
) -> Calibration:
    """Expected calibration error: the mean gap between confidence and accuracy, bin by bin.

    Over bins B of equal width it is the sum of |B| / n · |accuracy(B) - confidence(B)|. Source:
    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017,
    equations 3 to 5.

    Args:
        confidence: (N,), probabilities of the answers given, 0 to 1, N at least 1.
        right: bool (N,), whether each answer is right.
        bins: Number of intervals of (0, 1].

    Returns:
        The error and the bins it was taken from.

    Raises:
        InputError: There are no answers.

    >>> calibration(np.array([0.75, 0.75]), np.array([True, False])).ece
    0.25
    """
    total = len(confidence)
    if not total:
        raise InputError("there are no answers to take a calibration error from", "at least one")
    confidence = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    # Each interval has its upper end; a probability of 0 goes with the first.
    place = np.searchsorted(edges[1:-1], confidence, "left")
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    means = np.bincount(place, confidence, bins) / filled
    shares = np.bincount(place, right, bins) / filled
    return Calibration(
        ece=float((counts / total) @ np.abs(shares - means)),
        images=total,
        bins=tuple(
            Bin(
                float(edges[i]),
                float(edges[i + 1]),
                int(counts[i]),
                float(means[i]) if counts[i] else None,
                float(shares[i]) if counts[i] else None,
            )
            for i in range(bins)
        ),
    )
