from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import edge_runtime.device
import edge_runtime.device_store
import edge_runtime.files
from edge_runtime.bundle import BundleError
from edge_runtime.device import PatientStream, Receipt, receive, status
from edge_runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def int8(make_bundle) -> bytes:
    return make_bundle("int8")


@pytest.fixture
def float16(make_bundle) -> bytes:
    return make_bundle("float16", counter=2)


def take(data: bytes, directory: Path, **options: Any) -> Receipt:
    return receive(io.BytesIO(data), directory, **options)


def assert_whole(directory: Path, *variants: str) -> None:
    """The active model is one of these, undamaged, and nothing is left lying about."""
    found = status(directory)
    assert found.problem is None
    assert found.active is not None
    assert found.active.variant in variants
    assert not list(directory.rglob("incoming-*"))


def test_model_becomes_active_and_the_one_before_is_named(empty_device, int8, float16, make_bundle):
    first = take(int8, empty_device)
    assert (first.outcome, first.previous, first.signer) == ("activated", None, "anna")
    steps: list[str] = []
    second = receive(io.BytesIO(float16), empty_device, steps.append)
    assert second.outcome == "activated"
    assert (second.previous, second.active.variant) == (first.active, "float16")
    active = empty_device / "active/model.tflite"
    assert Path(second.active.path).read_bytes() == active.read_bytes()
    assert len(steps) == 3
    back = take(make_bundle("int8", counter=3), empty_device)
    assert back.active.sha256 == first.active.sha256
    assert len(status(empty_device).releases) == 2


def test_release_holds_what_was_signed(installed, int8):
    with tarfile.open(fileobj=io.BytesIO(int8)) as archive:
        for member in archive:
            content = archive.extractfile(member).read()
            assert (installed / "active" / member.name).read_bytes() == content


def test_same_model_again_changes_nothing_and_runs_nothing(installed, int8, monkeypatch):
    files = [path for path in installed.rglob("*") if path.is_file()]
    before = {p: p.lstat().st_mtime_ns for p in [installed / "active", *files]}
    monkeypatch.setattr(edge_runtime.device, "run_self_test", None)
    assert take(int8, installed).outcome == "unchanged"
    assert {p: p.lstat().st_mtime_ns for p in before} == before


def test_service_of_another_user_can_read_the_model_whatever_the_umask(empty_device, int8):
    before = os.umask(0o077)
    try:
        take(int8, empty_device)
    finally:
        os.umask(before)
    release = (empty_device / "active").resolve()
    assert (release.stat().st_mode & 0o777, release.parent.stat().st_mode & 0o777) == (0o755, 0o755)
    assert {path.stat().st_mode & 0o777 for path in release.iterdir()} == {0o644}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-20_000] + bytes(20_000),
        lambda data: os.urandom(5000),
        lambda data: b"",
    ],
    ids=["half", "zeroed", "garbage", "nothing"],
)
def test_damaged_bundle_keeps_the_old_model(installed, float16, damage):
    with pytest.raises(BundleError):
        take(damage(float16), installed)
    assert_whole(installed, "int8")
    assert len(status(installed).releases) == 1


def test_wrong_answers_keep_the_old_model(installed, make_bundle):
    with pytest.raises(DeviceError, match="with another label"):
        take(make_bundle("float16", counter=2, wrong=True), installed)
    assert_whole(installed, "int8")
    assert len(status(installed).releases) == 1


def test_damaged_active_model_is_reported_and_mended(installed, int8):
    path = installed / "active/model.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "is damaged; send it again" in str(status(installed).problem)
    assert take(int8, installed).outcome == "activated"
    assert_whole(installed, "int8")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: (folder / "active/manifest.json").unlink(),
        lambda folder: ((folder / "active").unlink(), (folder / "active").symlink_to("/etc")),
    ],
    ids=["no-manifest", "link-elsewhere"],
)
def test_broken_active_link_is_reported_and_mended(installed, int8, break_it):
    break_it(installed)
    assert status(installed).problem
    assert take(int8, installed).previous is None
    assert_whole(installed, "int8")


def test_folder_without_a_model_has_no_active_one(tmp_path):
    found = status(tmp_path / "nowhere")
    assert (found.active, found.problem, found.releases) == (None, None, ())


def test_second_transfer_at_the_same_time_is_refused(installed, int8):
    with (installed / ".edge-run/lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DeviceError, match="another model is being installed"):
            take(int8, installed)
    assert take(int8, installed).outcome == "unchanged"


def test_leftovers_of_a_power_cut_are_removed(empty_device, int8):
    work = empty_device / ".edge-run"
    (work / "incoming-abc").mkdir(parents=True)
    (work / "incoming-abc" / "model.tflite").write_bytes(b"half")
    (work / "incoming-link").symlink_to("releases/nowhere")
    take(int8, empty_device)
    assert_whole(empty_device, "int8")


def test_small_disk_is_refused_before_anything_is_written(empty_device, int8, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(edge_runtime.device_store.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DeviceError, match="has 1,000 bytes left; .*remove old models from"):
        take(int8, empty_device)
    assert not list((empty_device / "releases").iterdir())
    assert not list((empty_device / ".edge-run").iterdir())


def test_full_disk_while_writing_keeps_the_old_model(installed, float16, monkeypatch):

    def fail(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(edge_runtime.files.os, "fsync", fail)
    with pytest.raises(DeviceError, match="No space left on device; remove old models from"):
        take(float16, installed)
    monkeypatch.undo()
    assert_whole(installed, "int8")
    assert take(float16, installed).outcome == "activated"


def test_folder_that_cannot_be_made_is_named(make_bundle):
    bundle = make_bundle("int8", signed=False)
    with pytest.raises(DeviceError, match="/proc/models.*cannot be .*written.*another folder"):
        take(bundle, Path("/proc/models"), allow_unsigned=True)


def test_silence_is_given_up():
    reader, writer = os.pipe()
    try:
        os.write(writer, b"abc")
        stream = PatientStream(reader, idle_limit_s=0.2)
        assert stream.read(10) == b"abc"
        with pytest.raises(DeviceError, match="nothing arrived for 0 s"):
            stream.read(10)
    finally:
        os.close(writer)
    assert stream.read(10) == b""
    os.close(reader)


def test_transfer_that_drips_does_not_hold_the_lock_for_ever():
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    stream = PatientStream(reader, total_limit_s=-1)
    with pytest.raises(DeviceError, match="took more than"):
        stream.read(1)
    os.close(reader)
    os.close(writer)


def edge_run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", *arguments],
        input=data,
        capture_output=True,
        check=False,
        cwd=ROOT,
    )


def test_commands_take_a_model_in_and_show_it(empty_device, int8):
    folder = empty_device
    done = edge_run("receive", "--dir", str(folder), data=int8)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["active"]["variant"] == "int8"
    assert all(line.startswith(b"receive: ") for line in done.stderr.splitlines())
    shown = json.loads(edge_run("status", "--dir", str(folder), "--json").stdout)
    assert shown["active"] == json.loads(done.stdout)["active"]
    text = edge_run("status", "--dir", str(folder)).stdout.decode()
    assert f"--model {folder}/active/model.tflite" in text


def test_commands_fail_with_one_line(empty_device, int8):
    refused = edge_run("receive", "--dir", str(empty_device), data=int8[:50_000])
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        b"edge-run receive: error: the transfer ended after 50,000 bytes"
    )
    assert edge_run("status", "--dir", str(empty_device)).returncode == 0
    (empty_device / "active").symlink_to("elsewhere")
    broken = edge_run("status", "--dir", str(empty_device))
    assert broken.returncode == 1
    assert b"edge-run status: error: " in broken.stderr
