"""What `python -m flash fleet` says of input that it cannot use; no device is asked for it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flash.__main__ import main
from flash.bundle import make_bundle
from flash.fleet.inventory import InventoryDevice, list_devices
from flash.fleet.record import open_record, record_path
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
    assert f"Ansible cannot read the inventory {broken}: {broken}:2:1: YAML parsing failed" in line
    broken.with_suffix(".ini").write_text("[digits:nonsense]\npi\n")
    line = refused(inventory=broken.with_suffix(".ini"))
    assert "Section [digits:nonsense] has unknown type: nonsense" in line


def test_pattern_that_matches_nothing_is_refused(refused):
    assert "no device of" in refused("--limit", "hall-3")
    assert "matches 'hall-3'; a device, a group or a pattern" in refused("--limit", "hall-3")


def test_misspelt_name_among_others_is_refused(refused):
    assert "matches 'nobody-3'" in refused("--limit", "nobody-1,nobody-3")


def test_coloured_output_does_not_hide_a_reason(refused, monkeypatch):
    monkeypatch.setenv("ANSIBLE_FORCE_COLOR", "1")
    assert "matches 'hall-3'" in refused("--limit", "hall-3")


def test_devices_keep_the_inventory_s_order_and_their_groups_variables(
    tmp_path, monkeypatch, require_tool
):
    require_tool("ansible-playbook")
    monkeypatch.setenv("ANSIBLE_INVENTORY_EXPORT", "True")
    path = tmp_path / "hosts.ini"
    path.write_text(
        "[zoo]\nz-2 ansible_host=10.0.0.2\nz-1\n[all_of_them:children]\nzoo\nbar\n"
        "[bar]\nb-1\nz-2\n[zoo:vars]\nansible_port=2222\n"
    )
    devices = list_devices(str(path), None)
    assert list(devices.values()) == [
        InventoryDevice("z-2", "10.0.0.2", "2222"),
        InventoryDevice("z-1", None, "2222"),
        InventoryDevice("b-1"),
    ]
    assert devices["z-2"].address != devices["z-1"].address
    assert list(list_devices(str(path), "all:!z-2")) == ["z-1", "b-1"]


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


def test_resume_with_another_bundle_is_refused(refused, tmp_path, inventory):
    run = {
        "event": "run", "bundle_sha256": "ab" * 32, "inventory": str(inventory),
        "started_at": "", "devices": {},
    }  # fmt: skip
    record_path(tmp_path / "fleet.json").write_text(json.dumps(run) + "\n")
    line = refused("--resume")
    assert "sent another bundle; the one with SHA-256 abababababab was expected" in line


def test_run_under_way_is_not_disturbed(refused, tmp_path):
    record = record_path(tmp_path / "fleet.json")
    with open_record(record, fresh=True, say=pytest.fail) as file:
        file.write(b"what it has told so far\n")
        assert f"a run that keeps its record in {record} is under way" in refused()
    assert record.read_text() == "what it has told so far\n"


@pytest.mark.parametrize("what", ["a folder", "in a file"])
def test_report_without_a_place_is_refused_before_any_device_is_asked(refused, tmp_path, what):
    place = tmp_path / "place"
    if what == "a folder":
        place.mkdir()
    else:
        place.write_text("")
        place /= "fleet.json"
    line = refused("--report", str(place))
    assert f"the report {place} cannot be written: " in line
    assert not list(tmp_path.rglob("*.record.jsonl"))


@pytest.fixture
def ansible(stand_in, tmp_path):
    """``ansible(SCRIPT)`` is an Ansible whose run of the playbook is a shell script."""

    def put(script: str, version: str = "ansible-playbook [core 2.19.0]") -> Path:
        listing = tmp_path / "listing.json"
        listing.write_text(
            '{"_meta": {"hostvars": {}}, "all": {"children": ["digits"]}, '
            '"digits": {"hosts": ["nobody-1", "nobody-2"]}}'
        )
        stand_in("ansible-inventory", f'for last; do :; done; cp {listing} "$last"')
        return stand_in(
            "ansible-playbook",
            f'[ "$1" = --version ] && {{ echo "{version}"; exit 0; }}\n{script}',
        )

    return put


@pytest.mark.parametrize("version", ["2.14.18", "2.18.6rc1", "2.9.27"])
def test_ansible_that_is_too_old_is_refused_with_the_extra(refused, ansible, version):
    said = f"ansible-playbook [core {version}]"
    log = ansible("touch $LOG", said if version != "2.9.27" else f"ansible-playbook {version}")
    line = refused()
    assert f"is of ansible-core {version}; ansible-core 2.19 or later (the extra fleet)" in line
    assert not log.exists()


def test_ansible_that_cannot_start_says_why(refused, ansible):
    ansible("", "ModuleNotFoundError: No module named 'ansible'")
    assert "ansible-playbook cannot start: ModuleNotFoundError: No module named" in refused()
    program = Path(sys.executable).parent / "ansible-playbook"
    program.write_bytes(b"\x7fELF nonsense")
    assert "ansible-playbook cannot start: Exec format error" in refused()


def test_ansible_that_ends_before_the_first_device_says_why(refused, ansible):
    ansible("echo '[ERROR]: there is no strategy nowhere' >&2; exit 1")
    line = refused()
    assert "Ansible ended before it tried a device: there is no strategy nowhere" in line


START = '{"event": "start", "device": "nobody-1", "wave": 1}'


def test_ansible_that_was_killed_is_not_called_stopped_by_the_rule(
    ansible, inventory, bundle, tmp_path, capsys
):
    ansible(f"echo '{START}' >> \"$EDGE_FLEET_RECORD\"; kill -9 $$")
    arguments = ["fleet", str(inventory), "--bundle", str(bundle), "--json"]
    assert main([*arguments, "--report", str(tmp_path / "fleet.json")]) == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["stopped_after_wave"] is None
    assert report["ended_early"] == "it was killed by signal 9"
    assert "Ansible ended before all waves were done: it was killed by signal 9" in said.err
    assert [found["outcome"] for found in report["devices"]] == ["unfinished", "not-tried"]


def test_table_names_every_device(ansible, inventory, bundle, tmp_path, capsys):
    told = [event("nobody-1", "activated", seconds=2.04), event("nobody-2", "failed", reason="no")]
    (tmp_path / "told").write_text("".join(f"{json.dumps(line)}\n" for line in told))
    ansible(f'cat {tmp_path / "told"} >> "$EDGE_FLEET_RECORD"; exit 2')
    report = tmp_path / "fleet.json"
    assert main(["fleet", str(inventory), "--bundle", str(bundle), "--report", str(report)]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[:3] == [
        "device    outcome       wave  seconds  reason",
        "nobody-1  done             1      2.0",
        "nobody-2  failed           1        -  no",
    ]
    assert lines[4].startswith("2 devices: 1 done, 1 failed; ")
    assert f"report: {report}" in said.err
    assert json.loads(report.read_text())["counts"]["failed"] == 1


def test_report_that_cannot_be_written_after_all_is_printed_nevertheless(
    ansible, inventory, bundle, tmp_path, capsys
):
    report = tmp_path / "fleet.json"
    ansible(f"echo '{START}' >> \"$EDGE_FLEET_RECORD\"; mkdir {report}; exit 2")
    assert main(["fleet", str(inventory), "--bundle", str(bundle), "--report", str(report)]) == 1
    said = capsys.readouterr()
    assert "nobody-1  unfinished" in said.out
    assert said.err.splitlines()[-1].startswith("python -m flash: error: ")
    assert str(report) in said.err.splitlines()[-1]


def test_sigterm_ends_ansible_as_ctrl_c_does(
    ansible, inventory, bundle, tmp_path, capsys, wait_until
):
    log = ansible(
        "trap 'echo INT >> \"$LOG\"; kill $!; exit 99' INT; sleep 60 &\n"
        f'echo \'{START}\' >> "$EDGE_FLEET_RECORD"; echo up >> "$LOG"; wait'
    )

    def terminate() -> None:
        wait_until(log.exists, "Ansible to start")
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=terminate)
    thread.start()
    arguments = ["fleet", str(inventory), "--bundle", str(bundle), "--json"]
    assert main([*arguments, "--report", str(tmp_path / "fleet.json")]) == 130
    thread.join()
    assert log.read_text().split() == ["up", "INT"]
    assert json.loads(capsys.readouterr().out)["interrupted"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "options",
    [
        ("--forks", "0"),
        ("--forks", "x"),
        ("--max-fail-percentage", "101"),
        ("--no-such-option",),
        ("--report", ""),
        ("--report", ".."),
    ],
)
def test_wrong_usage_ends_with_2(options, inventory, bundle, capsys):
    assert main(["fleet", str(inventory), "--bundle", str(bundle), *options]) == 2


def event(device: str, outcome: str, wave: int = 1, **more: Any) -> dict[str, Any]:
    return {"event": "device", "device": device, "outcome": outcome, "wave": wave, **more}


def known(*names: str, **more: Any) -> dict[str, InventoryDevice]:
    return {name: InventoryDevice(name, **more) for name in names}


def test_results_tell_earlier_runs_from_this_one():
    found = results(
        known("a", "b", "c", "d", "e"),
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


@pytest.mark.parametrize(
    ("device", "words", "reason"),
    [
        (InventoryDevice("pi", "10.0.0.7", "22"), "Permission denied (publickey).",
         "10.0.0.7 does not let us in; a key that it accepts was expected; name it with "
         "ansible_ssh_private_key_file, the user with ansible_user"),
        (InventoryDevice("pi", "{{ net }}.9", "{{ p }}"), "Host key verification failed.",
         "the host key of pi is not known here; log in once"),
        (InventoryDevice("pi 1"), "Connection refused", "Connection refused"),
        (InventoryDevice("-pi"), "a\x1b[31mb\nc", "a\\x1b[31mb c"),
        (InventoryDevice("pi", "", "70000000000"), "x" * 10_000, "the connection to pi was lost"),
    ],
)  # fmt: skip
def test_reason_is_one_plain_line_whatever_the_inventory_has(device, words, reason):
    told = event(device.name, "unreachable", reason=words)
    (found,) = results({device.name: device}, [told], [])
    assert found.reason is not None
    assert found.reason.startswith(reason)
    assert found.reason.isprintable()
    assert len(found.reason) <= 500
    assert "--identity" not in found.reason


def test_outcome_that_nobody_knows_is_no_success():
    (found,) = results(known("a"), [event("a", "weird")], [])
    assert found.outcome == "failed"


def test_report_has_no_error_where_every_device_is_well():
    found = results(known("a", "b"), [event("a", "activated"), event("b", "unchanged")], [])
    report = FleetReport(
        "m.edge", "ab", "m", "int8", "cd", 1, "hosts", None, False, 2, "2026-11-22T10:00:00+00:00",
        1.0, 0.5, {"done": 1, "unchanged": 1, "would-change": 0, "failed": 0, "unreachable": 0,
                   "unfinished": 0, "not-tried": 0}, waves(found), None, None, False, found,
    )  # fmt: skip
    assert report.error() is None
    assert report.summary().startswith("2 devices: 1 done, 1 unchanged; 1.0 s")
