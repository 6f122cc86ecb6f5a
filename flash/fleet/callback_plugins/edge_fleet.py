"""What Ansible tells of a run: a line for the person watching, and one in the record of the run.

The record is a file of JSON lines that the environment variable EDGE_FLEET_RECORD names. Ansible's
own process writes it, not the program that started Ansible: what a device has taken is then on
record whatever becomes of that program. Ansible runs this file; it needs nothing but Ansible and
the standard library.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import suppress
from typing import Any

from ansible.plugins.callback import CallbackBase

__all__ = ["CallbackModule"]

DOCUMENTATION = """
name: edge_fleet
type: stdout
short_description: keeps the record of a bundle's way to a fleet
description:
  - Prints one line for each device and appends one JSON object for it to a file.
"""

ACTION = "edge_bundle"
# Ansible puts one of these before ssh's own words; the second where there was something to send.
PREFIX = re.compile(
    r"(Task failed: |Failed to connect to the host via ssh: "
    r'|Data could not be sent to remote host "[^"]*"\. Make sure .*? over ssh: )+'
)
# What the action answers with when all went well.
GOOD = ("activated", "unchanged", "would-activate")
NO_ANSWER = "it gave no answer that we understand; use the same edge-runtime on both ends"
# Of what a device says in one go; edge-run's longest error has a tenth of it.
MAX_REASON, MAX_SHOWN = 4000, 500


class CallbackModule(CallbackBase):
    """Prints a line for each device, and keeps the record."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "edge_fleet"

    def __init__(self) -> None:
        super().__init__()
        self._wave = 0
        self._told: set[str] = set()
        self._started: dict[str, float] = {}
        self._parent = os.getppid()
        path = os.environ.get("EDGE_FLEET_RECORD")
        # A line is one write to a file opened for appending: whole, whoever else appends.
        self._record = None if path is None else open(path, "ab", buffering=0)  # noqa: SIM115

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A wave begins: Ansible calls this for each batch of `serial`."""
        if os.getppid() != self._parent:
            self._stop("the program that started this run is gone; no further wave begins")
        self._wave += 1
        self._write({"event": "wave", "wave": self._wave})

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task begins on a device; those before the bundle's are the controller's own."""
        if task.action == ACTION:
            self._started[host.get_name()] = time.monotonic()
            self._write({"event": "start", "device": host.get_name(), "wave": self._wave})

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task went well on a device."""
        if result.task.action == ACTION:
            outcome = result.result.get("outcome")
            if outcome in GOOD:
                self._tell(result, outcome)
            else:
                self._tell(result, "failed", NO_ANSWER)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed on a device."""
        if ignore_errors:
            return
        if "timedout" in result.result:
            # Ansible gave up waiting; the device may have switched all the same.
            period = (result.result["timedout"] or {}).get("period")
            self._tell(result, "unfinished", f"it did not answer within {period} s")
        else:
            self._tell(result, "failed", _words(result.result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A device was not reached."""
        self._tell(result, "unreachable", _words(result.result))

    def _tell(self, result: Any, outcome: str, reason: str | None = None) -> None:
        host = result.host.get_name()
        # A device that was not reached comes by once more, as one that failed.
        if host in self._told:
            return
        self._told.add(host)
        began = self._started.get(host)
        self._write(
            {
                "event": "device",
                "device": host,
                "wave": self._wave,
                "outcome": outcome,
                "reason": reason,
                "active": _sha256(result.result.get("active")),
                "previous": _sha256(result.result.get("previous")),
                "seconds": None if began is None else round(time.monotonic() - began, 2),
            }
        )
        shown = "" if reason is None else f": {' '.join(reason.split())[:MAX_SHOWN]}"
        self._display.display(f"wave {self._wave}: {_printable(host)} {outcome}{shown}")

    def _write(self, event: dict[str, Any]) -> None:
        if self._record is None:
            return
        try:
            self._record.write(json.dumps(event).encode() + b"\n")
        except OSError as error:
            path = self._record.name
            self._record.close()
            self._record = None
            self._stop(f"the record {path} cannot be written: {error.strerror}")

    def _stop(self, reason: str) -> None:
        """Ends the run, as Ctrl-C does: Ansible takes an exception here for a trifle."""
        with suppress(OSError):  # Who would read it may be gone.
            self._display.display(f"[ERROR]: {reason}", stderr=True)
        # Ignored is what a shell makes of it for what it runs in the background.
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)


def _words(said: dict[str, Any]) -> str:
    """Why a task failed, without Ansible's own preface and without control characters."""
    words = str(said.get("msg") or said.get("exception") or "Ansible gave no reason")
    lines = PREFIX.sub("", words[: 2 * MAX_REASON], count=1).strip().splitlines()
    return "\n".join(_printable(line) for line in lines)[:MAX_REASON]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _sha256(release: Any) -> str | None:
    found = release.get("sha256") if isinstance(release, dict) else None
    return found if isinstance(found, str) else None
