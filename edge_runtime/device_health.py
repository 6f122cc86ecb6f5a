"""Whether the service is well with the model that has just become active.

Three proofs: the restart command ended with 0 (with Type=notify that is after the first inference,
or a declared absence of the camera), the health command says 0 and goes on saying so for a while,
and the model answers its golden inputs through the active link. `health_timeout_s` is the limit of
the first two. What a slow restart leaves of it says nothing of the model, so each proof after it
has a time of its own that is never less.
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
from .selftest import SelfTest, SelfTestTimeoutError, run_self_test

__all__ = ["prove", "restart"]

# A service that dies of its model does so at its first frames; RestartSec in its unit is 5 s.
STEADY_S = 3.0
POLL_S = 0.5
# After a restart that succeeded the service is up; so long may a health command of another kind
# (a page that is asked for, say) take to see it.
FIRST_ANSWER_S = 10.0
# Three times what the slowest Pi takes (see `edge_runtime.selftest`): the service starts beside it.
SELF_TEST_S = 30.0
SHOWN_BYTES = 2000


def prove(
    folder: Path, tolerance: float, settings: Settings, progress: Callable[[str], None]
) -> SelfTest:
    """Restarts the service and watches it.

    Args:
        folder: The active model's folder, through the link.
        tolerance: How far a score may lie from the golden one.
        settings: The commands, and the seconds for them.
        progress: Called with one line for each step.

    Returns:
        What the self-test through the link found.

    Raises:
        DeviceError: One of the proofs failed; the text says which.
    """
    starts = time.monotonic()
    if settings.restart:
        progress("restarting the service")
        restart(settings.restart, settings.health_timeout_s)
    restarted = time.monotonic()
    deadline = starts + settings.health_timeout_s
    least_s = min(FIRST_ANSWER_S, settings.health_timeout_s)
    began = None
    if settings.health:
        progress("watching the service")
        began = _wait_for_first(settings.health, max(deadline, restarted + least_s))
    left_s = max(deadline - time.monotonic(), SELF_TEST_S)
    try:
        found = run_self_test(folder, tolerance, time_limit_s=left_s)
    except SelfTestTimeoutError as error:
        if not settings.restart:
            raise
        raise DeviceError(
            f"{error}, beside a service whose restart took {restarted - starts:.0f} s"
        ) from None
    # Once more at least, however long the golden inputs took.
    while began is not None:
        if (
            problem := _run(settings.health, max(deadline - time.monotonic(), least_s))
        ) is not None:
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
