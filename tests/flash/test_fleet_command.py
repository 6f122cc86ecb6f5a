"""What `python -m flash fleet` says of input that it cannot use; no device is asked for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flash.__main__ import main
from flash.bundle import make_bundle
from flash.fleet.record import open_record, read_events, record_path
from flash.fleet.report import UNFINISHED, DeviceResult, FleetReport, results, waves


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "seed.edge"
    path.write_bytes(make_bundle(models / "seed_int8.tflite", counter=7).data)
    return path


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Two names at which nobody answers."""
    path = tmp_path / "hosts.ini"
    path.write_text(
        "[digits]\nnobody-1 ansible_host=127.0.0.1 ansible_port=1\n"
        "nobody-2 ansible_host=127.0.0.1 ansible_port=1\n"
    )
    return path


@pytest.fixture
def refused(
    inventory: Path,
    bundle: Path,
    tmp_path: Path,
    capsys: Any,
    require_tool: Callable[[str], str],
) -> Callable[..., str]:
    """``refused(*options)`` is the one line of error; the last option of a kind counts."""
    require_tool("ansible-playbook")

    def run(*options: str, inventory: Path | str = inventory, bundle: Path = bundle) -> str:
        report = tmp_path / "fleet.json"
        status = main(
            ["fleet", str(inventory), "--bundle", str(bundle), "--report", str(report), *options]
        )
        said = capsys.readouterr()
        assert status == 1
        assert said.out == ""
        assert "Traceback" not in said.err
        lines = [line for line in said.err.splitlines() if ": error: " in line]
        assert len(lines) == 1, said.err
        return lines[0]

    return run


def test_missing_inventory_is_named(refused):
    assert "there is no inventory nowhere.ini; a file or folder" in refused(inventory="nowhere.ini")


def test_inventory_without_devices_is_refused(refused, tmp_path):
    empty = tmp_path / "empty.ini"
    empty.write_text("[digits]\n")
    assert f"the inventory {empty} names no device" in refused(inventory=empty)


def test_inventory_that_cannot_be_read_is_refused(refused, tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text("all: [\n")
    line = refused(inventory=broken)
    assert f"Ansible cannot read the inventory {broken}: Completely failed to parse" in line


def test_pattern_that_matches_nothing_is_refused(refused):
    assert "no device of" in refused("--limit", "hall-3")
    assert "matches 'hall-3'; a device, a group or a pattern" in refused("--limit", "hall-3")


def test_empty_group_is_refused(refused, inventory):
    inventory.write_text(inventory.read_text() + "[hall-3]\n")
    assert "matches 'hall-3'" in refused("--limit", "hall-3")


def test_missing_bundle_is_named(refused, tmp_path):
    assert "nowhere.edge does not exist" in refused(bundle=tmp_path / "nowhere.edge")


@pytest.mark.parametrize("damage", ["cut", "bit", "other"])
def test_damaged_bundle_is_refused_before_any_device_is_asked(refused, bundle, tmp_path, damage):
    data = bytearray(bundle.read_bytes())
    if damage == "cut":
        del data[50_000:]
    elif damage == "bit":
        data[50_000] ^= 1
    else:
        data[:] = b"not a bundle"
    damaged = tmp_path / "damaged.edge"
    damaged.write_bytes(data)
    refused(bundle=damaged)
    assert not record_path(tmp_path / "fleet.json").exists()


def test_missing_ansible_names_the_extra(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    line = refused()
    assert "ansible-playbook is not installed; the extra fleet was expected; pip install" in line


def test_resume_of_nothing_is_refused_and_leaves_nothing(refused, tmp_path):
    assert "there is no run to resume" in refused("--resume")
    assert not list(tmp_path.glob("fleet*"))


def test_resume_with_another_bundle_is_refused(refused, tmp_path, models):
    record = record_path(tmp_path / "fleet.json")
    record.write_text(json.dumps({"event": "run", "bundle_sha256": "ab" * 32}) + "\n")
    line = refused("--resume")
    assert "sent another bundle; the one with SHA-256 abababababab was expected" in line


def test_run_under_way_is_not_disturbed(refused, tmp_path):
    record = record_path(tmp_path / "fleet.json")
    with open_record(record, fresh=True) as file:
        file.write(b'{"event": "run"}\n')
        assert f"a run that keeps its record in {record} is under way" in refused()
    assert read_events(record) == [{"event": "run"}]


def test_ansible_that_ends_before_the_first_device_says_why(refused, monkeypatch):
    monkeypatch.setenv("ANSIBLE_STRATEGY", "nowhere")
    line = refused()
    assert "Ansible ended before it tried a device: " in line
    assert "nowhere" in line


@pytest.mark.parametrize(
    "options",
    [("--forks", "0"), ("--forks", "x"), ("--max-fail-percentage", "101"), ("--no-such-option",)],
)
def test_wrong_usage_ends_with_2(options, inventory, bundle, capsys):
    assert main(["fleet", str(inventory), "--bundle", str(bundle), *options]) == 2


def test_line_cut_by_a_full_disk_is_left_out(tmp_path):
    path = tmp_path / "record"
    path.write_text('{"event": "run"}\n{"event": "dev')
    assert read_events(path) == [{"event": "run"}]


def event(device: str, outcome: str, wave: int = 1, **more: Any) -> dict[str, Any]:
    return {"event": "device", "device": device, "outcome": outcome, "wave": wave, **more}


def test_results_tell_earlier_runs_from_this_one():
    found = results(
        ["a", "b", "c", "d", "e"],
        now=[
            {"event": "start", "device": "b", "wave": 2},
            {"event": "start", "device": "e", "wave": 2},
            event("b", "failed", 2, reason="two\nlines"),
            event("stranger", "activated"),
        ],
        earlier=[event("a", "activated"), event("b", "failed"), event("c", "failed")],
    )
    assert found == (
        DeviceResult("a", "done", wave=1, earlier=True),
        DeviceResult("b", "failed", "two lines", wave=2),
        DeviceResult("e", "unfinished", UNFINISHED, wave=2),
        DeviceResult("c", "not-tried"),
        DeviceResult("d", "not-tried"),
    )
    assert [(w.wave, w.devices, w.bad) for w in waves(found)] == [(2, 2, 2)]


def test_report_has_no_error_where_every_device_is_well():
    found = results(["a", "b"], [event("a", "activated"), event("b", "unchanged")], [])
    report = FleetReport(
        "m.edge", "ab", "m", "int8", "cd", 1, "hosts", None, False, 2, "2026-11-22T10:00:00+00:00",
        1.0, 0.5, {"done": 1, "unchanged": 1, "would-change": 0, "failed": 0, "unreachable": 0,
                   "unfinished": 0, "not-tried": 0}, waves(found), None, False, found,
    )  # fmt: skip
    assert report.error() is None
    assert report.summary().startswith("2 devices: 1 done, 1 unchanged; 1.0 s")
