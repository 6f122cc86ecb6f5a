"""Telling on stderr what a long measurement is doing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["timed_progress"]


def timed_progress(width: int = 5) -> Callable[[str], None]:
    """A function that writes a line to stderr, after the seconds since this call.

    Args:
        width: Least characters that the seconds take, with one decimal.

    Returns:
        The function; it takes one line of text.
    """
    began = time.monotonic()

    def progress(line: str) -> None:
        print(f"[{time.monotonic() - began:{width}.1f} s] {line}", file=sys.stderr, flush=True)

    return progress
