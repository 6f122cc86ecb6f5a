"""The camera loop as a systemd service: when it is ready, alive, and what it does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from .frames import CameraState, LiveReading, SourceStatus
from .sd_notify import notify

__all__ = ["Service"]

# `systemctl status` is for people; they do not read faster.
STATUS_INTERVAL_S = 1.0
# sd_watchdog_enabled(3) advises to ping at half the time; a loaded Pi is given some more room.
PINGS_A_PERIOD = 4
WAITING = (CameraState.ABSENT, CameraState.STALLED)


class Service:
    """Reports to systemd; does nothing where no service manager listens.

    READY comes with the first result, or once the camera is declared absent or stalled: a service
    whose camera is unplugged is up and waits. A WATCHDOG ping needs the same each time, so a loop
    in which nothing completes any more is restarted, and one without a camera is not.
    """

    def __init__(
        self,
        send: Callable[..., object] = notify,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads what systemd expects.

        Args:
            send: What takes the fields.
            environment: The environment's variables.
            clock: Seconds that never go back.
        """
        self._send = send
        self._clock = clock
        self._ready = False
        self._ping_s = _watchdog_s(environment) / PINGS_A_PERIOD
        self._pinged = self._described = float("-inf")
        self._said = ""
        self._waiting: SourceStatus | None = None

    def reading(self, reading: LiveReading) -> None:
        """A result is complete."""
        self._alive()
        if self._clock() - self._described >= STATUS_INTERVAL_S:
            self._describe(
                f"reads {reading.text!r}, {reading.age_ms:.0f} ms old, {reading.dropped} dropped"
            )

    def status(self, status: SourceStatus) -> None:
        """The camera's state is another one."""
        self._waiting = status if status.state in WAITING else None
        self._describe(f"camera {status.state.value}: {status.reason or status.name}")
        self.idle()

    def idle(self) -> None:
        """Nothing happened; that is as it should be while the camera is declared away."""
        if self._waiting is not None:
            self._alive()

    def stopping(self) -> None:
        """The loop ends."""
        self._send(STOPPING="1", STATUS="ends")

    def _alive(self) -> None:
        now = self._clock()
        if not self._ready:
            self._ready = True
            self._send(READY="1")
        if self._ping_s and now - self._pinged >= self._ping_s:
            self._pinged = now
            self._send(WATCHDOG="1")

    def _describe(self, words: str) -> None:
        if words != self._said:
            self._said, self._described = words, self._clock()
            self._send(STATUS=words)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Seconds within which systemd wants a ping of this process; 0 if it wants none."""
    try:
        if int(environment.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
        return max(0, int(environment.get("WATCHDOG_USEC", 0))) / 1e6
    except ValueError:
        return 0.0
