"""The record of a run: a file of JSON lines that Ansible appends to, and a resume reads.

The lock on it lives as long as any process that has the file open: this one, Ansible, or what is
left of Ansible after a kill. Whoever wants to resume learns so that transfers are still under way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import FlashError

__all__ = ["append", "earlier_events", "open_record", "read_events", "record_path"]


def record_path(report: Path) -> Path:
    """Where the record of a run is: beside its report."""
    return report.with_suffix(".record.jsonl")


@contextmanager
def open_record(path: Path, *, fresh: bool) -> Iterator[IO[bytes]]:
    """Opens the record for appending, and holds its lock.

    Args:
        path: The file; made with its folder if it is missing.
        fresh: Empty it: a new run begins.

    Yields:
        The open file.

    Raises:
        FlashError: Another run with this record is under way.
        OSError: It cannot be written.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlashError(
                f"a run that keeps its record in {path} is under way",
                "",
                "wait until it is done, or name another report with --report",
            ) from None
        if fresh:
            file.truncate(0)
        yield file


def append(file: IO[bytes], event: dict[str, Any]) -> None:
    """Appends one event.

    Args:
        file: The record, open.
        event: What happened; its key "event" says what kind it is.
    """
    file.write(json.dumps(event).encode() + b"\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """What a record tells.

    Args:
        path: The file.

    Returns:
        The events, the oldest first. A line that was cut by a full disk is left out.

    Raises:
        OSError: It cannot be read.
    """
    events = []
    for line in path.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def earlier_events(path: Path, bundle_sha256: str | None) -> list[dict[str, Any]]:
    """What happened to devices in the runs that are to be resumed.

    Args:
        path: The record.
        bundle_sha256: SHA-256 of the bundle's file; None for any.

    Returns:
        The last event of each device.

    Raises:
        FlashError: There is no such record, or it tells of another bundle.
    """
    if not path.is_file():
        raise FlashError(
            f"there is no run to resume: {path} does not exist",
            "",
            "leave --resume out, or name the report of that run with --report",
        )
    events = read_events(path)
    sent = {str(event.get("bundle_sha256")) for event in events if event.get("event") == "run"}
    if bundle_sha256 is not None and sent != {bundle_sha256}:
        raise FlashError(
            f"the run recorded in {path} sent another bundle",
            f"the one with SHA-256 {'none' if not sent else min(sent)[:12]}",
            "name that bundle, or leave --resume out",
        )
    devices = [e for e in events if e.get("event") == "device" and "device" in e]
    return list({event["device"]: event for event in devices}.values())
