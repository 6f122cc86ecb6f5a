"""Keeping a talkative library off the terminal.

TensorFlow writes to the process's standard output and error from Python and from C++ ("Saved
artifact at …", "fully_quantize: …"), so the file descriptors themselves have to be turned aside.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import IO

__all__ = ["CapturedOutput", "captured_output"]

# The end of a log is where the reason stands; a quantizer can write megabytes before it.
SHOWN_LINES = 40
SHOWN_BYTES = 64 * 1024


class CapturedOutput:
    """What was written while the terminal was kept clean."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def tail(self) -> str:
        """The last lines of the captured text, while the block that captured it is open."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - SHOWN_BYTES))
        text = self._file.read().decode(errors="replace")
        self._file.seek(0, os.SEEK_END)
        return "\n".join(text.splitlines()[-SHOWN_LINES:])


@contextmanager
def captured_output() -> Iterator[CapturedOutput]:
    """Sends standard output and error of the whole process into a temporary file.

    Not for a process in which another thread talks to the person at the same time.

    Yields:
        The captured text.
    """
    with tempfile.TemporaryFile() as file, ExitStack() as stack:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            if stream is not None:
                stream.flush()
            _turn_aside(descriptor, file.fileno(), stack)
        # sys.stdout need not be descriptor 1: notebooks and test runners put their own in place.
        text = stack.enter_context(
            open(os.dup(file.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
        )
        stack.enter_context(redirect_stdout(text))
        stack.enter_context(redirect_stderr(text))
        yield CapturedOutput(file)


def _turn_aside(descriptor: int, target: int, stack: ExitStack) -> None:
    try:
        saved = os.dup(descriptor)
    except OSError:  # The process was started without it (`>&-`).
        return
    stack.callback(os.close, saved)
    stack.callback(os.dup2, saved, descriptor)
    os.dup2(target, descriptor)
