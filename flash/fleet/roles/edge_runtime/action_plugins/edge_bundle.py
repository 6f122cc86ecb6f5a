"""The Ansible action `edge_bundle`: one bundle over standard input to one command on the device.

Ansible's modules start a Python of their own on the device, and copying a file takes several of
them. Here there is one connection and one command, ``edge-run receive``, which is all that a device
with a restricted key lets through. Connection, privileges and timeouts are Ansible's own.

In check mode the device is asked for its status alone, and nothing is sent. Ansible runs this file
in its own process: it needs nothing but Ansible and the standard library.
"""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

__all__ = ["ActionModule"]

# The names and the order of the files are those of edge_runtime/bundle.py, format version 2.
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
MAX_MANIFEST_BYTES = 2**19
# POSIX shells: 127 "command not found", 126 "found but not executable".
NOT_FOUND = (126, 127)
# pipe(7): what can be written to a pipe that nobody reads yet.
PIPE_BYTES = 2**16
# What `compare` relies on in a device's status, beside what is active there.
STATUS = {
    "signed_only": bool,
    "device_type": str,
    "runtime": str,
    "counter": int,
    "free_bytes": int,
}
# As edge_runtime/manifest.py reads one: "1.2rc1" is 1.2.
VERSION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9}){0,4}).{0,40}")
SHAPE = ("height", "width", "channels", "labels")


class ActionModule(ActionBase):
    """Sends a bundle; afterwards its model is active there, or the old one still is."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"bundle", "command", "dir", "options"})

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What Ansible calls for each device.

        Args:
            tmp: Of no meaning any more.
            task_vars: The device's variables.

        Returns:
            The task's result: `outcome` is "activated", "unchanged" or, in check mode,
            "would-activate"; `active`, `previous` and `self_test` are the device's answer.

        Raises:
            AnsibleActionFail: The bundle cannot be read, or the device refused it.
        """
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        self._insist_on_known_hosts()
        path = self._find_needle("files", self._task.args["bundle"])
        manifest, signed = read_manifest(path)
        options = [str(option) for option in self._task.args.get("options") or []]
        if self._task.check_mode:
            found = self._ask("status", ["--json"], b"\n", is_status)
            result.update(compare(manifest, signed, found, force="--force" in options))
        else:
            data = Path(path).read_bytes()
            model = manifest["model"]["sha256"]
            found = self._ask("receive", options, data, lambda answer: is_receipt(answer, model))
            result.update({key: found.get(key) for key in ("outcome", "active", "previous")})
            result["self_test"] = found.get("self_test")
        result["changed"] = result["outcome"] != "unchanged"
        return result

    def _insist_on_known_hosts(self) -> None:
        """A device that could be another machine gets no bundle, whatever ansible.cfg allows."""
        if self._connection.transport == "ssh":
            # ssh keeps the first value that it is given, and these arguments come first.
            more = self._connection.get_option("ssh_args") or ""
            self._connection.set_option("ssh_args", f"-o StrictHostKeyChecking=yes {more}")

    def _ask(
        self, verb: str, options: list[str], data: bytes, is_answer: Callable[[Any], bool]
    ) -> dict[str, Any]:
        """One verb of the runtime there, and the JSON object it answers with."""
        if not self._connection.has_pipelining:
            raise AnsibleActionFail(
                f"the connection {self._connection.transport} feeds no program; "
                "a connection that can was expected; set ansible_connection to ssh"
            )
        folder = self._task.args.get("dir")
        where = ["--dir", folder] if folder else []
        program = self._task.args.get("command") or "edge-run"
        command = f"{program} {shlex.join([verb, *where, *options])}"
        done = self._feed(command, data)
        answer = find_answer(done["stdout"], is_answer)
        # `status` ends with 1 and answers all the same where the active model is damaged.
        if answer is not None and (done["rc"] == 0 or verb == "status"):
            return answer
        raise AnsibleActionFail(explain(done, program))

    def _feed(self, command: str, data: bytes) -> dict[str, Any]:
        """Runs a command with `data` as its standard input."""
        try:
            return self._run_there(command, data)
        except AnsibleConnectionFailure as error:
            # A device that refuses a large bundle by its first lines closes the pipe while Ansible
            # writes. If ssh is still there one millisecond later, and on a busy controller it is
            # in one case of four, Ansible calls that unreachable and throws the device's words
            # away.
            if not isinstance(error.__cause__, BrokenPipeError) or len(data) <= PIPE_BYTES:
                raise
        # Its words on the beginning alone: it refuses again, or says that the rest is missing.
        return self._run_there(command, data[:PIPE_BYTES])

    def _run_there(self, command: str, data: bytes) -> dict[str, Any]:
        # As the module raw does: no shell of Ansible's around it, for a forced command.
        done: dict[str, Any] = self._low_level_execute_command(
            command, in_data=data, executable=False
        )
        return done


def read_manifest(path: str) -> tuple[dict[str, Any], bool]:
    """A bundle's manifest, and whether there is a signature over it.

    Args:
        path: The bundle's file.

    Returns:
        The manifest's fields, and whether the bundle is signed.

    Raises:
        AnsibleActionFail: The file is not a bundle.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            first, second = archive.next(), archive.next()
            if first is None or first.name != MANIFEST or first.size > MAX_MANIFEST_BYTES:
                raise ValueError(f"{MANIFEST} is not its first file")
            content = archive.extractfile(first)
            manifest = json.loads(content.read() if content else b"")
            if not isinstance(manifest, dict) or "sha256" not in manifest.get("model", {}):
                raise ValueError("its manifest names no model")
            return manifest, second is not None and second.name == SIGNATURE
    except (OSError, ValueError, tarfile.TarError) as error:
        raise AnsibleActionFail(
            f"{path} is not a bundle ({error}); a file from python -m flash bundle was expected"
        ) from None


def is_receipt(answer: Any, model: str) -> bool:
    """Whether this is what ``edge-run receive`` answers that has this model active now."""
    return (
        isinstance(answer, dict)
        and answer.get("outcome") in ("activated", "unchanged")
        and _is_release(answer.get("active"))
        and answer["active"]["sha256"] == model
        and (answer.get("previous") is None or _is_release(answer["previous"]))
    )


def is_status(answer: Any) -> bool:
    """Whether this is what ``edge-run status --json`` answers."""
    if not isinstance(answer, dict):
        return False
    known = all(type(answer.get(name)) is kind for name, kind in STATUS.items())
    return (
        known
        and VERSION.fullmatch(answer["runtime"]) is not None
        and (answer.get("active") is None or _is_release(answer["active"]))
        and isinstance(answer.get("problem"), str | None)
        and isinstance(answer.get("shape"), list | None)
    )


def _is_release(value: Any) -> bool:
    digest = value.get("sha256") if isinstance(value, dict) else None
    return isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) is not None


def _numbers(version: str) -> tuple[int, ...]:
    """A version's numbers, without zeros at the end."""
    found = VERSION.fullmatch(version)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def compare(
    manifest: dict[str, Any], signed: bool, status: dict[str, Any], *, force: bool = False
) -> dict[str, Any]:
    """What sending a bundle would change, by what the device says of itself.

    Whether its signer counts there and whether the device can run the model only `receive` says.

    Args:
        manifest: The bundle's manifest.
        signed: Whether it is signed.
        status: The answer of ``edge-run status --json``.
        force: A model with another input or other labels than the active one's is welcome.

    Returns:
        `outcome` and `active`.

    Raises:
        AnsibleActionFail: The device would refuse the bundle.
    """
    kind, counter = manifest.get("device_type"), manifest.get("counter", 0)
    runtime = str(manifest.get("minimum_runtime", "0.0.0"))
    needed = sum(manifest.get(name, {}).get("size_bytes", 0) for name in ("model", "golden"))
    contract = manifest.get("contract") or {}
    shape = [contract.get(name) for name in SHAPE]
    reason = None
    if not signed and status["signed_only"]:
        reason = "the bundle is not signed"
    elif status["device_type"] != kind:
        reason = f"its type is {status['device_type']!r:.80}, the bundle is for {kind!r}"
    elif _numbers(status["runtime"]) < _numbers(runtime):
        reason = f"it has edge-runtime {status['runtime']:.20}, the bundle needs {runtime}"
    elif status["counter"] > counter:
        reason = f"it takes counters from {status['counter']}, the bundle has {counter}"
    elif status["free_bytes"] < needed:
        reason = f"its disk has {status['free_bytes']:,} bytes left"
    elif not force and status["shape"] not in (None, shape):
        reason = "the model has another input or other labels than the active one (see --force)"
    if reason is not None:
        raise AnsibleActionFail(f"it would refuse the bundle: {reason}")
    active = status["active"]
    same = active is not None and active["sha256"] == manifest["model"]["sha256"]
    outcome = "unchanged" if same and not status["problem"] else "would-activate"
    return {"outcome": outcome, "active": active}


def find_answer(stdout: str, is_answer: Callable[[Any], bool]) -> dict[str, Any] | None:
    """The JSON object in a command's output, whatever a login script printed before it.

    Args:
        stdout: What the command printed.
        is_answer: Whether a value is the answer.

    Returns:
        The object, or None where there is none.
    """
    for line in reversed(stdout.splitlines()):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if is_answer(values):
            return dict(values)
    return None


def explain(done: dict[str, Any], program: str) -> str:
    """Why a command failed, in one line.

    Args:
        done: Its `rc`, `stdout` and `stderr`.
        program: What was called.

    Returns:
        The line that edge-run promises, else the last one there is.
    """
    stderr = done["stderr"]
    if done["rc"] in NOT_FOUND or "No module named edge_runtime" in stderr:
        return (
            f"it has no command {program!r}; install edge-runtime there, or say where it is with "
            "the variable edge_runtime_command"
        )
    if done["rc"] == 0:
        return "it gave no answer that we understand; use the same edge-runtime on both ends"
    # edge-run's own line, from among what else may stand there.
    errors = re.findall(r"^edge-run[^:]*: error: (.+)$", stderr, re.MULTILINE)
    lines = [line.strip() for line in (*stderr.splitlines(), *done["stdout"].splitlines())]
    words = [line for line in lines if line]
    return str(errors[-1] if errors else (words or [f"exit status {done['rc']}"])[-1]).strip()
