"""Ansible, called as the program it is: which devices there are, and one run of the playbook."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_runtime.errors import MissingDependencyError

from ..errors import FlashError

__all__ = ["PLAYBOOK", "Run", "find_ansible", "list_devices", "run_playbook"]

PLAYBOOK = Path(__file__).resolve().parent / "deploy.yml"
# A dynamic inventory asks a cloud or a database; nobody waits longer for a list of names.
LIST_TIMEOUT_S = 300.0
# After Ctrl-C Ansible ends its connections; then it is ended.
GRACE_S = 20.0
KEPT_LINES = 200


@dataclass(frozen=True)
class Run:
    """How a run of the playbook ended.

    Attributes:
        exit_status: Ansible's: 0 all went well, 2 devices failed, 4 devices were not reached.
        error: The last error that Ansible itself reported, or None.
        cpu_s: CPU time of Ansible and of the ssh clients that it waited for, in seconds.
        interrupted: Somebody pressed Ctrl-C.
    """

    exit_status: int
    error: str | None
    cpu_s: float
    interrupted: bool


def find_ansible() -> Path:
    """Where the program ``ansible-playbook`` is.

    Returns:
        Its path: in the environment of this Python, else on the path for programs.

    Raises:
        MissingDependencyError: It is not installed.
    """
    # A virtual environment that is called by its path, not activated, is not on $PATH.
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    found = shutil.which("ansible-playbook", path=places)
    if found is None:
        raise MissingDependencyError(
            "the program ansible-playbook is not installed",
            "the extra fleet",
            "pip install -e '.[fleet]'",
        )
    return Path(found)


def list_devices(program: Path, inventory: str, limit: str | None) -> tuple[str, ...]:
    """The names of the devices that a run would have.

    Args:
        program: ``ansible-playbook``.
        inventory: The inventory, as for ``ansible-playbook -i``.
        limit: A pattern of Ansible's, or None for every device.

    Returns:
        The names, sorted.

    Raises:
        FlashError: There is no such inventory, it cannot be read, or no device matches.
    """
    # "a,b," is a list of names, for Ansible and here.
    if "," not in inventory and not Path(inventory).exists():
        raise FlashError(
            f"there is no inventory {inventory}",
            "a file or folder that names the devices",
            "see docs/fleet.md for one",
        )
    command = [*_command(program, inventory, limit), "--list-hosts"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment({}),
            timeout=LIST_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FlashError(
            f"the inventory {inventory} named no devices within {LIST_TIMEOUT_S:.0f} s"
        ) from None
    devices = re.findall(r"^ {6}(\S.*)$", done.stdout, re.MULTILINE)
    if devices:
        return tuple(sorted(devices))
    if limit is not None and "no hosts to target" in done.stderr:
        raise FlashError(
            f"no device of {inventory} matches {limit!r}",
            "a device, a group or a pattern of Ansible's",
            f"ansible-inventory -i {inventory} --graph shows them",
        )
    error = _last_error(done.stderr.splitlines())
    if error is not None:
        raise FlashError(f"Ansible cannot read the inventory {inventory}: {error}")
    raise FlashError(
        f"the inventory {inventory} names no device", "at least one", "see docs/fleet.md"
    )


def run_playbook(
    program: Path,
    inventory: str,
    limit: str | None,
    variables: Mapping[str, Any],
    *,
    forks: int,
    check: bool,
    record: IO[bytes],
) -> Run:
    """Runs the playbook; what it tells of devices goes into the record, and as words to stderr.

    Args:
        program: ``ansible-playbook``.
        inventory: The inventory.
        limit: A pattern, ``@FILE`` for a file of names, or None.
        variables: Extra variables.
        forks: How many devices are served at a time.
        check: Only ask the devices.
        record: The record, open and locked: Ansible inherits it, and with it the lock.

    Returns:
        How it ended.
    """
    command = [
        *_command(program, inventory, limit),
        *("--forks", str(forks)),
        *("--extra-vars", json.dumps(variables)),
        *(("--check",) if check else ()),
    ]
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    interrupted = False
    # Whoever ends this command means the run: Ansible is to end its connections too.
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_environment({"EDGE_FLEET_RECORD": record.name}),
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
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(child.returncode, _last_error(list(lines)), round(cpu_s, 2), interrupted)


def _command(program: Path, inventory: str, limit: str | None) -> list[str]:
    narrowed = [] if limit is None else ["--limit", limit]
    return [str(program), str(PLAYBOOK), "--inventory", inventory, *narrowed]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Settings of Ansible's that are not the person's to choose here; the rest is ansible.cfg's."""
    return {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "edge_fleet",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        # One command a device: a connection kept open for a minute would serve nothing more, and
        # after it nobody would look at the host key again. The rest of ssh_args stays as it is.
        "ANSIBLE_SSH_CONTROL_PATH": "none",
        # An inventory that cannot be read must not look like one that is empty.
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        **more,
    }


def _forward(stream: IO[str], lines: deque[str]) -> None:
    for line in stream:
        lines.append(line.rstrip())
        print(line, end="", file=sys.stderr, flush=True)


def _end(child: subprocess.Popen[str]) -> None:
    """Lets Ansible end as on Ctrl-C; it may have been pressed for it already."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def _last_error(lines: Sequence[str]) -> str | None:
    """What Ansible calls an error: "[ERROR]: …"; releases before 2.19 wrote "ERROR! …"."""
    found = [re.match(r"\[ERROR\]: (.+)|ERROR! (.+)", line) for line in lines]
    errors = [match[1] or match[2] for match in found if match]
    return errors[-1] if errors else None


def _has_descriptor(stream: IO[str]) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True
