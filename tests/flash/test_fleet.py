"""A fleet of devices, each with an sshd of its own, and Ansible itself."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.device import receive
from flash.__main__ import main
from flash.bundle import make_bundle
from flash.fleet.engine import PLAYBOOK
from flash.fleet.record import record_path

ROOT = Path(__file__).resolve().parents[2]
# Waves of 1, 1, 2 and 4 devices: 5 % of eight is rounded up to one.
COUNT = 8
DEADLINE_S = 120


def local_fleet() -> Any:
    """`tests/local_fleet.py`, which no package holds."""
    path = ROOT / "tests" / "local_fleet.py"
    spec = importlib.util.spec_from_file_location("local_fleet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def devices(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Iterator[Any]:
    require_tool("ansible-playbook")
    require_tool("ssh")
    fleet = local_fleet().LocalFleet(
        tmp_path_factory.mktemp("fleet"), COUNT, require_tool("sshd"), require_tool("ssh-keygen")
    )
    with fleet.running():
        yield fleet


@pytest.fixture
def fleet(devices: Any, signer: Any) -> Iterator[Any]:
    """Eight new devices that know the tests' signer."""
    devices.reset()
    for device in devices.devices:
        device.settings(allowed_signers=str(signer.allowed))
    yield devices
    devices.start_all()
    devices.write_known_hosts()
    devices.write_inventory()


@pytest.fixture(scope="module")
def bundle_data(models: Path, signer: Any) -> bytes:
    return make_bundle(models / "seed_int8.tflite", key=signer.key, counter=7).data


@pytest.fixture
def bundle(tmp_path: Path, bundle_data: bytes) -> Path:
    path = tmp_path / "seed.edge"
    path.write_bytes(bundle_data)
    return path


@pytest.fixture
def send(fleet: Any, bundle: Path, tmp_path: Path, capsys: Any) -> Callable[..., Any]:
    """``send(*options)`` runs the command; the result has status, report and error line."""

    class Sent:
        def __init__(self, status: int, out: str, err: str) -> None:
            self.status, self.out, self.err = status, out, err
            lines = err.splitlines()
            self.error = lines[-1] if lines and ": error: " in lines[-1] else None

        @property
        def report(self) -> dict[str, Any]:
            return json.loads(self.out)

        def outcomes(self) -> dict[str, str]:
            return {found["device"]: found["outcome"] for found in self.report["devices"]}

    def run(*options: str) -> Sent:
        capsys.readouterr()
        status = main(
            ["fleet", str(fleet.inventory), "--bundle", str(bundle), "--json",
             "--report", str(tmp_path / "out" / "fleet.json"), *options]
        )  # fmt: skip
        return Sent(status, *capsys.readouterr())

    return run


@pytest.fixture
def careless(tmp_path, monkeypatch):
    """Settings for other playbooks, each of which would undo something here."""
    config = tmp_path / "ansible.cfg"
    config.write_text(
        "[defaults]\nstrategy = free\nany_errors_fatal = True\nno_log = True\n"
        "host_key_checking = False\nstdout_callback = minimal\nforce_handlers = True\n"
        "[tags]\nrun = web\nskip = always\n"
        "[ssh_connection]\nssh_args = -o StrictHostKeyChecking=no -o ControlMaster=auto\n"
    )
    monkeypatch.setenv("ANSIBLE_CONFIG", str(config))
    monkeypatch.setenv("ANSIBLE_SSH_HOST_KEY_CHECKING", "False")
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    monkeypatch.setenv("ANSIBLE_STRATEGY", "free")
    monkeypatch.setenv("ANSIBLE_FORCE_COLOR", "1")


def model(bundle: Path, tmp_path: Path) -> bytes:
    import tarfile

    with tarfile.open(bundle) as archive:
        member = archive.extractfile("model.tflite")
        assert member is not None
        return member.read()


def test_every_device_is_reported_with_what_became_of_it(
    careless, fleet, bundle, send, tmp_path, signer
):
    # One of two in the third wave: exactly the percentage, so the fourth begins.
    fleet["pi-04"].stop()
    fleet["pi-06"].settings(allowed_signers=str(signer.allowed), device_type="esp32")
    with bundle.open("rb") as file:
        receive(file, fleet["pi-02"].state)
    sent = send("--max-fail-percentage", "50")
    assert sent.outcomes() == {
        "pi-01": "done",
        "pi-02": "unchanged",
        "pi-03": "done",
        "pi-04": "unreachable",
        "pi-05": "done",
        "pi-06": "failed",
        "pi-07": "done",
        "pi-08": "done",
    }
    report = sent.report
    reasons = {found["device"]: found["reason"] for found in report["devices"]}
    assert "'esp32' was expected" in reasons.pop("pi-06")
    assert "cannot be reached" in reasons.pop("pi-04")
    assert set(reasons.values()) == {None}
    assert report["counts"] == {
        "done": 5, "unchanged": 1, "would-change": 0,
        "failed": 1, "unreachable": 1, "unfinished": 0, "not-tried": 0,
    }  # fmt: skip
    assert [(w["devices"], w["bad"]) for w in report["waves"]] == [(1, 0), (1, 0), (2, 1), (4, 1)]
    assert report["stopped_after_wave"] is report["ended_early"] is None
    assert report["controller_cpu_s"] > 0
    assert json.loads((tmp_path / "out" / "fleet.json").read_text()) == report
    assert sent.status == 1
    assert "2 of 8 devices did not take the bundle: 1 failed, 1 unreachable" in sent.error
    expected = model(bundle, tmp_path)
    for device in fleet.devices:
        taken = device.name not in ("pi-04", "pi-06")
        assert device.active() == (expected if taken else None), device.name
    assert fleet["pi-01"].calls() == ["receive"]  # one command, and nothing else


def test_bad_canary_stops_the_next_wave(fleet, send):
    # It says that all went well, and names another model.
    other = {"outcome": "activated", "active": {"sha256": "ab" * 32}, "previous": None}
    fleet["pi-01"].runs(f"cat > /dev/null; echo '{json.dumps(other)}'; :")
    sent = send("--max-fail-percentage", "100")
    assert sent.outcomes() == {"pi-01": "failed"} | {f"pi-0{n}": "not-tried" for n in range(2, 9)}
    assert "no answer that we understand" in sent.report["devices"][0]["reason"]
    assert sent.report["stopped_after_wave"] == 1
    assert all(device.calls() == [] for device in fleet.devices[1:])
    assert "stopped after wave 1, in which 1 of 1 devices were bad" in sent.error
    assert sent.status == 1


def test_device_that_is_not_reached_stops_the_run_and_comes_last_in_the_next(fleet, send):
    # One of two in the third wave: Ansible's own percentage leaves it out and would go on.
    fleet["pi-04"].stop()
    sent = send()
    assert sent.outcomes() == {
        **{f"pi-0{n}": "done" for n in (1, 2, 3)},
        "pi-04": "unreachable",
        **{f"pi-0{n}": "not-tried" for n in (5, 6, 7, 8)},
    }
    assert sent.report["stopped_after_wave"] == 3
    assert all(fleet[f"pi-0{n}"].calls() == [] for n in (5, 6, 7, 8))
    # The canary has succeeded: a device that stays dead must not stand in the way of the others.
    sent = send("--resume")
    assert sent.outcomes() == {f"pi-0{n}": "done" for n in (1, 2, 3, 5, 6, 7, 8)} | {
        "pi-04": "unreachable"
    }
    assert [(w["devices"], w["bad"]) for w in sent.report["waves"]] == [(1, 0), (4, 1)]
    assert all(fleet[f"pi-0{n}"].calls() == ["receive"] for n in (1, 2, 3))


def test_check_asks_and_changes_nothing(fleet, bundle, send, tmp_path, signer):
    fleet["pi-01"].stop()
    fleet["pi-02"].settings(allowed_signers=str(signer.allowed), device_type="esp32")
    with bundle.open("rb") as file:
        receive(file, fleet["pi-03"].state)
    before = sorted(path for path in fleet.folder.rglob("*") if path.name not in ("calls", "log"))
    sent = send("--check", "--limit", "pi-01,pi-02,pi-03,pi-04")
    assert sent.outcomes() == {
        "pi-01": "unreachable",
        "pi-02": "failed",
        "pi-03": "unchanged",
        "pi-04": "would-change",
    }
    assert "would refuse the bundle: its type is 'esp32'" in sent.out
    assert "2 of 4 devices would not take the bundle" in sent.error
    after = sorted(path for path in fleet.folder.rglob("*") if path.name not in ("calls", "log"))
    assert after == before
    assert {call for device in fleet.devices for call in device.calls()} == {"status"}
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_resume_leaves_those_done_untouched_after_a_kill(fleet, bundle, send, tmp_path, wait_until):
    held = fleet["pi-06"]
    held.hold()
    report = tmp_path / "out" / "fleet.json"
    killed = subprocess.Popen(
        [sys.executable, "-m", "flash", "fleet", str(fleet.inventory),
         "--bundle", str(bundle), "--report", str(report)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    record = record_path(report)
    others = [device for device in fleet.devices if device is not held]
    wait_until(
        lambda: record.exists() and record.read_text().count('"activated"') == len(others),
        "the others to be recorded",
    )
    wait_until(lambda: held.calls() == ["receive"], "the held device to be called")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not report.exists()

    # What is left of Ansible may still have a transfer under way: then a resume must not begin.
    sent = send("--resume")
    while sent.error and "is under way" in sent.error:
        held.release()
        time.sleep(0.5)
        sent = send("--resume")
    held.release()
    assert sent.status == 0, sent.err
    found = sent.report["devices"]
    assert {f["device"] for f in found if f["earlier"]} == {device.name for device in others}
    assert {f["outcome"] for f in found} <= {"done", "unchanged"}
    assert all(device.calls() == ["receive"] for device in others)
    assert held.active() == model(bundle, tmp_path)


def test_interrupted_run_tells_what_it_did_and_can_be_resumed(
    fleet, bundle, send, tmp_path, wait_until
):
    fleet["pi-03"].hold()
    report = tmp_path / "out" / "fleet.json"
    child = subprocess.Popen(
        [sys.executable, "-m", "flash", "fleet", str(fleet.inventory),
         "--bundle", str(bundle), "--report", str(report)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: fleet["pi-03"].calls() == ["receive"], "the device to be called")
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    _, said = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 130
    assert "Traceback" not in said
    found = json.loads(report.read_text())
    assert found["interrupted"]
    outcomes = {each["device"]: each["outcome"] for each in found["devices"]}
    assert outcomes["pi-01"] == outcomes["pi-02"] == "done"
    assert outcomes["pi-03"] == "unfinished"
    assert outcomes["pi-08"] == "not-tried"
    fleet["pi-03"].release()
    sent = send("--resume", "--limit", "pi-01,pi-02,pi-03")
    assert sent.status == 0, sent.err
    assert fleet["pi-01"].calls() == ["receive"]


def test_resume_tries_again_what_failed_and_nothing_else(fleet, send):
    fleet["pi-01"].stop()
    sent = send()
    assert "8 of 8 devices did not take the bundle: 1 unreachable, 7 not-tried" in sent.error
    fleet.start_all()
    fleet["pi-03"].stop()
    sent = send("--resume", "--limit", "pi-01,pi-02,pi-03")
    assert sent.outcomes() == {"pi-01": "done", "pi-02": "done", "pi-03": "unreachable"}
    fleet.start_all()
    sent = send("--resume", "--limit", "pi-01,pi-02,pi-03")
    assert set(sent.outcomes().values()) == {"done"}
    assert [f["device"] for f in sent.report["devices"] if not f["earlier"]] == ["pi-03"]
    assert sent.status == 0
    assert fleet["pi-01"].calls() == fleet["pi-02"].calls() == ["receive"]


def test_careless_settings_neither_undo_the_rule_nor_the_report(careless, fleet, send, signer):
    fleet["pi-04"].settings(allowed_signers=str(signer.allowed), device_type="esp32")
    sent = send()
    assert sent.outcomes() == {
        **{f"pi-0{n}": "done" for n in (1, 2, 3)},
        "pi-04": "failed",
        **{f"pi-0{n}": "not-tried" for n in (5, 6, 7, 8)},
    }
    assert sent.report["stopped_after_wave"] == 3
    assert "'esp32' was expected" in sent.out


def test_strange_host_keys_are_not_trusted_whatever_is_set(careless, fleet, send):
    known = fleet.known_hosts.read_text().splitlines()
    known[1] = f"{known[1].split()[0]} {known[0].split(maxsplit=1)[1]}"  # pi-02 with another key
    fleet.known_hosts.write_text("\n".join([*known[:3], *known[4:]]) + "\n")  # pi-04 with none
    sent = send("--limit", "pi-01,pi-02,pi-03,pi-04", "--max-fail-percentage", "100", "--check")
    assert sent.outcomes() == {
        "pi-01": "would-change",
        "pi-02": "unreachable",
        "pi-03": "would-change",
        "pi-04": "unreachable",
    }
    reasons = {found["device"]: found["reason"] for found in sent.report["devices"]}
    assert "another host key than before" in reasons["pi-02"]
    assert "is not known here" in reasons["pi-04"]
    assert fleet["pi-02"].calls() == fleet["pi-04"].calls() == []


def test_odd_names_addresses_and_answers_leave_the_report_whole(fleet, send, tmp_path):
    answers = {
        "pi-01": '{"outcome": "weird", "active": null, "previous": null}',
        "pi-02": '{"outcome": "activated", "active": "x", "previous": null}',
        "pi-03": '{"outcome": "would-activate", "active": null, "previous": null}',
        "pi-04": "[" * 100_000,
    }
    for name, answer in answers.items():
        path = fleet[name].folder / "answer"
        path.write_text(answer + "\n")
        fleet[name].runs(f"cat {path} - | head -n 1; :")
    fleet["pi-05"].runs("printf 'edge-run receive: error: \\033[31m%05000d' 1 >&2; exit 1; :")
    text = fleet.inventory.read_text()
    more = (
        "[odd:children]\ndigits\n[odd:vars]\nnet=127.0.0\np=1\n[strange]\n"
        "-pi ansible_host=127.0.0.1 ansible_port=1\n"
        'filled ansible_host="{{ net }}.1" ansible_port="{{ p }}" net=127.0.0 p=1\n'
    )
    fleet.inventory.write_text(text + more)
    (tmp_path / "more.yml").write_text(
        "all:\n  hosts:\n    pi 1:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n"
    )
    folder = tmp_path / "inventory"
    folder.mkdir()
    shutil.copy(fleet.inventory, folder)
    shutil.move(tmp_path / "more.yml", folder)
    fleet.inventory = folder
    try:
        # All in one wave.
        sent = send("--check")
        found = {each["device"]: each for each in sent.report["devices"]}
        assert len(found) == 11
        for name in ("pi 1", "-pi", "filled"):
            assert found[name]["outcome"] == "unreachable", found[name]
        for name in ("pi-01", "pi-02", "pi-03", "pi-04"):
            assert found[name]["outcome"] == "failed", found[name]
            assert found[name]["reason"].startswith("it gave no answer that we understand")
        assert "\x1b" not in sent.err + found["pi-05"]["reason"]
        assert len(found["pi-05"]["reason"]) == 500
    finally:
        fleet.inventory = fleet.folder / "hosts.ini"


def test_device_that_does_not_answer_in_time_is_unfinished_and_bad(fleet, send):
    fleet.write_inventory("edge_runtime_timeout_s=2")
    fleet["pi-01"].runs("cat > /dev/null; sleep 60; :")
    sent = send("--limit", "pi-01,pi-02")
    assert sent.outcomes() == {"pi-01": "unfinished", "pi-02": "not-tried"}
    reason = sent.report["devices"][0]["reason"]
    assert "did not answer within 2 s; what is active there is a whole model" in reason
    assert sent.report["stopped_after_wave"] == 1


def test_bundle_that_goes_away_meanwhile_is_still_what_every_device_gets(
    fleet, bundle, send, tmp_path
):
    expected = model(bundle, tmp_path)
    fleet["pi-01"].runs(f"rm {bundle}; PYTHONPATH={ROOT} exec {sys.executable} -m edge_runtime")
    sent = send("--limit", "pi-01,pi-02")
    assert sent.outcomes() == {"pi-01": "done", "pi-02": "done"}, sent.err
    assert fleet["pi-02"].active() == expected


def test_no_wave_begins_after_the_command_was_killed(fleet, bundle, tmp_path, wait_until):
    fleet["pi-02"].hold()
    report = tmp_path / "fleet.json"
    child = subprocess.Popen(
        [sys.executable, "-m", "flash", "fleet", str(fleet.inventory),
         "--bundle", str(bundle), "--report", str(report)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: fleet["pi-02"].calls() == ["receive"], "the second wave")
    child.kill()  # It alone, as the kernel does that is short of memory.
    child.wait()
    fleet["pi-02"].release()

    def is_over() -> bool:
        with record_path(report).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_until(is_over, "Ansible to end")
    assert record_path(report).read_text().count('"activated"') == 2
    assert [device.calls() for device in fleet.devices[2:]] == [[]] * 6


def test_role_works_in_a_playbook_of_ones_own(fleet, bundle, tmp_path, require_tool):
    playbook = tmp_path / "mine.yml"
    playbook.write_text(
        "- hosts: digits\n  gather_facts: false\n  roles:\n    - role: edge_runtime\n"
    )
    command = [require_tool("ansible-playbook"), "-i", str(fleet.inventory), str(playbook)]
    command += ["--limit", "pi-01,pi-02"]
    environment = {**os.environ, "ANSIBLE_ROLES_PATH": str(PLAYBOOK.parent / "roles")}

    def play(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *options], env=environment, capture_output=True, text=True, check=False
        )

    done = play("-e", f"edge_runtime_bundle={bundle}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("changed=1 ") == 2
    assert fleet["pi-01"].active() is not None
    again = play("-e", f"edge_runtime_bundle={bundle}")
    assert again.stdout.count("changed=0 ") == 2
    without = play()
    assert without.returncode != 0
    assert "missing required arguments: edge_runtime_bundle" in without.stdout + without.stderr


def test_device_that_refuses_early_is_not_called_unreachable(fleet, tmp_path, signer, send):
    fleet["pi-01"].settings(allowed_signers=str(signer.allowed), device_type="esp32")
    # An ssh whose other end refuses: it closes the pipe while Ansible writes, and is still there a
    # moment later. The real one does so in some cases, where the controller is busy.
    ssh, once = tmp_path / "ssh", tmp_path / "once"
    ssh.write_text(
        f'#!/bin/sh\n[ -e {once} ] && exec ssh "$@"\ntouch {once}\n'
        "head -c 1000 > /dev/null\nexec < /dev/null\nsleep 0.5\nexit 1\n"
    )
    ssh.chmod(0o755)
    fleet.write_inventory(f"ansible_ssh_executable={ssh}")
    sent = send("--limit", "pi-01")
    assert sent.outcomes() == {"pi-01": "failed"}
    assert "'esp32' was expected" in sent.report["devices"][0]["reason"]


def test_device_without_the_runtime_is_told_what_to_set(fleet, send):
    fleet.write_inventory("edge_runtime_command=nowhere/edge-run")
    sent = send("--limit", "pi-01")
    assert "no command 'nowhere/edge-run'" in sent.report["devices"][0]["reason"]
    assert "edge_runtime_command" in sent.report["devices"][0]["reason"]


def test_options_and_folder_reach_the_command_there(fleet, tmp_path, send):
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copy(fleet["pi-01"].state / "device.json", folder)
    fleet.write_inventory(
        f"edge_runtime_dir='{folder}'", 'edge_runtime_options=["--keep", "5", "--force"]'
    )
    sent = send("--limit", "pi-01")
    assert sent.outcomes() == {"pi-01": "done"}, sent.err
    assert (folder / "active" / "model.tflite").is_file()
    assert "--keep 5 --force" in (fleet["pi-01"].folder / "calls").read_text()


def test_key_that_is_restricted_to_the_runtime_is_enough(fleet, send, tmp_path):
    gate = tmp_path / "gate"
    gate.write_text(
        '#!/bin/sh\ncase "$SSH_ORIGINAL_COMMAND" in\n'
        '"edge-run receive" | "edge-run status --json") exec $SSH_ORIGINAL_COMMAND ;;\nesac\n'
        'echo "edge-run-gate: error: not that" >&2\nexit 1\n'
    )
    gate.chmod(0o755)
    fleet["pi-01"].allow(fleet.key, "restrict", f'command="{gate}"')
    assert send("--limit", "pi-01", "--check").outcomes() == {"pi-01": "would-change"}
    assert send("--limit", "pi-01").outcomes() == {"pi-01": "done"}
    fleet.write_inventory("edge_runtime_command='cat /etc/passwd;'")
    sent = send("--limit", "pi-01")
    assert sent.report["devices"][0]["reason"] == "not that"
