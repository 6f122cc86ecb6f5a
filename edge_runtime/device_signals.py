"""SIGTERM, SIGHUP and Ctrl-C: each ends work so that it is undone, and never the undoing.

The handler raises only where `shield` is not in force; what comes meanwhile is remembered and acted
on by `unshield`. `Interrupted` is no error: whatever handles errors on its way ("this file cannot
be read, so it is damaged") must not mistake one for the other.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import DeviceError

__all__ = ["WATCHED", "Interrupted", "interruptible", "shield", "undone_by_signals", "unshield"]

# A computer that writes firmware may run Windows, which has no hang-up.
WATCHED = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)
)


class Interrupted(BaseException):
    """A signal asked for the end."""


class _Heard:
    """What the handler shares with the work; a process has one set of handlers.

    Attributes:
        raises: Whether a signal interrupts what is going on.
        name: The first signal that came.
    """

    raises = False
    name: str | None = None


def _hear(number: int, _: FrameType | None) -> None:
    _Heard.name = _Heard.name or signal.Signals(number).name
    if _Heard.raises:
        _Heard.raises = False
        raise Interrupted(_Heard.name)


@contextmanager
def undone_by_signals(what: str) -> Iterator[None]:
    """Lets the first signal end the block with an error, so that it is undone.

    Args:
        what: What goes on, for the error.

    Raises:
        DeviceError: A signal came.
    """
    _Heard.name = None
    before = {}
    for number in WATCHED:
        # One that is ignored, as under nohup, stays so. A handler, unlike that, is not inherited by
        # the commands that are started.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _hear)
    _Heard.raises = True
    try:
        yield
    except Interrupted as end:
        raise DeviceError(f"{what} was ended by {end}") from None
    finally:
        _Heard.raises = False
        for number, handler in before.items():
            signal.signal(number, handler)


def shield() -> None:
    """From here on no signal interrupts."""
    _Heard.raises = False


def unshield() -> None:
    """Signals interrupt again; one that came meanwhile does so at once."""
    _Heard.raises = True
    if _Heard.name is not None:
        _Heard.raises = False
        raise Interrupted(_Heard.name)


@contextmanager
def interruptible() -> Iterator[None]:
    """The part of shielded work that a signal may interrupt."""
    try:
        unshield()
        yield
    finally:
        shield()
