"""The camera loop: the newest frame in, what is read on it out, and never a backlog."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from .errors import InputError
from .frames import CameraState, Frame, LiveReading, SourceStatus
from .live_stats import LiveStats
from .smoothing import SteadyText

if TYPE_CHECKING:
    from .classifier import Classifier
    from .sources import FrameSource

__all__ = ["FrameSupply", "events", "watch"]

# How long the loop sleeps at most before it looks whether it is to end, or the state has changed.
TICK_S = 0.25


class FrameSupply(Protocol):
    """What the loop takes frames from; `edge_runtime.capture.Capture` is one."""

    @property
    def status(self) -> SourceStatus:
        """The source's state now."""
        ...

    @property
    def dropped(self) -> int:
        """Frames that nobody took before a newer one came."""
        ...

    def newest(self, timeout: float) -> Frame | None:
        """A frame that was not handed out before; None if none came within `timeout` seconds."""
        ...


if TYPE_CHECKING:
    LiveSource = FrameSupply | FrameSource | str | int | os.PathLike[str]


def watch(
    classifier: Classifier,
    source: LiveSource,
    *,
    stable: int = 1,
    max_frames: int | None = None,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> Iterator[LiveReading]:
    """Reads a camera's newest frame, again and again.

    While the camera is away it waits and goes on when it is back. To see that too, use `events`.

    Args:
        classifier: What reads.
        source: A running `Capture`, which stays open; or a source, or what `open_source` takes,
            which is opened for the loop and closed after it.
        stable: How far a new text must be ahead before it replaces the steady one (`SteadyText`).
        max_frames: End after so many results.
        seconds: End after so many seconds.
        stop: End when it is set, within a quarter of a second.

    Returns:
        An iterator with a result for each frame that was read. Frames that came meanwhile were
        dropped, unless the source is not live. Closing or dropping it ends the loop.

    Raises:
        InputError: An impossible option.
        EdgeRuntimeError: The source cannot be used at all, or the interpreter failed.
    """
    all_events = events(
        classifier, source, stable=stable, max_frames=max_frames, seconds=seconds, stop=stop
    )
    return (event for event in all_events if isinstance(event, LiveReading))


def events(
    classifier: Classifier,
    source: LiveSource,
    *,
    stable: int = 1,
    max_frames: int | None = None,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> Iterator[LiveReading | SourceStatus | None]:
    """What `watch` yields, and what happens to the camera.

    Args:
        classifier: See `watch`.
        source: See `watch`.
        stable: See `watch`.
        max_frames: See `watch`.
        seconds: See `watch`.
        stop: See `watch`.

    Returns:
        An iterator with a `LiveReading` for each frame read, a `SourceStatus` at the start and
        whenever its state or reason is another one, RUNNING before the first result, and None
        when nothing happened for a quarter of a second: time to look after other things.

    Raises:
        InputError: See `watch`.
        EdgeRuntimeError: See `watch`.
    """
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames is {max_frames}", "a whole number from 1")
    if seconds is not None and not seconds > 0:
        raise InputError(f"seconds is {seconds}", "a number above 0")
    steady = SteadyText(stable)
    # Not in the generator: whoever mistypes an option is told where the call stands.
    return _events(classifier, source, steady, max_frames, seconds, stop or threading.Event())


def _events(
    classifier: Classifier,
    source: LiveSource,
    steady: SteadyText,
    max_frames: int | None,
    seconds: float | None,
    stop: threading.Event,
) -> Iterator[LiveReading | SourceStatus | None]:
    ends = None if seconds is None else time.monotonic() + seconds
    stats = LiveStats()
    told: tuple[CameraState, str] | None = None
    ran = False
    count = 0
    with _supply(source) as supply:
        while not stop.is_set():
            # Asked for before the frame: whatever came before the end is then still to be had.
            status = supply.status
            if (status.state, status.reason) != told:
                told = status.state, status.reason
                ran = ran or status.state is CameraState.RUNNING
                yield status
            left = TICK_S if ends is None else min(TICK_S, ends - time.monotonic())
            if left <= 0:
                return
            frame = supply.newest(left)
            if frame is None:
                if status.state is CameraState.ENDED:
                    return
                yield None
                continue
            if status.state is not CameraState.RUNNING:
                # It began to run while the frame was waited for. A short file is over again by now:
                # what it granted is told before its first result all the same.
                status = supply.status
                if not ran:
                    status = _running(status, frame)
                if status.state is CameraState.RUNNING:
                    ran, told = True, (status.state, status.reason)
                    yield status
            yield _read(classifier, frame, steady, stats, supply)
            count += 1
            if count == max_frames:
                return


def _running(status: SourceStatus, frame: Frame) -> SourceStatus:
    """The state in which a frame came, if it is not that any more."""
    if status.state is CameraState.RUNNING:
        return status
    return replace(
        status, state=CameraState.RUNNING, reason="", since=frame.captured_at, next_try_s=None
    )


def _read(
    classifier: Classifier,
    frame: Frame,
    steady: SteadyText,
    stats: LiveStats,
    supply: FrameSupply,
) -> LiveReading:
    reading = classifier.read(frame.pixels)
    timings = replace(reading.timings_ms, capture=frame.capture_ms)
    changed = steady.update(reading.text)
    age_ms = (time.monotonic() - frame.monotonic) * 1000
    stats.add({**timings.to_dict(), "age": age_ms})
    return LiveReading(
        frame=frame,
        reading=replace(reading, timings_ms=timings),
        text=steady.text,
        changed=changed,
        age_ms=age_ms,
        dropped=supply.dropped,
        spreads=stats.spreads(),
    )


def _supply(source: LiveSource) -> AbstractContextManager[FrameSupply]:
    """A running capture as it is, or one made for the source and closed after use."""
    if isinstance(source, str | int | os.PathLike):
        from .sources import open_source

        source = open_source(source if isinstance(source, int) else os.fspath(source))
    elif hasattr(source, "newest"):
        return nullcontext(cast(FrameSupply, source))
    from .capture import Capture

    return Capture(source)
