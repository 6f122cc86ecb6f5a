"""The switch, its proof and the way back, with services that are well, ill, slow or gone."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_runtime import device_activation, selftest
from edge_runtime.cli import main
from edge_runtime.device import Receipt, receive, recover, rollback, status
from edge_runtime.device_store import State, Store
from edge_runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def service(tmp_path, installed, write_settings):
    """``service(restart="…", health="…")`` gives the device a service made of shell commands.

    Each restart adds a line to the file ``restarts``: the model that it found active.
    """

    def make(restart: str = "true", health: str | None = None, timeout_s: float = 30) -> Path:
        note = f"readlink {installed}/active >> {tmp_path}/restarts"
        commands = {"restart": ["/bin/sh", "-c", f"{note}; {restart}"]}
        if health is not None:
            commands["health"] = ["/bin/sh", "-c", health]
        return write_settings(installed, health_timeout_s=timeout_s, **commands)

    return make


@pytest.fixture
def restarts(tmp_path):
    """``restarts()`` are the releases that each restart found active."""

    def read() -> list[str]:
        path = tmp_path / "restarts"
        return [Path(line).name for line in path.read_text().split()] if path.exists() else []

    return read


def take(data: bytes, directory: Path) -> Receipt:
    return receive(io.BytesIO(data), directory)


def pending(directory: Path, sha256: str) -> None:
    """What a power cut leaves between the switch and the confirmation."""
    store = Store(directory)
    state, before = store.state(), store.active_name()
    store.prepare_way_back(before)
    store.save(dataclasses.replace(state, pending=sha256, before=before))
    store.switch(sha256)


def test_service_is_restarted_once_with_the_new_model(service, restarts, make_bundle, fast_health):
    directory = service(health="true")
    done = take(make_bundle("float16", 2), directory)
    assert restarts() == [done.active.sha256]
    found = status(directory)
    assert (found.pending, found.reverted, found.counter) == (None, None, 2)
    assert found.previous.sha256 == done.previous.sha256
    assert not (directory / ".edge-run/back").is_symlink()


def test_release_is_marked_as_pending_while_the_service_starts(service, tmp_path, make_bundle):
    copy = f"cp -P {tmp_path}/models/state.json {tmp_path}/models/.edge-run/back {tmp_path}"
    directory = service(restart=copy)
    done = take(make_bundle("float16", 2), directory)
    seen = json.loads((tmp_path / "state.json").read_text())
    assert (seen["pending"], seen["before"]) == (done.active.sha256, done.previous.sha256)
    assert seen["counter"] == 1
    assert (tmp_path / "back").readlink().name == done.previous.sha256


def test_same_bundle_again_restarts_nothing(service, restarts, make_bundle):
    directory = service()
    assert take(make_bundle("int8", 1), directory).outcome == "unchanged"
    assert restarts() == []


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ({"restart": "case $(readlink {active}) in *{old}) ;; *) exit 5 ;; esac"}, "ended with 5"),
        ({"health": "echo it is ill >&2; exit 3"}, r"not well with the new model.*3 \(it is ill\)"),
        ({"health": "test -e {flag} && exit 1; touch {flag}"}, "was well .* and then no more"),
        ({"health": "sleep 60", "timeout_s": 1}, "did not end within 1 s"),
        ({"restart": "test -e {flag} && exit 0; touch {flag}; sleep 60", "timeout_s": 1}, "within"),
        ({"health": "kill -9 $$"}, "ended with -9"),
    ],
    ids=["restart", "health", "health-later", "health-hangs", "restart-hangs", "health-killed"],
)
def test_service_that_is_not_well_gets_the_old_model_back(
    service, restarts, installed, tmp_path, make_bundle, fast_health, commands, reason
):
    old = status(installed).active.sha256
    words = {"{active}": str(installed / "active"), "{old}": old, "{flag}": str(tmp_path / "flag")}
    for word, value in words.items():
        commands = {
            name: command.replace(word, value) if isinstance(command, str) else command
            for name, command in commands.items()
        }
    directory = service(**commands)
    with pytest.raises(DeviceError, match=f"{reason}.*; the old model is active again"):
        take(make_bundle("float16", 2), directory)
    found = status(directory)
    assert (found.active.sha256, found.pending, found.problem) == (old, None, None)
    assert reason.split()[0].split(".*")[0] in found.reverted["reason"]
    assert restarts()[-1] == old
    assert len(restarts()) == 2
    # The floor stays, so that the same bundle may come again, and now it is well.
    assert found.counter == 1
    service()
    assert take(make_bundle("float16", 2), directory).outcome == "activated"
    assert status(directory).reverted is None


def test_reverted_release_is_removed_and_the_folder_is_clean(service, make_bundle):
    directory = service(restart="false")
    with pytest.raises(DeviceError, match="the old model is active again, but the service could"):
        take(make_bundle("float16", 2), directory)
    assert len(status(directory).releases) == 1
    assert {p.name for p in directory.iterdir()} == {
        ".edge-run", "active", "device.json", "releases", "state.json"
    }  # fmt: skip
    assert [p.name for p in (directory / ".edge-run").iterdir()] == ["reserve"]


def test_first_model_that_is_not_well_leaves_none(empty_device, write_settings, make_bundle):
    write_settings(empty_device, restart=["false"])
    with pytest.raises(DeviceError, match="no model is active again"):
        take(make_bundle("int8"), empty_device)
    found = status(empty_device)
    assert (found.active, found.releases, found.problem) == (None, (), None)


def test_command_that_does_not_exist_is_named(installed, write_settings, make_bundle):
    write_settings(installed, restart=["/nowhere/systemctl", "restart"])
    with pytest.raises(DeviceError, match="'/nowhere/systemctl restart' cannot be run"):
        take(make_bundle("float16", 2), installed)


def test_restart_that_leaves_a_process_behind_is_not_waited_for(service, make_bundle):
    # Whoever waited for its end of the pipe would run into the limit, and go back.
    directory = service(restart="sleep 50 &", timeout_s=10)
    assert take(make_bundle("float16", 2), directory).outcome == "activated"


def test_golden_inputs_are_answered_through_the_link_again(installed, make_bundle, monkeypatch):
    folders: list[Path] = []
    real = selftest.run_self_test

    def record(folder: Path, *arguments, **options):
        folders.append(folder)
        if folder.name == "active":
            raise DeviceError("it answers wrongly now")
        return real(folder, *arguments, **options)

    monkeypatch.setattr("edge_runtime.device.run_self_test", record)
    monkeypatch.setattr("edge_runtime.device_health.run_self_test", record)
    with pytest.raises(DeviceError, match="answers wrongly now; the old model is active again"):
        take(make_bundle("float16", 2), installed)
    assert folders[1] == installed / "active"
    assert status(installed).active.variant == "int8"


def test_rollback_goes_back_keeps_the_floor_and_ends(service, restarts, make_bundle, fast_health):
    directory = service(health="true")
    first = status(directory).active.sha256
    take(make_bundle("float16", 5), directory)
    second = take(make_bundle("float32", 7), directory).previous.sha256
    done = rollback(directory)
    assert (done.outcome, done.active.sha256, done.previous.variant) == (
        "rolled-back", second, "float32",
    )  # fmt: skip
    assert restarts()[-1] == second
    assert status(directory).counter == 7
    with pytest.raises(DeviceError, match="it is older"):
        take(make_bundle("float16", 6), directory)
    assert rollback(directory).active.sha256 == first
    with pytest.raises(DeviceError, match="there is no previous release"):
        rollback(directory)
    assert status(directory).active.sha256 == first
    assert take(make_bundle("float32", 7), directory).outcome == "activated"


def test_rollback_to_a_service_that_is_not_well_is_undone(service, make_bundle):
    directory = service()
    now = take(make_bundle("float16", 2), directory).active.sha256
    service(restart=f"case $(readlink {directory}/active) in *{now}) ;; *) exit 1 ;; esac")
    with pytest.raises(DeviceError, match="the old model is active again"):
        rollback(directory)
    found = status(directory)
    assert (found.active.sha256, found.pending) == (now, None)
    assert found.previous.variant == "int8"


def test_rollback_passes_over_a_damaged_release(installed, make_bundle):
    take(make_bundle("float16", 2), installed)
    take(make_bundle("float32", 3), installed)
    model = Path(status(installed).previous.path)
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    assert rollback(installed).active.variant == "int8"


def test_unconfirmed_release_is_reported_and_recovered_without_a_restart(
    service, restarts, make_bundle
):
    directory = service()
    old = status(directory).active.sha256
    new = take(make_bundle("float16", 2), directory).active.sha256
    rollback(directory)
    already = len(restarts())
    pending(directory, new)
    found = status(directory)
    assert (found.active.sha256, found.pending) == (new, new)
    assert "interrupted before its model was confirmed" in found.problem
    done = recover(directory)
    assert (done.outcome, done.active.sha256) == ("reverted", old)
    assert len(restarts()) == already
    assert status(directory).problem is None
    assert recover(directory).outcome == "unchanged"


def test_transfer_after_an_interrupted_one_takes_it_back_first(service, restarts, make_bundle):
    directory = service()
    new = take(make_bundle("float16", 2), directory).active.sha256
    old = rollback(directory).active.sha256
    pending(directory, new)
    with pytest.raises(DeviceError, match="the transfer ended"):
        take(b"", directory)
    assert status(directory).active.sha256 == old
    assert restarts()[-1] == old
    pending_again = take(make_bundle("float16", 2), directory)
    assert pending_again.outcome == "activated"


def test_recovery_of_a_damaged_active_model_takes_the_one_before(installed, make_bundle):
    done = take(make_bundle("float16", 2), installed)
    path = Path(done.active.path)
    path.write_bytes(path.read_bytes()[:1000])
    assert recover(installed).active.variant == "int8"
    found = status(installed)
    assert found.problem is None
    assert found.reverted["reason"] == "its file is damaged"


def test_recovery_where_nothing_is_makes_nothing(tmp_path):
    assert recover(tmp_path / "none").outcome == "unchanged"
    assert not (tmp_path / "none").exists()


def test_status_of_a_running_installation_is_no_problem(installed, make_bundle, require_tool):
    new = take(make_bundle("float16", 2), installed).active.sha256
    rollback(installed)
    pending(installed, new)
    with Store(installed).locked():
        assert status(installed).problem is None
    assert status(installed).problem


def test_old_releases_go_and_active_and_previous_stay(installed, make_bundle, write_settings):
    write_settings(installed, keep=1)
    take(make_bundle("float16", 2), installed)
    done = take(make_bundle("float32", 3), installed)
    assert len(done.removed) == 1
    found = status(installed)
    assert set(found.releases) == {found.active.sha256, found.previous.sha256}
    assert (found.active.variant, found.previous.variant) == ("float32", "float16")
    kept = receive(io.BytesIO(make_bundle("int16x8", 4)), installed, keep=5)
    assert kept.removed == ()
    assert len(status(installed).releases) == 3


def test_release_that_cannot_be_removed_is_no_reason_to_fail(installed, make_bundle, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    steps: list[str] = []
    take(make_bundle("float16", 2), installed)
    monkeypatch.setattr(Store, "prune", fail)
    receive(io.BytesIO(make_bundle("float32", 3)), installed, steps.append, keep=1)
    assert "could not be removed" in steps[-1]


def test_switch_that_cannot_be_undone_says_what_to_do(installed, make_bundle, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Store, "switch_back", fail)
    monkeypatch.setattr(device_activation, "prove", fail_proof)
    with pytest.raises(DeviceError, match="could not be made active again .*receive --recover"):
        take(make_bundle("float16", 2), installed)
    monkeypatch.undo()
    assert recover(installed).active.variant == "int8"


def test_way_back_that_fails_at_boot_is_an_error_and_the_mark_stays(
    installed, make_bundle, monkeypatch, capsys
):
    new = take(make_bundle("float16", 2), installed).active.sha256
    assert rollback(installed).active.variant == "int8"
    pending(installed, new)

    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Store, "switch_back", fail)
    assert main(["receive", "--recover", "--dir", str(installed)]) == 1
    assert "error: the old model could not be made active again" in capsys.readouterr().err
    for attempt in (
        lambda: take(make_bundle("float32", 3), installed),
        lambda: rollback(installed),
    ):
        with pytest.raises(DeviceError, match="could not be made active again .Read-only"):
            attempt()
        assert status(installed).pending == new
    monkeypatch.undo()
    assert recover(installed).active.variant == "int8"


def test_rollback_of_an_unconfirmed_release_goes_one_back_and_not_two(
    service, restarts, make_bundle
):
    directory = service()
    take(make_bundle("float16", 2), directory)
    new = take(make_bundle("float32", 3), directory).active.sha256
    assert rollback(directory).active.variant == "float16"
    pending(directory, new)
    steps: list[str] = []
    done = rollback(directory, steps.append)
    assert (done.outcome, done.active.variant) == ("reverted", "float16")
    assert "that was the rollback" in steps[-1]
    assert restarts()[-1] == done.active.sha256
    assert status(directory).problem is None
    assert rollback(directory).active.variant == "int8"


def fail_proof(*_: object) -> None:
    raise DeviceError("the service is ill")


def test_way_back_needs_no_room_on_the_disk(installed, make_bundle, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    take(make_bundle("float16", 2), installed)

    def ill(*_: object) -> None:
        monkeypatch.setattr(os, "symlink", full)
        monkeypatch.setattr(Store, "save", full)
        raise DeviceError("the service is ill")

    monkeypatch.setattr(device_activation, "prove", ill)
    with pytest.raises(DeviceError, match="the service is ill; the old model is active again"):
        take(make_bundle("float32", 3), installed)
    monkeypatch.undo()
    assert status(installed).active.variant == "float16"
    assert recover(installed).outcome == "unchanged"
    assert status(installed).problem is None


def test_two_at_once_one_is_told_and_the_other_finishes(service, tmp_path, make_bundle):
    gate = tmp_path / "gate"
    directory = service(restart=f"while ! test -e {gate}; do sleep 0.05; done")
    done: list[Receipt] = []
    first = threading.Thread(target=lambda: done.append(take(make_bundle("float16", 2), directory)))
    first.start()
    ends = time.monotonic() + 60
    while not (tmp_path / "restarts").exists() and time.monotonic() < ends:
        time.sleep(0.02)
    for attempt in (
        lambda: take(make_bundle("float32", 3), directory),
        lambda: rollback(directory),
        lambda: recover(directory),
    ):
        with pytest.raises(DeviceError, match="another model is being installed"):
            attempt()
    gate.touch()
    first.join()
    assert done[0].outcome == "activated"
    assert status(directory).active.variant == "float16"


def start_receive(directory: Path) -> subprocess.Popen[bytes]:
    return start_edge_run("receive", directory)


def start_edge_run(verb: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", verb, "--dir", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT"])
def test_signal_between_switch_and_confirmation_goes_back(
    service, restarts, tmp_path, make_bundle, name, wait_until
):
    old = status(service()).active.sha256
    directory = service(restart=f"case $(readlink %s/active) in *{old}) ;; *) sleep 60 ;; esac"
                        .replace("%s", str(tmp_path / "models")))  # fmt: skip
    with start_receive(directory) as process:
        process.stdin.write(make_bundle("float16", 2))
        process.stdin.close()
        wait_until(restarts, "the restart")
        subprocess.run(["kill", f"-{name}", str(process.pid)], check=True)
        assert process.wait(60) == 1
        said = process.stderr.read().decode().splitlines()[-1]
    assert said.startswith("edge-run receive: error: the installation was ended by SIG")
    assert said.endswith("the old model is active again")
    assert status(directory).active.sha256 == old
    assert restarts()[-1] == old


def test_second_signal_does_not_interrupt_the_way_back(
    service, restarts, tmp_path, make_bundle, wait_until
):
    old = status(service()).active.sha256
    found = f"$(readlink {tmp_path}/models/active)"
    directory = service(restart=f"case {found} in *{old}) sleep 1 ;; *) sleep 60 ;; esac")
    with start_receive(directory) as process:
        process.stdin.write(make_bundle("float16", 2))
        process.stdin.close()
        wait_until(restarts, "the restart")
        process.terminate()
        wait_until(lambda: len(restarts()) == 2, "the restart of the old model's service")
        process.terminate()
        assert process.wait(60) == 1
        said = process.stderr.read().decode().splitlines()[-1]
    assert said.endswith("SIGTERM; the old model is active again")


def test_installation_that_is_killed_is_taken_back_at_once(
    service, restarts, tmp_path, make_bundle, wait_until
):
    """SIGKILL leaves the process no word; the one beside it takes back and tells the operator."""
    old = status(service()).active.sha256
    found = f"$(readlink {tmp_path}/models/active)"
    directory = service(restart=f"case {found} in *{old}) ;; *) sleep 60 ;; esac")
    with start_receive(directory) as process:
        process.stdin.write(make_bundle("float16", 2))
        process.stdin.close()
        wait_until(restarts, "the restart")
        process.kill()
        # Its end closes the operator's connection, so that the next try finds nothing under way.
        said = process.stderr.read().decode().splitlines()
    assert process.returncode == -signal.SIGKILL
    assert said[-1].endswith("the old model is active again")
    state = status(directory)
    assert (state.active.sha256, state.pending, state.problem) == (old, None, None)
    assert state.reverted["reason"] == "the installation was interrupted"
    assert restarts()[-1] == old


def test_rollback_that_is_killed_is_taken_back_at_once(
    service, restarts, tmp_path, make_bundle, wait_until
):
    first = status(service()).active.sha256
    now = take(make_bundle("float16", 2), service()).active.sha256
    found = f"$(readlink {tmp_path}/models/active)"
    directory = service(restart=f"case {found} in *{now}) ;; *) sleep 60 ;; esac")
    with start_edge_run("rollback", directory) as process:
        wait_until(lambda: restarts()[-1] == first, "the restart")
        process.kill()
        process.stderr.read()
    state = status(directory)
    assert (state.active.sha256, state.pending) == (now, None)
    assert restarts()[-1] == now


def test_operator_who_hangs_up_after_sending_does_not_stop_the_work(
    service, restarts, tmp_path, make_bundle, wait_until
):
    gate = tmp_path / "gate"
    directory = service(restart=f"while ! test -e {gate}; do sleep 0.05; done")
    with start_receive(directory) as process:
        process.stdin.write(make_bundle("float16", 2))
        process.stdin.close()
        wait_until(restarts, "the restart")
        process.stderr.close()
        process.stdout.close()
        gate.touch()
        process.wait(60)
    found = status(directory)
    assert (found.active.variant, found.pending) == ("float16", None)


def test_state_file_is_plain_json(installed):
    fields = json.loads((installed / "state.json").read_text())
    assert set(fields) == {item.name for item in dataclasses.fields(State)} - {"guessed"}
