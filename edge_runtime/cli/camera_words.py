"""What ``edge-run camera`` tells a person of its source and of what it did."""

from __future__ import annotations

import time

from ..capture import TRIED_AGAIN
from ..errors import SourceError
from ..frames import CameraState, LiveReading, SourceStatus
from ..live_stats import Spread
from ..sources import FrameSource

__all__ = ["Tally", "no_frame", "state_words"]


def state_words(status: SourceStatus) -> str:
    """A camera's state in one line."""
    words = f"camera {status.state.value}: {status.reason or status.name}"
    if status.state is CameraState.RUNNING and status.granted:
        granted = ", ".join(f"{name} {value}" for name, value in status.granted.items())
        words += f" ({granted})"
    return words


def no_frame(source: FrameSource, status: SourceStatus | None) -> SourceError:
    """The error for a loop that has seen nothing, with the camera's own reason if it gave one."""
    reason = "" if status is None else status.reason.removesuffix(TRIED_AGAIN)
    if not reason:
        return SourceError(f"no frame came from {source.name}", "a picture", "see edge-run doctor")
    # Most reasons name the camera, and end in what to do.
    place = "" if source.name in reason else f" from {source.name}"
    return SourceError(f"no frame came{place}: {reason}")


class Tally:
    """What the loop did, for its last words.

    Attributes:
        frames: Results so far.
        status: The source's latest state.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.frames = 0
        self.status: SourceStatus | None = None
        self._last: LiveReading | None = None

    def reading(self, reading: LiveReading) -> None:
        """Counts a result."""
        if not self.frames:
            self._began = time.monotonic()
        self.frames += 1
        self._last = reading

    def words(self) -> str:
        """Frames, rate and timings in one line."""
        if self._last is None:
            return "no frame was read"
        seconds = time.monotonic() - self._began
        rate = f", {(self.frames - 1) / seconds:.1f} a second" if self.frames > 1 else ""
        times = ", ".join(f"{name} {_spread(s)}" for name, s in self._last.spreads.items())
        return (
            f"{self.frames} frames{rate}, {self._last.dropped} dropped; "
            f"milliseconds, median (95 %): {times}"
        )


def _spread(spread: Spread) -> str:
    return f"{spread.p50:.1f} ({spread.p95:.1f})"
