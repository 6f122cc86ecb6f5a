"""Parts of a camera loop for tests: results made by hand, a supply of frames, a stand-in reader."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from edge_runtime.frames import CameraState, Frame, LiveReading, SourceStatus
from edge_runtime.reading import Box, Digit, Reading, Timings

LABELS = tuple("0123456789")


def make_digit(label: str, x: int = 0, rejected: bool = False) -> Digit:
    probabilities = np.full(10, 0.01, np.float32)
    probabilities[LABELS.index(label)] = 0.91
    return Digit(label, LABELS.index(label), 0.91, Box(x, 4, 8, 12), rejected, 0, probabilities)


def make_frame(text: str = "", number: int = 0, size: tuple[int, int] = (24, 96)) -> Frame:
    """A grey frame that carries its text in its first pixels, for `Reader` to find."""
    pixels = np.full(size, 200, np.uint8)
    codes = text.encode()
    pixels[0, : len(codes) + 1] = [*codes, 0]
    return Frame(pixels, number, time.time(), time.monotonic(), capture_ms=1.5)


class Reader:
    """Reads what `make_frame` wrote; stands in for a classifier where its answers do not matter."""

    def __init__(self) -> None:
        self.frames = 0

    def read(self, pixels: np.ndarray) -> Reading:
        self.frames += 1
        row = pixels[0] if pixels.ndim == 2 else pixels[0, :, 0]
        text = bytes(row[: int(np.argmin(row))]).decode()
        digits = tuple(make_digit(c, 10 * i) for i, c in enumerate(text) if c in LABELS)
        inputs = np.zeros((len(digits), 28, 28, 1), np.uint8)
        return Reading(text, digits, inputs, Timings(0.0, 2.0, 0.5, 0.25))


class Supply:
    """Gives the frames it was given, then a state; what a `Capture` does, without a thread."""

    def __init__(
        self,
        frames: Sequence[Frame | CameraState],
        after: CameraState = CameraState.ENDED,
        dropped: int = 0,
    ) -> None:
        self._waiting = list(frames)
        self._after = after
        self._state = CameraState.RUNNING
        self.dropped = dropped
        self.timeouts: list[float] = []

    @property
    def status(self) -> SourceStatus:
        while self._waiting and isinstance(self._waiting[0], CameraState):
            self._state = self._waiting.pop(0)
            break
        else:
            if not self._waiting:
                self._state = self._after
        reason = "" if self._state is CameraState.RUNNING else f"it is {self._state.value}"
        return SourceStatus(self._state, reason, 1.0, None, 0, "a camera", {"fps": 10.0})

    def newest(self, timeout: float) -> Frame | None:
        self.timeouts.append(timeout)
        if self._waiting and isinstance(self._waiting[0], Frame):
            return self._waiting.pop(0)
        time.sleep(min(timeout, 0.01))
        return None


@pytest.fixture
def frame() -> Callable[..., Frame]:
    """``frame("47", number=3)`` is a frame on which `reader` finds that."""
    return make_frame


@pytest.fixture
def reader() -> Reader:
    """Stands in for a classifier."""
    return Reader()


@pytest.fixture
def supply() -> Callable[..., Supply]:
    """``supply([frame, frame, CameraState.ABSENT, frame])`` gives one after the other."""
    return Supply


@pytest.fixture
def live_reading() -> Callable[..., LiveReading]:
    """``live_reading("47", changed=True)`` is a result of the loop."""

    def make(text: str = "", changed: bool = False, **others: Any) -> LiveReading:
        made = others.pop("frame", None) or make_frame(text)
        reading = Reader().read(made.pixels)
        return LiveReading(made, reading, text, changed, others.get("age_ms", 12.5), 0)

    return make


@pytest.fixture
def source_status() -> Callable[..., SourceStatus]:
    """``source_status(CameraState.ABSENT, "gone")`` is a source's state."""

    def make(state: CameraState, reason: str = "", **granted: Any) -> SourceStatus:
        return SourceStatus(state, reason, 1.0, None, 0, "a camera", granted)

    return make


@pytest.fixture
def deadline() -> Iterator[None]:
    """Ends a test that hangs as a failure, also within a system call. Not on Windows."""
    seconds = 60

    def overdue(number: int, stack: object) -> None:
        pytest.fail(f"it hung for {seconds} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """``wait_until(condition, "what")`` waits long, and fails with those words."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                pytest.fail(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.02)

    return wait


@pytest.fixture
def free_port() -> Callable[[], int]:
    """``free_port()`` is a port of 127.0.0.1 that nobody listens on."""
    import socket

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
