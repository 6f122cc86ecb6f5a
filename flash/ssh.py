"""One command on another machine, over the OpenSSH that everybody has.

We call the program ``ssh``: keys, agents, jump hosts and known hosts are then those of the person's
own configuration, and none of it is ours to get wrong. One thing is not theirs: a host is trusted
by a known host key alone, whatever that configuration says.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import FlashError
from .on_device.places import DEPLOY_USER

__all__ = ["SshResult", "SshTarget"]

# ssh keeps the first value that it is given: ours come after the person's own --ssh-option, and
# before what their configuration says, where "StrictHostKeyChecking no" is common for Pis.
DEFAULT_OPTIONS = (
    "StrictHostKeyChecking=yes",
    # Either would let a host in whose key is not known, or has changed.
    "VerifyHostKeyDNS=no",
    "NoHostAuthenticationForLocalhost=no",
    # A connection that is open already was made under another policy: nobody looks at its host key.
    "ControlPath=none",
    # Three lost keep-alives make a cut cable an error after 15 s, not after TCP's two hours.
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)
CHUNK_BYTES = 2**15
# ssh(1): "ssh exits with the exit status of the remote command or with 255 if an error occurred".
SSH_FAILED = 255


@dataclass(frozen=True)
class SshResult:
    """What a command on the other machine left.

    Attributes:
        exit_status: Its exit status.
        stdout: What it printed.
        stderr: What it and ssh said.
    """

    exit_status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class SshTarget:
    """A machine that can be reached over SSH.

    Attributes:
        destination: ``user@host``, or a name from the person's SSH configuration.
        port: Port, or None for the configuration's.
        identity: Private key, or None for the configuration's and the agent's.
        config: Configuration file instead of the person's own.
        options: Further ``-o`` options, as ``"Name=value"``.

    Raises:
        FlashError: The destination could be taken for an option of ssh.
    """

    destination: str
    port: int | None = None
    identity: Path | None = None
    config: Path | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = self.destination
        if not name or name.startswith("-") or " " in name or not name.isprintable():
            raise FlashError(f"the device is named {name!r}", "USER@HOST")

    def arguments(self, command: Sequence[str]) -> list[str]:
        """The whole command line.

        Args:
            command: The program there and its arguments.

        Returns:
            Arguments for `subprocess`; what the shell there gets is quoted.
        """
        arguments = ["ssh", "-T", "-a", "-x", "-o", "BatchMode=yes"]
        if self.config is not None:
            arguments += ["-F", str(self.config)]
        if self.port is not None:
            arguments += ["-p", str(self.port)]
        if self.identity is not None:
            arguments += ["-i", str(self.identity), "-o", "IdentitiesOnly=yes"]
        for option in (*self.options, *DEFAULT_OPTIONS):
            arguments += ["-o", option]
        return [*arguments, "--", self.destination, shlex.join(command)]

    def run(
        self,
        command: Sequence[str],
        data: bytes = b"",
        *,
        timeout_s: float,
        on_sent: Callable[[int], None] = lambda _: None,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> SshResult:
        """Runs a command there.

        Args:
            command: The program and its arguments.
            data: Its standard input.
            timeout_s: Seconds after which the connection is given up.
            on_sent: Called with the number of bytes handed to ssh so far.
            on_line: Called with each line of the command's stderr as it arrives.

        Returns:
            What it left; an exit status other than 0 is for the caller to judge.

        Raises:
            FlashError: The machine was not reached, refused us, is not the one we know, or the
                connection was lost. The text says which and what to do.
        """
        process = self._start(command)
        out: list[str] = []
        err: list[str] = []
        readers = [
            threading.Thread(target=_lines, args=(process.stdout, out, lambda _: None)),
            threading.Thread(target=_lines, args=(process.stderr, err, on_line)),
        ]
        with process, _time_limit(process, timeout_s) as expired:
            try:
                for reader in readers:
                    reader.start()
                _send(process.stdin, data, on_sent)
                process.wait()
            finally:
                process.kill()  # Of no effect on a process that has ended; else we are interrupted.
                for reader in readers:
                    reader.join()
        if expired.is_set():
            raise FlashError(
                f"{self.destination} did not finish within {timeout_s:.0f} s",
                "",
                "look what it is doing, then try again",
            )
        result = SshResult(process.returncode, "\n".join(out), "\n".join(err))
        if result.exit_status == SSH_FAILED:
            raise self.explain(result.stderr)
        return result

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.arguments(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise FlashError(
                "the program ssh is missing here", "OpenSSH", "apt-get install openssh-client"
            ) from None

    def explain(self, stderr: str) -> FlashError:
        """What ssh's own words mean, and what to do about it.

        Args:
            stderr: What ssh said before it ended with 255.

        Returns:
            The error to raise or to report.
        """
        place = self.destination
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in stderr:
            return FlashError(
                f"{place} shows another host key than before: it may be another machine",
                "the key that your known_hosts has",
                f"if it was set up anew, drop the old key with {self._forget(stderr)}",
            )
        if "Host key verification failed" in stderr:
            return FlashError(
                f"the host key of {place} is not known here",
                "",
                f"log in once with ssh {place} and compare the fingerprint",
            )
        if "Permission denied" in stderr or "Too many authentication failures" in stderr:
            named = "name the key with --identity"
            # That user has no password, and its keys are root's.
            only = place.startswith(f"{DEPLOY_USER}@")
            return FlashError(
                f"{place} does not let us in",
                "the key that may bring models there" if only else "a key that it accepts",
                named if only else f"ssh-copy-id {place}, or {named}",
            )
        reason = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
        if "connect to " in stderr or "Could not resolve" in reason:
            return FlashError(
                f"{place} cannot be reached ({reason})",
                "",
                "check that it is switched on, its name and its port",
            )
        return FlashError(
            f"the connection to {place} was lost ({reason or 'ssh said nothing'})",
            "",
            "try again: what is active there is a whole model, the old one or the new",
        )

    def _forget(self, stderr: str) -> str:
        """The command that drops a host's old key, from the file and by the name that ssh says.

        The name is an alias, or has a port, where the person's configuration says so.
        """
        name = re.search(r"^Host key for (\S+) has changed", stderr, re.MULTILINE)
        file = re.search(r"^Offending .* key in (.+):[0-9]+\s*$", stderr, re.MULTILINE)
        host = name[1] if name else self.destination.rpartition("@")[2]
        return shlex.join(["ssh-keygen", *(["-f", file[1]] if file else []), "-R", host])


@contextmanager
def _time_limit(process: subprocess.Popen[bytes], limit_s: float) -> Iterator[threading.Event]:
    """Kills a process when its time is up; the event says that it was."""
    expired = threading.Event()

    def give_up() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(limit_s, give_up)
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _send(stream: IO[bytes] | None, data: bytes, on_sent: Callable[[int], None]) -> None:
    assert stream is not None
    # The other end may stop listening; its exit status and its words say why. What is left in the
    # buffer would raise the same once more on closing.
    with suppress(BrokenPipeError):
        for start in range(0, len(data), CHUNK_BYTES):
            stream.write(data[start : start + CHUNK_BYTES])
            stream.flush()
            on_sent(min(start + CHUNK_BYTES, len(data)))
    with suppress(BrokenPipeError):
        stream.close()


def _lines(stream: IO[bytes], lines: list[str], on_line: Callable[[str], None]) -> None:
    for raw in stream:
        line = raw.decode("utf-8", "replace").rstrip()
        lines.append(line)
        on_line(line)
