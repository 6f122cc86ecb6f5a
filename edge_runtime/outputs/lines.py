"""Results as lines on standard output: JSON for programs, words for people."""

from __future__ import annotations

import json
import time
from typing import TextIO

from ..frames import LiveReading, SourceStatus
from ..health import Health

__all__ = ["JsonLines", "TextLines", "one_line"]

# Back to the line's beginning, and erase it; source: ECMA-48, "EL".
REWRITE = "\r\x1b[K"


class JsonLines:
    """One JSON object a line: results, and states whenever they change.

    A line of a result has the keys of `LiveReading.to_dict`. A line with the key "state" tells of
    the camera (`SourceStatus.to_dict`) and, below "machine", of heat and power.
    """

    def __init__(self, stream: TextIO, on_change: bool = False) -> None:
        """Writes to a stream that stays open.

        Args:
            stream: Where to.
            on_change: Results whose steady text is another one alone, and the first.
        """
        self._stream = stream
        self._on_change = on_change
        self._first = True

    def reading(self, reading: LiveReading) -> None:
        """Writes a result."""
        if reading.changed or self._first or not self._on_change:
            self._first = False
            self._write(reading.to_dict())

    def status(self, status: SourceStatus, health: Health) -> None:
        """Writes a state."""
        self._write({**status.to_dict(), "machine": health.to_dict()})

    def close(self) -> None:
        """Leaves the stream open: it is not ours."""

    def _write(self, values: dict[str, object]) -> None:
        # One call a line, and at once: the reader of a pipe sees each line whole.
        self._stream.write(json.dumps(values) + "\n")
        self._stream.flush()


class TextLines:
    """One line a result for a person; on a terminal the latest is written over the one before."""

    def __init__(self, stream: TextIO, on_change: bool = False) -> None:
        """Writes to a stream that stays open.

        Args:
            stream: Where to.
            on_change: Results whose steady text is another one alone, and the first.
        """
        self._stream = stream
        self._on_change = on_change
        self._first = True
        self._rewrites = stream.isatty() and not on_change
        self._unfinished = False

    def reading(self, reading: LiveReading) -> None:
        """Writes a result; a line whose text changed stays on the terminal."""
        if not (reading.changed or self._first or not self._on_change):
            return
        self._first = False
        clock = time.strftime("%H:%M:%S", time.localtime(reading.frame.captured_at))
        read = sum(not digit.rejected for digit in reading.digits)
        line = (
            f"{clock}  {one_line(reading.text) or '(nothing)'}  ({read} read, "
            f"{len(reading.digits) - read} rejected, {reading.age_ms:.0f} ms old, "
            f"{reading.dropped} dropped)"
        )
        if not self._rewrites:
            self._stream.write(line + "\n")
        elif reading.changed and self._unfinished:
            self._stream.write(f"\n{line}")
        else:
            self._stream.write(REWRITE + line)
        self._unfinished = self._rewrites
        self._stream.flush()

    def status(self, status: SourceStatus, health: Health) -> None:
        """Ends the line that would be written over: the state goes to standard error."""
        self.close()

    def close(self) -> None:
        """Ends the line."""
        if self._unfinished:
            self._unfinished = False
            self._stream.write("\n")
            self._stream.flush()


def one_line(text: str) -> str:
    r"""A text of several lines as one, without what would confuse a terminal.

    >>> one_line("12 3\n4711")
    '12 3 / 4711'
    """
    lines = " / ".join(text.split("\n"))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in lines)
