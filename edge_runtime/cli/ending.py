"""Ends a loop cleanly on Ctrl-C and when a service manager or a closed terminal asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Ending", "Overdue", "ended_by_signals"]

# The loop looks every quarter of a second; what it does for one frame takes no longer.
GRACE_S = 0.8
TIMED = hasattr(signal, "setitimer")  # Not on Windows.


class Overdue(BaseException):
    """The loop was asked to end and has not: something in it waits for ever."""


class Ending:
    """How a loop is asked to end.

    Attributes:
        stop: Set when it is to end.
        interrupted: It was Ctrl-C.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.interrupted = False

    def in_time(self) -> None:
        """The loop has ended: finishing files may take what it takes."""
        if TIMED and threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def ended_by_signals(grace_s: float = GRACE_S) -> Iterator[Ending]:
    """Turns SIGINT, SIGTERM and SIGHUP into a request to end, while the block runs.

    A second Ctrl-C interrupts as usual. A block that hangs, such as on a pipe that nobody reads, is
    left by `Overdue` after `grace_s`. A signal that this process ignores, as under ``nohup``, stays
    ignored. Outside the main thread, where Python takes no signals, nothing is changed.

    Args:
        grace_s: Seconds to end in after the request.

    Yields:
        The request, to be looked at.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if ending.interrupted:
                raise KeyboardInterrupt
            ending.interrupted = True
        ending.stop.set()
        if TIMED:
            signal.setitimer(signal.ITIMER_REAL, grace_s)

    def overdue(number: int, frame: FrameType | None) -> None:
        raise Overdue

    before = {}
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, ask)
    if TIMED:
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, overdue)
    try:
        yield ending
    finally:
        ending.in_time()
        for number, handler in before.items():
            signal.signal(number, handler)
