from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.live_stats import LiveStats, RunningPercentiles, Spread


def test_percentiles_are_numpys_of_the_latest_values() -> None:
    values = np.random.default_rng(1).gamma(2.0, 5.0, 1000).round(1)
    running = RunningPercentiles(window=50)
    for i, value in enumerate(values):
        running.add(float(value))
        latest = values[max(0, i - 49) : i + 1]
        for percent in (0, 50, 95, 100):
            assert running.percentile(percent) == pytest.approx(np.percentile(latest, percent))


def test_memory_does_not_grow() -> None:
    running = RunningPercentiles(window=10)
    for i in range(5000):
        running.add(float(i % 7))
    assert len(running._latest) == len(running._sorted) == 10


def test_nothing_is_not_a_number() -> None:
    assert math.isnan(RunningPercentiles().percentile(50))


def test_each_timing_has_its_own_spread() -> None:
    stats = LiveStats(window=3)
    for value in (9.0, 1.0, 2.0, 3.0):
        stats.add({"invoke": value, "age": 10 * value})
    assert stats.spreads() == {"invoke": Spread(2.0, 2.9), "age": Spread(20.0, 29.0)}


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(InputError, match="the window is 0"):
        RunningPercentiles(0)
