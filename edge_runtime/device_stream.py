"""Where a bundle comes from on a device: standard input, read with limits of time."""

from __future__ import annotations

import os
import select
import time

from .errors import DeviceError

__all__ = ["TOTAL_LIMIT_S", "PatientStream"]

# A transfer from which nothing comes for so long has lost its other end; the lock must not outlive
# it, or a cut cable would block the next attempt.
IDLE_LIMIT_S = 60.0
# And so would one that drips: the largest bundle (80 MiB) comes in that time at 50 KB/s.
TOTAL_LIMIT_S = 1800.0


class PatientStream:
    """A file descriptor read with limits on silence and on the whole transfer.

    Args:
        descriptor: An open pipe or socket.
        idle_limit_s: Seconds without a byte after which the other end counts as lost.
        total_limit_s: Seconds for everything.
    """

    def __init__(
        self,
        descriptor: int,
        idle_limit_s: float = IDLE_LIMIT_S,
        total_limit_s: float = TOTAL_LIMIT_S,
    ) -> None:
        self._descriptor = descriptor
        self._idle_limit_s = idle_limit_s
        self._total_limit_s = total_limit_s
        self._ends = time.monotonic() + total_limit_s

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end.

        Args:
            size: The most to read.

        Returns:
            What has arrived.

        Raises:
            DeviceError: Nothing came for too long, or everything too slowly.
        """
        if time.monotonic() > self._ends:
            raise DeviceError(
                f"the transfer took more than {self._total_limit_s:.0f} s",
                "the rest of the bundle",
                "use a faster connection",
            )
        if not select.select([self._descriptor], [], [], self._idle_limit_s)[0]:
            raise DeviceError(
                f"nothing arrived for {self._idle_limit_s:.0f} s",
                "the rest of the bundle",
                "check the connection and send it again",
            )
        return os.read(self._descriptor, size)
