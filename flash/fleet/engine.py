"""Ansible, called as the program it is: its version, its settings, and one run of the playbook."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_runtime.cli.shell import printable
from edge_runtime.errors import MissingDependencyError

from ..errors import FlashError
from ..programs import find_program

__all__ = ["PLAYBOOK", "Run", "ask", "find_ansible", "last_error", "run_playbook"]

PLAYBOOK = Path(__file__).resolve().parent / "deploy.yml"
# What the callback and the action use of Ansible; setup.cfg asks for the same.
MINIMUM_VERSION = (2, 19)
# A dynamic inventory asks a cloud or a database; nobody waits longer for a list of names.
ASK_TIMEOUT_S = 300.0
# After Ctrl-C Ansible ends its connections; then it is ended.
GRACE_S = 20.0
KEPT_LINES = 200
# Settings of Ansible's that are not the person's to choose here; the rest is ansible.cfg's. Others
# stand in the play and in the role, where they also beat the inventory: strategy, no_log, and that
# host keys are checked.
SETTINGS = {
    "ANSIBLE_STDOUT_CALLBACK": "edge_fleet",
    # One command a device: a connection kept open for a minute would serve nothing more, and after
    # it nobody would look at the host key again. The rest of ssh_args stays as it is.
    "ANSIBLE_SSH_CONTROL_PATH": "none",
    # An inventory that cannot be read must not look like one that is empty.
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
    # The variables of groups belong to the devices.
    "ANSIBLE_INVENTORY_EXPORT": "False",
    # We read what it says.
    "ANSIBLE_FORCE_COLOR": "False",
    # Somebody's tags for other playbooks would leave ours without tasks.
    "ANSIBLE_RUN_TAGS": "all",
    "ANSIBLE_SKIP_TAGS": "",
    # They would be written beside our playbook; there is --resume.
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
}


@dataclass(frozen=True)
class Run:
    """How a run of the playbook ended.

    Attributes:
        exit_status: Ansible's: 0 all went well, 2 devices failed, 4 devices were not reached; minus
            the signal that killed it.
        error: The last error that Ansible itself reported, or None.
        cpu_s: CPU time of Ansible and of the ssh clients that it waited for, in seconds.
        interrupted: Somebody pressed Ctrl-C.
    """

    exit_status: int
    error: str | None
    cpu_s: float
    interrupted: bool

    @property
    def reason(self) -> str:
        """Why it ended, where that was no device's fault."""
        if self.exit_status < 0:
            return f"it was killed by signal {-self.exit_status}"
        return self.error or f"exit status {self.exit_status}"


def find_ansible() -> Path:
    """Where the program ``ansible-playbook`` is.

    Returns:
        Its path.

    Raises:
        MissingDependencyError: It is not installed, or too old.
        FlashError: It cannot be started.
    """
    program = find_program("ansible-playbook", extra="fleet")
    done = ask(program, "--version")
    # "ansible-playbook [core 2.19.14]"; before 2.11 there is no "core".
    found = re.match(r"ansible-playbook \[?(?:core )?(\d+)\.(\d+)([^\]\s]*)", done.stdout)
    if found is None:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise FlashError(
            f"{program} cannot start: {lines[-1] if lines else f'exit status {done.returncode}'}",
            "ansible-playbook",
            "pip install -e '.[fleet]'",
        )
    if (int(found[1]), int(found[2])) < MINIMUM_VERSION:
        raise MissingDependencyError(
            f"{program} is of ansible-core {found[1]}.{found[2]}{found[3]}",
            f"ansible-core {MINIMUM_VERSION[0]}.{MINIMUM_VERSION[1]} or later (the extra fleet)",
            "pip install -e '.[fleet]'",
        )
    return program


def ask(program: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Calls a program of Ansible's that only tells something.

    Args:
        program: The program.
        arguments: Its arguments.
        settings: Further settings, as environment variables.

    Returns:
        Its exit status and what it printed.

    Raises:
        FlashError: It cannot be started, or does not end.
    """
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **SETTINGS, **settings},
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise FlashError(
            f"{program} cannot start: {error.strerror}", "", "pip install -e '.[fleet]'"
        ) from None
    except subprocess.TimeoutExpired:
        raise FlashError(f"{program.name} gave no answer within {ASK_TIMEOUT_S:.0f} s") from None


def run_playbook(program: Path, arguments: Sequence[str], record: IO[bytes]) -> Run:
    """Runs the playbook; what it tells of devices goes into the record, and as words to stderr.

    Args:
        program: ``ansible-playbook``.
        arguments: Its arguments, beside the playbook.
        record: The record, open and locked: Ansible inherits it, and with it the lock.

    Returns:
        How it ended.
    """
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    before = _children_cpu_s()
    interrupted = False
    # Whoever ends this command means the run: Ansible is to end its connections too.
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with subprocess.Popen(
            [program, PLAYBOOK, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **SETTINGS, "EDGE_FLEET_RECORD": record.name},
            pass_fds=(record.fileno(),),
        ) as child:
            reader = threading.Thread(target=_forward, args=(child.stderr, lines), daemon=True)
            reader.start()
            try:
                child.wait()
            except KeyboardInterrupt:
                interrupted = True
                _end(child)
            # Its workers hold the pipe as well, and may outlive it by a transfer.
            reader.join(timeout=1.0)
    finally:
        signal.signal(signal.SIGTERM, terminate)
    cpu_s = round(_children_cpu_s() - before, 2)
    return Run(child.returncode, last_error(list(lines)), cpu_s, interrupted)


def last_error(lines: Sequence[str]) -> str | None:
    """The last of the lines in which Ansible reports an error, without "[ERROR]: "."""
    found = [re.match(r"\[ERROR\]: (.+)", line) for line in lines]
    errors = [match[1] for match in found if match]
    return errors[-1] if errors else None


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _forward(stream: IO[str], lines: deque[str]) -> None:
    for line in stream:
        lines.append(printable(line.rstrip()))
        print(lines[-1], file=sys.stderr, flush=True)


def _end(child: subprocess.Popen[str]) -> None:
    """Lets Ansible end as on Ctrl-C; it may have been pressed for it already."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def _has_descriptor(stream: IO[str]) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True
