"""The record of a run: a file of JSON lines that Ansible appends to, and a resume reads.

The lock on it lives as long as any process that has the file open: this one, Ansible, or what is
left of Ansible after a kill. Whoever wants to resume learns so that transfers are still under way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edge_runtime.files import write_atomic

from ..errors import FlashError

__all__ = ["DONE", "append", "earlier_events", "open_record", "read_events", "record_path"]

DONE = frozenset({"activated", "unchanged"})
"""The outcomes after which a resume leaves a device alone."""

# What an event of each kind must tell, and what may be None besides.
FIELDS: Mapping[str, Mapping[str, type]] = {
    "run": {"bundle_sha256": str, "inventory": str, "started_at": str, "devices": dict},
    "wave": {"wave": int},
    "start": {"device": str, "wave": int},
    "device": {"device": str, "wave": int, "outcome": str},
}
OPTIONAL = {"reason": str, "seconds": int | float, "active": str, "previous": str}


def record_path(report: Path) -> Path:
    """Where the record of a run is: beside its report, with its whole name."""
    return report.with_name(f"{report.name}.record.jsonl")


@contextmanager
def open_record(path: Path, *, fresh: bool, say: Callable[[str], None]) -> Iterator[IO[bytes]]:
    """Opens the record for appending, and holds its lock.

    Args:
        path: The file; made with its folder if it is missing.
        fresh: Empty it: a new run begins. The record of a run that is not finished is kept beside.
        say: Is told where.

    Yields:
        The open file.

    Raises:
        FlashError: Another run with this record is under way, or it cannot be written.
    """
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlashError(
                f"a run that keeps its record in {path} is under way",
                "",
                "wait until it is done, or name another report with --report",
            ) from None
        if fresh:
            try:
                _keep_unfinished(path, say)
                file.truncate(0)
            except OSError as error:
                raise _unwritable(path, error) from None
        yield file


def append(file: IO[bytes], event: dict[str, Any]) -> None:
    """Appends one event.

    Args:
        file: The record, open.
        event: What happened; its key "event" says what kind it is.

    Raises:
        FlashError: It cannot be written.
    """
    try:
        file.write(json.dumps(event).encode() + b"\n")
    except OSError as error:
        raise _unwritable(Path(file.name), error) from None


def read_events(path: Path) -> list[dict[str, Any]]:
    """What a record tells.

    Args:
        path: The file.

    Returns:
        The events, the oldest first. A line that is none is left out: a full disk cut it, or
        somebody else wrote it. Its device gets the bundle once more, which does no harm.

    Raises:
        FlashError: It cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise FlashError(f"the record {path} cannot be read: {error.strerror}") from None
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_event(event):
            events.append(event)
    return events


def earlier_events(
    path: Path, bundle_sha256: str, inventory: str, addresses: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What happened to devices in the runs that are to be resumed.

    Args:
        path: The record.
        bundle_sha256: SHA-256 of the bundle's file.
        inventory: What tells the inventory from others.
        addresses: Each device's address; one that is elsewhere now is another device.

    Returns:
        The last event of each device.

    Raises:
        FlashError: There is no such record, or it tells of another bundle or inventory.
    """
    events = read_events(path) if path.exists() else []
    runs = [event for event in events if event["event"] == "run"]
    if not runs:
        raise FlashError(
            f"there is no run to resume: {path} "
            + ("tells of none" if path.exists() else "does not exist"),
            "",
            "leave --resume out, or name the report of that run with --report",
        )
    for what, field, now in (
        ("sent another bundle", "bundle_sha256", bundle_sha256),
        ("went to another inventory", "inventory", inventory),
    ):
        if others := {run[field] for run in runs} - {now}:
            other = min(others)
            raise FlashError(
                f"the run recorded in {path} {what}",
                f"the one with SHA-256 {other[:12]}" if field == "bundle_sha256" else other,
                "name that one, or leave --resume out",
            )
    last: dict[str, dict[str, Any]] = {}
    where: dict[str, Any] = {}
    for event in events:
        if event["event"] == "run":
            where |= event["devices"]
        elif event["event"] == "device":
            name = event["device"]
            last.pop(name, None)
            if name in addresses and where.get(name) == addresses[name]:
                last[name] = event
    return list(last.values())


def _is_event(event: Any) -> bool:
    """Whether an event has all that its readers rely on."""
    if not isinstance(event, dict):
        return False
    kind = event.get("event")
    fields = FIELDS.get(kind) if isinstance(kind, str) else None
    return (
        fields is not None
        and all(isinstance(event.get(name), wanted) for name, wanted in fields.items())
        and all(
            event.get(name) is None or isinstance(event[name], wanted)
            for name, wanted in OPTIONAL.items()
        )
    )


def _keep_unfinished(path: Path, say: Callable[[str], None]) -> None:
    """Keeps the record of a run that could still be resumed, under a name of its own."""
    events = read_events(path)
    runs = [event for event in events if event["event"] == "run"]
    last = {event["device"]: event["outcome"] for event in events if event["event"] == "device"}
    if all(last.get(name) in DONE for run in runs for name in run["devices"]):
        return
    began = re.sub(r"\D", "", runs[0]["started_at"])[:14]
    kept = path.with_name(f"{path.name.removesuffix('.record.jsonl')}.{began}.record.jsonl")
    write_atomic(kept, path.read_bytes())
    say(f"the run before this one was not finished; its record is kept as {kept}")


def _unwritable(path: Path, error: OSError) -> FlashError:
    return FlashError(
        f"the record {path} cannot be written: {error.strerror}",
        "a file that this user may write",
        "name another report with --report",
    )
