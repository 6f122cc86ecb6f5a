"""The forced command of the key that brings models: receive, status and rollback, and no more.

sshd(8) starts it for every login with that key, whatever the other end asked for, and hands over
what that was in ``SSH_ORIGINAL_COMMAND``:

    restrict,command="/opt/edge/bin/edge-run-gate" ssh-ed25519 AAAA…

No shell sees that text. It is split at single spaces, and every word must be one of those below;
there is no way to name another folder, to take unsigned bundles or to start another program.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from .device_settings import SYSTEM_DIRECTORY
from .errors import DeviceError

__all__ = ["ORIGINAL_COMMAND", "main", "permitted"]

ORIGINAL_COMMAND = "SSH_ORIGINAL_COMMAND"
PROGRAMS = ("edge-run", "/opt/edge/bin/edge-run")
# An option stands for itself; one with a pattern takes the next word, which must match it.
VERBS: Mapping[str, Mapping[str, str | None]] = {
    "receive": {"--force": None, "--keep": "[1-9][0-9]?|100"},
    "status": {"--json": None},
    "rollback": {"--json": None},
}
# The longest command that can be permitted has 41 characters.
MAX_CHARACTERS = 100


def permitted(command: str) -> list[str]:
    """The arguments of ``edge-run`` that a command asks for, if it is one of those let through.

    Args:
        command: What the other end asked for; empty for a login shell.

    Returns:
        The verb and its options.

    Raises:
        DeviceError: It is anything else.

    >>> permitted("edge-run receive --keep 2")
    ['receive', '--keep', '2']
    """
    words = command.split(" ") if len(command) <= MAX_CHARACTERS else []
    if len(words) < 2 or words[0] not in PROGRAMS or words[1] not in VERBS:
        raise _refused(command)
    options = VERBS[words[1]]
    waiting = words[2:]
    given: set[str] = set()
    while waiting:
        option = waiting.pop(0)
        if option not in options or option in given:
            raise _refused(command)
        given.add(option)
        pattern = options[option]
        if pattern is not None and not (waiting and re.fullmatch(pattern, waiting.pop(0))):
            raise _refused(command)
    return words[1:]


def main() -> int:
    """Runs what the other end asked for, if that is let through.

    Returns:
        The exit status of ``edge-run``; 1 for anything else.
    """
    from .cli import main as edge_run

    try:
        verb, *options = permitted(os.environ.get(ORIGINAL_COMMAND, ""))
    except DeviceError as error:
        print(f"edge-run-gate: error: {error}", file=sys.stderr)
        return 1
    os.umask(0o022)  # The service, another user, reads what is stored here.
    return edge_run([verb, "--dir", str(SYSTEM_DIRECTORY), *options])


def _refused(command: str) -> DeviceError:
    # The text comes from outside: escape sequences must not reach a terminal.
    shown = ascii(command[:MAX_CHARACTERS]) if command else "a login shell"
    return DeviceError(
        f"this key may not ask for {shown}",
        "edge-run receive, status or rollback",
        "use python -m flash pi without --remote-command and --remote-dir",
    )


if __name__ == "__main__":
    sys.exit(main())
