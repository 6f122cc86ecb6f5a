"""Running percentiles of the camera loop's timings, in memory that does not grow."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InputError

__all__ = ["LiveStats", "RunningPercentiles", "Spread"]

# Ten seconds at 30 frames a second: enough for a 95th percentile that 15 frames lie above, and
# short enough to show what the loop does now, not what it did an hour ago.
WINDOW = 300


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile of the latest values, in their unit."""

    p50: float
    p95: float


class RunningPercentiles:
    """Percentiles of the latest values.

    The values are kept twice, in the order they came and sorted, so that a new one costs a few
    microseconds and a percentile nothing.
    """

    def __init__(self, window: int = WINDOW) -> None:
        """Begins empty.

        Args:
            window: How many of the latest values count, at least 1.

        Raises:
            InputError: `window` is below 1.
        """
        if window < 1:
            raise InputError(f"the window is {window}", "a whole number from 1")
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []
        self._window = window

    def add(self, value: float) -> None:
        """Takes a value in, and forgets the oldest one where the window is full."""
        if len(self._latest) == self._window:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(value)
        insort(self._sorted, value)

    def percentile(self, percent: float) -> float:
        """A percentile by linear interpolation, as NumPy computes it by default.

        Args:
            percent: 0 to 100.

        Returns:
            The percentile; NaN before the first value.

        >>> values = RunningPercentiles()
        >>> for value in (4.0, 1.0, 3.0, 2.0):
        ...     values.add(value)
        >>> values.percentile(50)
        2.5
        """
        if not self._sorted:
            return float("nan")
        place = (len(self._sorted) - 1) * percent / 100
        below = int(place)
        above = min(below + 1, len(self._sorted) - 1)
        low, high = self._sorted[below], self._sorted[above]
        return low + (high - low) * (place - below)


class LiveStats:
    """Running percentiles of several timings, each by its name."""

    def __init__(self, window: int = WINDOW) -> None:
        """Begins empty.

        Args:
            window: How many of the latest values of each count, at least 1.
        """
        self._window = window
        self._series: dict[str, RunningPercentiles] = {}

    def add(self, timings: Mapping[str, float]) -> None:
        """Takes one frame's timings in, in milliseconds by name."""
        for name, value in timings.items():
            if name not in self._series:
                self._series[name] = RunningPercentiles(self._window)
            self._series[name].add(value)

    def spreads(self) -> dict[str, Spread]:
        """Median and 95th percentile of each, by name."""
        return {
            name: Spread(values.percentile(50), values.percentile(95))
            for name, values in self._series.items()
        }
