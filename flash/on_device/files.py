"""Files, users and programs of the device, for `flash.on_device.installer`."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "STEP_S",
    "StepError",
    "beside",
    "full_name",
    "installed",
    "owner",
    "relink",
    "run",
    "with_line",
    "with_settings",
]

STEP_S = 300.0
"""Seconds for a step that has no other limit: a slow card, a cold start of Python."""

SETTINGS = "device.json"


class StepError(Exception):
    """A step that did not succeed; the text is for the person at the other end."""


def with_line(text: str, line: str, key: str, exact: bool) -> str:
    """A file of keys with a line in it.

    Args:
        text: The file.
        line: The line.
        key: The public key in it, as base64.
        exact: Replace other lines with that key; else one of them is enough.

    Returns:
        The file with the line; the lines of other keys stay.
    """
    lines = text.splitlines()
    of_key = [known for known in lines if key in known.split() and not known.startswith("#")]
    if of_key == [line] or (of_key and not exact):
        return text
    return "".join(f"{kept}\n" for kept in [*(old for old in lines if old not in of_key), line])


def with_settings(text: str, settings: dict[str, Any], overrides: dict[str, Any]) -> str:
    """``device.json`` with what it lacks; what the operator wrote stays.

    Args:
        text: The file, or "".
        settings: What it must have.
        overrides: What was asked for now, and replaces what is there.

    Returns:
        The file; the same text if nothing was lacking.

    Raises:
        StepError: It is not JSON.
    """
    try:
        found = json.loads(text or "{}")
        merged = {**settings, **found, **overrides}
    except (ValueError, TypeError):
        raise StepError(
            f"{SETTINGS} is no object in JSON; settings were expected; mend it or move it away"
        ) from None
    return text if merged == found else json.dumps(merged, indent=2) + "\n"


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


@contextmanager
def beside(path: Path, text: str, mode: int) -> Iterator[Path]:
    """A new file, on the disk, that the block renames to `path`; so is the folder afterwards.

    Args:
        path: The file to replace.
        text: Its new content.
        mode: Its permissions.

    Yields:
        The new file's path, in the same folder.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def relink(link: Path, target: str) -> None:
    """Lets a link lead elsewhere: a new one, renamed over it; on the disk when this returns.

    Args:
        link: The link.
        target: Where it shall lead.
    """
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    os.sync()


def full_name(name: str) -> str | None:
    """A user's full name.

    Args:
        name: The login name.

    Returns:
        What /etc/passwd has, or None where there is no such user.
    """
    with suppress(KeyError):
        return pwd.getpwnam(name).pw_gecos
    return None


def installed(package: str) -> bool:
    """Whether a Debian package is there.

    Args:
        package: Its name.

    Returns:
        Whether it is unpacked and set up.
    """
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout == "installed"


def owner(found: os.stat_result) -> str:
    """Whose a file is.

    Args:
        found: What `os.stat` says of it.

    Returns:
        "user:group", or "" for a user or group without a name.
    """
    try:
        return f"{pwd.getpwuid(found.st_uid).pw_name}:{grp.getgrgid(found.st_gid).gr_name}"
    except KeyError:
        return ""
