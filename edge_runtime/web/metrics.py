"""What the page knows, for Prometheus; in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..frames import CameraState
from .state import LiveState, MachineState
from .stream import Stream

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text format that every Prometheus reads."""

# From a small model on a desktop to a photo on a Pi Zero, in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts requests, and tells the camera loop's state when it is asked."""

    def __init__(self, live: LiveState, stream: Stream, machine: MachineState) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "edge_http_requests",
            "Requests answered, by route and status",
            ["route", "status"],
            registry=self._registry,
        )
        self.answers = Histogram(
            "edge_answer_seconds",
            "Seconds from a picture to its answer, waiting included",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Loop(live, stream, machine))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Loop:
    """Read when Prometheus asks, so that the camera loop has nothing to do for it."""

    def __init__(self, live: LiveState, stream: Stream, machine: MachineState) -> None:
        self._live, self._stream, self._machine = live, stream, machine

    def collect(self) -> Iterator[Metric]:
        """The facts as they are now."""
        yield _gauge("edge_stream_viewers", "Viewers of the live picture", self._stream.viewers)
        yield _counter("edge_stream_frames", "Frames encoded for viewers", self._stream.encoded)
        temperature = self._machine.to_dict()["temperature_c"]
        if temperature is not None:
            yield _gauge("edge_temperature_celsius", "Of the processor", temperature)
        if (status := self._live.status) is not None:
            states = GaugeMetricFamily(
                "edge_camera_state", "1 for the state the camera is in", labels=["state"]
            )
            for state in CameraState:
                states.add_metric([state.value], float(state is status.state))
            yield states
            yield _counter(
                "edge_camera_reconnections", "Times the camera came back", status.reconnections
            )
        yield _counter("edge_camera_results", "Frames read", self._live.results)
        if (newest := self._live.to_dict()) is not None:
            yield _counter("edge_camera_dropped", "Frames never read", newest["dropped"])
            yield _gauge("edge_camera_fps", "Frames read a second", newest["fps"])
            yield _gauge(
                "edge_camera_age_seconds",
                "Age of the newest frame when it was read",
                newest["age_ms"] / 1000,
            )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
