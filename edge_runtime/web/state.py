"""What the camera loop reported last, and what follows from it: rate, percentiles, age."""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import LiveReading, SourceStatus
from ..machine import machine_facts
from ..reading import Reading

__all__ = ["LiveState", "MachineState", "digits_in_detail", "picture_data"]

# Results that rate and percentiles are taken from: some seconds.
WINDOW = 120
# A rate is told from results that are no older than this.
RATE_SECONDS = 3.0
# What a machine reports of heat and power changes slowly, and asking takes a process on a Pi.
MACHINE_SECONDS = 5.0


class LiveState:
    """The newest result of the camera loop; `publish` costs the loop a few microseconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reading: LiveReading | None = None
        self._status: SourceStatus | None = None
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._ages: deque[float] = deque(maxlen=WINDOW)
        self._results = 0

    def publish(self, reading: LiveReading) -> None:
        """Takes one result of the loop."""
        now = self._clock()
        with self._lock:
            self._reading = reading
            self._times.append(now)
            self._latencies.append(reading.reading.latency_ms)
            self._ages.append(reading.age_ms)
            self._results += 1

    def publish_status(self, status: SourceStatus) -> None:
        """Takes the state of the source."""
        with self._lock:
            self._status = status

    @property
    def status(self) -> SourceStatus | None:
        """The source's state as last reported."""
        with self._lock:
            return self._status

    @property
    def results(self) -> int:
        """How many results there were."""
        with self._lock:
            return self._results

    def rate_fps(self) -> float:
        """Results a second, over the last seconds; 0 when they have stopped coming."""
        now = self._clock()
        with self._lock:
            recent = [t for t in self._times if now - t <= RATE_SECONDS]
        if len(recent) < 2:
            return 0.0
        # Up to now if the next one is overdue: a loop that has stopped is slow, not fast.
        span = recent[-1] - recent[0]
        overdue = now - recent[-1] > 2 * span / (len(recent) - 1)
        return (len(recent) - 1) / (span + (now - recent[-1] if overdue else 0.0) or 1e-9)

    def to_dict(self) -> dict[str, Any] | None:
        """The newest result with rate, percentiles and its digits in detail; None before any."""
        with self._lock:
            newest = self._reading
            latencies, ages = list(self._latencies), list(self._ages)
        if newest is None:
            return None
        return {
            **newest.to_dict(),
            "digits": digits_in_detail(newest.reading),
            "frame_size": [newest.frame.pixels.shape[1], newest.frame.pixels.shape[0]],
            "age_now_ms": (self._clock() - newest.frame.monotonic) * 1000,
            "fps": self.rate_fps(),
            "latency_ms": _percentiles(latencies),
            "age_percentiles_ms": _percentiles(ages),
        }


class MachineState:
    """This machine's heat and load; asked at most every few seconds, by one thread at a time."""

    def __init__(self, facts: Callable[[], dict[str, Any]] = machine_facts) -> None:
        self._facts = facts
        self._lock = threading.Lock()
        self._asked = -MACHINE_SECONDS
        self._known: dict[str, Any] = dict.fromkeys(
            ("board", "machine", "temperature_c", "throttled", "load")
        )

    def to_dict(self) -> dict[str, Any]:
        """Board, machine, temperature in °C, reasons for throttling, load; None: not known."""
        if time.monotonic() - self._asked >= MACHINE_SECONDS and self._lock.acquire(blocking=False):
            try:
                facts = self._facts()
                self._known = {key: facts[key] for key in self._known}
                self._asked = time.monotonic()
            finally:
                self._lock.release()
        return self._known


def digits_in_detail(reading: Reading) -> list[dict[str, Any]]:
    """A reading's digits with all probabilities and what the model saw, as plain JSON values."""
    return [
        {
            **digit.to_dict(),
            "probabilities": [round(float(p), 6) for p in digit.probabilities],
            "input": picture_data(pixels),
        }
        for digit, pixels in zip(reading.digits, reading.inputs, strict=True)
    ]


def picture_data(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Pixels as plain JSON values.

    Args:
        pixels: uint8 of shape (height, width, channels).

    Returns:
        `width`, `height`, `channels`, and `data`: the bytes, row by row, in base64.
    """
    height, width, channels = pixels.shape
    data = base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()
    return {"width": width, "height": height, "channels": channels, "data": data}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}
