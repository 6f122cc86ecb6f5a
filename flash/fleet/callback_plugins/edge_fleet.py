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
import time
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
        path = os.environ.get("EDGE_FLEET_RECORD")
        # A line is one write to a file opened for appending: whole, whoever else appends.
        self._record = None if path is None else open(path, "ab", buffering=0)  # noqa: SIM115

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A wave begins: Ansible calls this for each batch of `serial`."""
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
            self._tell(result, str(result.result.get("outcome")))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed on a device."""
        if not ignore_errors:
            self._tell(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A device was not reached."""
        self._tell(result, "unreachable")

    def _tell(self, result: Any, outcome: str) -> None:
        host = result.host.get_name()
        # A device that was not reached comes by once more, as one that failed.
        if host in self._told:
            return
        self._told.add(host)
        said = result.result
        reason = None
        if outcome in ("failed", "unreachable"):
            words = str(said.get("msg") or said.get("exception") or "Ansible gave no reason")
            reason = PREFIX.sub("", words, count=1).strip()
        address = result.host.vars.get("ansible_host"), result.host.vars.get("ansible_port")
        began = self._started.get(host)
        self._write(
            {
                "event": "device",
                "device": host,
                "wave": self._wave,
                "outcome": outcome,
                "reason": reason,
                "address": None if address[0] is None else str(address[0]),
                "port": None if address[1] is None else int(address[1]),
                "active": said.get("active"),
                "previous": said.get("previous"),
                "seconds": None if began is None else round(time.monotonic() - began, 2),
            }
        )
        shown = "" if reason is None else f": {' '.join(reason.split())}"
        self._display.display(f"wave {self._wave}: {host} {outcome}{shown}")

    def _write(self, event: dict[str, Any]) -> None:
        if self._record is not None:
            self._record.write(json.dumps(event).encode() + b"\n")
