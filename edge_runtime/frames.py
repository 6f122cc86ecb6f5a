"""What passes between a camera, the loop that reads its frames, and those who watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .live_stats import Spread
from .reading import Digit, Reading, Timings

__all__ = ["CameraState", "Frame", "LiveReading", "SourceStatus"]


@dataclass(frozen=True)
class Frame:
    """One picture from a source.

    Attributes:
        pixels: uint8 of shape (H, W, 3) RGB or (H, W) grey; not to be written to.
        number: Counts the source's frames from 0, over reconnections too; those nobody saw as well.
        captured_at: When it came from the source, in seconds since 1970 (`time.time`).
        monotonic: The same moment by `time.monotonic`, from which ages are computed.
        capture_ms: Milliseconds that fetching and decoding it took, without waiting for the camera
            where that can be told apart.
    """

    pixels: NDArray[np.uint8]
    number: int
    captured_at: float
    monotonic: float
    capture_ms: float = 0.0


class CameraState(Enum):
    """Where a source is; the value is what is shown and written to JSON."""

    OPENING = "opening"
    RUNNING = "running"
    ABSENT = "absent"
    """It is not there, or busy, or gone; it is tried again."""
    STALLED = "stalled"
    """It is open but gives no frame, or the same one again and again; it is opened anew."""
    ENDED = "ended"
    """A file, folder or picture was shown to its end."""


@dataclass(frozen=True)
class SourceStatus:
    """A source's state at some moment.

    Attributes:
        state: Where it is.
        reason: One line for a person: what happened, and what will be done; "" while all is well.
        since: When this state began, by `time.time`.
        next_try_s: Seconds until it is opened again, None if that is not planned.
        reconnections: How often it came back.
        name: The source as the user named it, or as `auto` found it, without passwords.
        granted: What the device granted: "width", "height", "fps", "format", "exposure", as known.
    """

    state: CameraState
    reason: str
    since: float
    next_try_s: float | None
    reconnections: int
    name: str
    granted: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {
            "state": self.state.value,
            "reason": self.reason,
            "since": self.since,
            "next_try_s": self.next_try_s,
            "reconnections": self.reconnections,
            "source": self.name,
            "granted": self.granted,
        }


@dataclass(frozen=True)
class LiveReading:
    """What the camera loop made of one frame.

    Attributes:
        frame: The frame.
        reading: What was read on this frame alone.
        text: The steady text: what changes only after some frames agree, if smoothing is on;
            otherwise the reading's own.
        changed: The steady text differs from that of the result before.
        age_ms: How old the frame was when the result was ready, in milliseconds.
        dropped: Frames that were never read since the loop began, because newer ones had come.
        spreads: Running median and 95th percentile of the timings and of "age", in milliseconds.
    """

    frame: Frame
    reading: Reading
    text: str
    changed: bool
    age_ms: float
    dropped: int
    spreads: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def digits(self) -> tuple[Digit, ...]:
        """All characters found on the frame."""
        return self.reading.digits

    @property
    def timings_ms(self) -> Timings:
        """What the steps took."""
        return self.reading.timings_ms

    def to_dict(self) -> dict[str, Any]:
        """What `edge-run camera --json` prints, as plain JSON values."""
        return {
            "frame": self.frame.number,
            "captured_at": self.frame.captured_at,
            "age_ms": self.age_ms,
            "text": self.text,
            "digits": [digit.to_dict() for digit in self.digits],
            "timings_ms": self.timings_ms.to_dict(),
            "dropped": self.dropped,
            # In microsecond steps: no clock here is better, and there is a line for every frame.
            "percentiles_ms": {
                name: {"p50": round(spread.p50, 3), "p95": round(spread.p95, 3)}
                for name, spread in self.spreads.items()
            },
        }
