"""How long a source of frames is waited for, and when it is tried again: no threads, no clock."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backoff", "Patience", "Stillness"]


@dataclass(frozen=True)
class Patience:
    """The times after which `Capture` acts, in seconds.

    Attributes:
        open_s: An opening that takes longer is abandoned. A USB camera takes up to three seconds,
            a network camera's name two tries at five.
        read_s: A read that takes longer is abandoned; above what our sources take by themselves.
        frozen_s: Byte-identical frames for so long are no live picture: sensors have noise.
        first_retry_s: The wait before the first new try; doubled for each further one.
        last_retry_s: The longest wait.
        well_s: Frames for so long show that it ran well, and the waits begin anew.
        close_s: How long `Capture.close` waits for its threads.
        max_stuck: A device is not opened again while so many abandoned calls have not returned.
    """

    open_s: float = 15.0
    read_s: float = 10.0
    frozen_s: float = 10.0
    first_retry_s: float = 1.0
    last_retry_s: float = 60.0
    well_s: float = 10.0
    close_s: float = 0.8
    max_stuck: int = 3

    def scaled(self, factor: float) -> Patience:
        """The same with all seconds multiplied, for tests that have no minutes to wait.

        >>> Patience().scaled(0.1).last_retry_s
        6.0
        """
        seconds = {
            field.name: getattr(self, field.name) * factor
            for field in fields(self)
            if field.name.endswith("_s")
        }
        return Patience(**seconds, max_stuck=self.max_stuck)


class Backoff:
    """Waits that double up to a longest one.

    >>> waits = Backoff(Patience())
    >>> [waits.next_wait_s() for _ in range(8)]
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    >>> waits.reset()
    >>> waits.next_wait_s()
    1.0
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.reset()

    def reset(self) -> None:
        """It ran well: the next wait is the first one again."""
        self._next_s = self._patience.first_retry_s

    def next_wait_s(self) -> float:
        """Seconds to wait now."""
        wait_s = self._next_s
        self._next_s = min(self._patience.last_retry_s, 2 * wait_s)
        return wait_s


class Stillness:
    """Since when a source has given the same picture.

    Attributes:
        moving: The newest frame differed from the one before, or was the first.
        still_s: Seconds for which it has been the same.
    """

    # A look at every 61st byte tells two frames of a real sensor apart; the whole is compared
    # only if that finds nothing. A prime, so that it is no column of the picture.
    STEP = 61

    def __init__(self, last: NDArray[np.uint8] | None = None) -> None:
        self.last = last
        self.moving = False
        self.still_s = 0.0
        self._since: float | None = None

    def see(self, pixels: NDArray[np.uint8], now: float) -> None:
        """Takes the next frame.

        Args:
            pixels: The frame; kept, so it must not be written to.
            now: When it came, in seconds of any clock.
        """
        self.moving = self.last is None or not _same(self.last, pixels, self.STEP)
        if self.moving or self._since is None:
            self._since = now
        self.last, self.still_s = pixels, now - self._since


def _same(one: NDArray[np.uint8], other: NDArray[np.uint8], step: int) -> bool:
    if one.shape != other.shape:
        return False
    flat, other_flat = one.reshape(-1), other.reshape(-1)
    return np.array_equal(flat[::step], other_flat[::step]) and np.array_equal(flat, other_flat)
