"""Whether the service is well with the model that has just become active.

Three proofs within one limit of time: the restart command ended with 0 (with Type=notify that is
after the first inference, or a declared absence of the camera), the health command says 0 and goes
on saying so for a while, and the model answers its golden inputs through the active link.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .device_settings import Settings
from .errors import DeviceError
from .selftest import SelfTest, run_self_test

__all__ = ["prove", "restart"]

# A service that dies of its model does so at its first frames; RestartSec in its unit is 5 s.
STEADY_S = 3.0
POLL_S = 0.5
# After a restart that succeeded the service is up; so long may a health command of another kind
# (a page that is asked for, say) take to see it.
FIRST_ANSWER_S = 10.0
SHOWN_BYTES = 2000


def prove(
    folder: Path, tolerance: float, settings: Settings, progress: Callable[[str], None]
) -> SelfTest:
    """Restarts the service and watches it.

    Args:
        folder: The active model's folder, through the link.
        tolerance: How far a score may lie from the golden one.
        settings: The commands, and the seconds for all of this.
        progress: Called with one line for each step.

    Returns:
        What the self-test through the link found.

    Raises:
        DeviceError: One of the proofs failed; the text says which.
    """
    deadline = time.monotonic() + settings.health_timeout_s
    if settings.restart:
        progress("restarting the service")
        restart(settings.restart, settings.health_timeout_s)
    began = None
    if settings.health:
        progress("watching the service")
        began = _wait_for_first(settings.health, deadline)
    found = run_self_test(folder, tolerance, time_limit_s=max(deadline - time.monotonic(), 1.0))
    # Once more at least, however long the golden inputs took.
    while began is not None:
        if (problem := _run(settings.health, max(deadline - time.monotonic(), 1.0))) is not None:
            raise DeviceError(
                f"the service was well with the new model and then no more: {problem}"
            )
        if time.monotonic() >= began + STEADY_S:
            break
        time.sleep(POLL_S)
    return found


def restart(command: Sequence[str], limit_s: float) -> None:
    """Runs the restart command.

    Args:
        command: Its words.
        limit_s: Seconds after which it is killed.

    Raises:
        DeviceError: It cannot be run, ended with something else than 0, or did not end.
    """
    if (problem := _run(command, limit_s)) is not None:
        raise DeviceError(f"the service could not be restarted: {problem}")


def _wait_for_first(command: Sequence[str], deadline: float) -> float:
    """The moment at which the health command first said 0."""
    ends = min(time.monotonic() + FIRST_ANSWER_S, deadline)
    while True:
        problem = _run(command, max(deadline - time.monotonic(), 1.0))
        if problem is None:
            return time.monotonic()
        if time.monotonic() + POLL_S > ends:
            raise DeviceError(f"the service is not well with the new model: {problem}")
        time.sleep(POLL_S)


def _run(command: Sequence[str], limit_s: float) -> str | None:
    """Runs a command; says in words how it failed, or returns None."""
    name = " ".join(command)
    # Its words go to a file in memory: a pipe would stay open as long as anything that it started.
    with os.fdopen(os.memfd_create("words"), "w+b") as words:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        except OSError as error:
            return f"{name!r} cannot be run ({error.strerror or error})"
        try:
            status = process.wait(timeout=limit_s)
        except BaseException as error:
            # It may have ended by itself, and a sudo that became root is not ours to kill.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=POLL_S)
            if isinstance(error, subprocess.TimeoutExpired):
                return f"{name!r} did not end within {limit_s:.0f} s"
            raise
        if status == 0:
            return None
        words.seek(0)
        said = words.read(SHOWN_BYTES).decode("utf-8", "replace").strip().splitlines()
        reason = f" ({said[-1].strip()})" if said else ""
        return f"{name!r} ended with {status}{reason}"
