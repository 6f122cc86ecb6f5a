"""One command on another machine, over the OpenSSH that everybody has.

We call the program ``ssh``: keys, agents, jump hosts and known hosts are then those of the person's
own configuration, and none of it is ours to get wrong. It is never asked to trust an unknown host.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import FlashError

__all__ = ["SshResult", "SshTarget"]

# Ours come after the person's own --ssh-option, for ssh keeps the first value it is given.
# Three lost keep-alives make a cut cable an error after 15 s, instead of after TCP's two hours.
DEFAULT_OPTIONS = ("ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")
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
        try:
            process = subprocess.Popen(
                self.arguments(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise FlashError(
                "the program ssh is missing here", "OpenSSH", "apt-get install openssh-client"
            ) from None
        out: list[str] = []
        err: list[str] = []
        readers = [
            threading.Thread(target=_lines, args=(process.stdout, out, lambda _: None)),
            threading.Thread(target=_lines, args=(process.stderr, err, on_line)),
        ]
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(timeout_s, give_up)
        with process:
            timer.start()
            try:
                for reader in readers:
                    reader.start()
                _send(process.stdin, data, on_sent)
                process.wait()
            finally:
                process.kill()  # Of no effect on a process that has ended; else we are interrupted.
                timer.cancel()
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
                f"if it was set up anew, drop the old key with ssh-keygen -R {self._known_name()}",
            )
        if "Host key verification failed" in stderr:
            return FlashError(
                f"the host key of {place} is not known here",
                "",
                f"log in once with ssh {place} and compare the fingerprint",
            )
        if "Permission denied" in stderr or "Too many authentication failures" in stderr:
            return FlashError(
                f"{place} does not let us in",
                "a key that it accepts",
                f"ssh-copy-id {place}, or name the key with --identity",
            )
        reason = _last_line(stderr)
        unreachable = (
            "Could not resolve",
            "Connection refused",
            "timed out",
            "No route",
            "unreachable",
        )
        if "connect to " in stderr or any(text in reason for text in unreachable[:1]):
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

    def _known_name(self) -> str:
        """The host as known_hosts writes it (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")."""
        host = self.destination.rpartition("@")[2]
        return host if self.port in (None, 22) else f"'[{host}]:{self.port}'"


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


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
