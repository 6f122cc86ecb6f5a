"""Programs that the installation runs on the device, and those that it ends."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["STEP_S", "StepError", "end_processes", "installed", "last_words", "run", "succeeds"]

STEP_S = 300.0
"""Seconds for a step that has no other limit: a slow card, a cold start of Python."""

# A shell and sshd end at once; what does not is killed.
PATIENCE_S, POLL_S = 5.0, 0.1


class StepError(Exception):
    """A step that did not succeed; the text is for the person at the other end."""


def run(*command: str, timeout_s: float = STEP_S, **variables: str) -> None:
    """Runs a program.

    Args:
        command: The program and its arguments.
        timeout_s: Seconds after which it is killed.
        variables: What its environment has beside ours.

    Raises:
        StepError: It ended with something else than 0, or not in time.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C.UTF-8", **variables},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StepError(f"{' '.join(command[:4])} did not end within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else "it said nothing"
        raise StepError(f"{' '.join(command[:4])} ended with {done.returncode}: {reason}")


def succeeds(*command: str) -> bool:
    """Whether a program ends with 0.

    Args:
        command: The program and its arguments.
    """
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def last_words(unit: str, since: float) -> str:
    """Why a service did not start, in its own words or else in systemd's.

    Args:
        unit: Its name.
        since: When it was started, in seconds since 1970. Not by the start's own number: systemd
            may have begun the next start already.

    Returns:
        The line, or "" where nobody said anything or the journal cannot be read.
    """
    with suppress(StepError):
        run("journalctl", "--sync")
    # Not "-n 1", which together with --since is the first line there.
    journal = ("journalctl", "-q", "-b", "--no-pager", "-o", "cat", f"--since=@{since:.0f}")
    # The process before it said something in the end, too: that is no reason.
    own = _output(*journal, f"_SYSTEMD_UNIT={unit}").splitlines()
    if errors := [line for line in own if "error:" in line]:
        return errors[-1].strip()
    about = _output(*journal, f"UNIT={unit}", "_PID=1").splitlines()
    ends = [line for line in about if re.search("exited,|time(d )?out", line)]
    return ends[-1].strip().removeprefix(f"{unit}: ") if ends else ""


def installed(package: str) -> bool:
    """Whether a Debian package is there.

    Args:
        package: Its name.

    Returns:
        Whether it is unpacked and set up.
    """
    return _output("dpkg-query", "-W", "-f", "${db:Status-Status}", package) == "installed"


def end_processes(name: str) -> None:
    """Ends everything that runs as a user: a login, and what it started.

    Args:
        name: The user's name.

    Raises:
        StepError: Something does not end.
    """
    number, ends = pwd.getpwnam(name).pw_uid, time.monotonic() + PATIENCE_S
    while found := _processes(number):
        late = time.monotonic() - ends
        if late > PATIENCE_S:
            raise StepError(f"process {found[0]} of {name} does not end; restart the device")
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if late > 0 else signal.SIGTERM)
        time.sleep(POLL_S)


def _processes(number: int) -> list[int]:
    """The processes of a user (proc(5), "status": real, effective, saved and file system UID)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if str(number) in fields["Uid"].split() and not fields["State"].strip().startswith("Z"):
                found.append(int(status.parent.name))
    return found


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=STEP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
