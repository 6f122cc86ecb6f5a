"""The record of a fleet's run: what a resume may believe, and what must not be lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flash.errors import FlashError
from flash.fleet.record import append, earlier_events, open_record, read_events, record_path

SHA = "ab" * 32
WHERE = {"a": "10.0.0.1:", "b": "10.0.0.2:", "c": "10.0.0.3:"}


def run(**changes: Any) -> dict[str, Any]:
    return {
        "event": "run", "bundle_sha256": SHA, "inventory": "/hosts.ini",
        "started_at": "2026-11-22T10:00:00+00:00", "devices": WHERE,
    } | changes  # fmt: skip


def told(device: str, outcome: str = "activated", **more: Any) -> dict[str, Any]:
    return {"event": "device", "device": device, "outcome": outcome, "wave": 1, **more}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return record_path(tmp_path / "fleet.json")


def write(record: Path, *events: Any) -> None:
    record.write_text("".join(f"{json.dumps(event)}\n" for event in events))


def names(record: Path, where: dict[str, str] = WHERE) -> set[str]:
    return {event["device"] for event in earlier_events(record, SHA, "/hosts.ini", where)}


def test_reports_that_differ_after_a_dot_have_records_of_their_own():
    assert record_path(Path("hall.1")) != record_path(Path("hall.2"))
    assert record_path(Path("hall.json")).parent == Path()


def test_last_word_on_a_device_counts(record):
    write(record, run(), told("a", "failed"), run(), told("b"), told("a"))
    found = earlier_events(record, SHA, "/hosts.ini", WHERE)
    assert [(e["device"], e["outcome"]) for e in found] == [("b", "activated"), ("a", "activated")]


def test_device_that_is_elsewhere_now_is_another_one(record):
    write(record, run(), told("a"), told("b"))
    assert names(record, WHERE | {"b": "10.9.9.9:"}) == {"a"}
    assert names(record, {"a": WHERE["a"]}) == {"a"}


def test_another_inventory_or_bundle_is_refused(record):
    write(record, run(), told("a"))
    with pytest.raises(FlashError, match="went to another inventory; /hosts.ini was expected"):
        earlier_events(record, SHA, "/others.ini", WHERE)
    with pytest.raises(FlashError, match="sent another bundle; the one with SHA-256 abababababab"):
        earlier_events(record, "cd" * 32, "/hosts.ini", WHERE)


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "dev',
        b"\xff\xfe\x00",
        b"null",
        b"[" * 100_000,
        b'{"event": ["run"]}',
        b'{"event": "nonsense"}',
        b'{"event": "run"}',
        b'{"event": "device", "device": "a", "wave": 1}',
        b'{"event": "device", "device": ["a"], "wave": 1, "outcome": "activated"}',
        b'{"event": "device", "device": "a", "wave": null, "outcome": "activated"}',
        b'{"event": "device", "device": "a", "wave": 1, "outcome": {}}',
        b'{"event": "device", "device": "a", "wave": 1, "outcome": "activated", "active": {}}',
        b'{"event": "device", "device": "a", "wave": 1, "outcome": "activated", "seconds": "x"}',
        b'{"event": "start", "device": "a"}',
    ],
)
def test_damaged_line_is_left_out(record, line):
    write(record, run(), told("b"))
    record.write_bytes(record.read_bytes() + line + b"\n")
    assert names(record) == {"b"}
    assert len(read_events(record)) == 2


def test_record_that_tells_of_no_run_is_nothing_to_resume(record):
    with pytest.raises(FlashError, match="no run to resume: .* does not exist"):
        names(record)
    write(record, "nonsense")
    with pytest.raises(FlashError, match="no run to resume: .* tells of none"):
        names(record)
    record.unlink()
    record.mkdir()
    with pytest.raises(FlashError, match="cannot be read: Is a directory"):
        names(record)


def test_new_run_keeps_the_record_of_one_that_is_not_finished(record):
    write(record, run(), told("a"), told("b", "failed"))
    before = record.read_text()
    said: list[str] = []
    with open_record(record, fresh=True, say=said.append):
        pass
    assert record.read_text() == ""
    kept = record.with_name("fleet.json.20261122100000.record.jsonl")
    assert kept.read_text() == before
    assert said == [f"the run before this one was not finished; its record is kept as {kept}"]


def test_new_run_drops_the_record_of_a_finished_one(record, tmp_path):
    write(record, run(), told("a"), told("b", "failed"), told("c", "unchanged"), told("b"))
    with open_record(record, fresh=True, say=pytest.fail):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [record.name]
    assert record.read_text() == ""


def test_record_that_cannot_be_opened_or_written_is_one_line(record):
    record.mkdir()
    with (
        pytest.raises(FlashError, match="cannot be written: Is a directory; .* --report"),
        open_record(record, fresh=True, say=pytest.fail),
    ):
        pass
    with (
        Path("/dev/full").open("ab", buffering=0) as full,
        pytest.raises(FlashError, match="the record /dev/full cannot be written: No space left"),
    ):
        append(full, run())
