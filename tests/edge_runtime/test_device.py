from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_runtime.device
from edge_runtime.bundle import BundleError, pack
from edge_runtime.classifier import Classifier
from edge_runtime.device import PatientStream, Receipt, default_directory, receive, status
from edge_runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.random.default_rng(7).integers(0, 256, (2, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def bundle(released_model: Callable[[str], Path]) -> Callable[..., bytes]:
    """``bundle("int8")`` packs that released variant; ``wrong=True`` with answers of another."""

    def make(variant: str, wrong: bool = False) -> bytes:
        model = released_model(variant).read_bytes()
        scores = Classifier(model).scores(PIXELS)
        golden = io.BytesIO()
        np.savez(golden, pixels=PIXELS, scores=np.roll(scores, 1, axis=1) if wrong else scores)
        return pack(
            name="seed", variant=variant, tolerance=0.05, model=model, golden=golden.getvalue()
        )

    return make


@pytest.fixture
def int8(bundle) -> bytes:
    return bundle("int8")


@pytest.fixture
def float16(bundle) -> bytes:
    return bundle("float16")


@pytest.fixture(scope="module")
def _installed_once(tmp_path_factory: pytest.TempPathFactory, bundle) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    take(bundle("int8"), folder)
    return folder


@pytest.fixture
def installed(tmp_path: Path, _installed_once: Path) -> Path:
    """A folder in which int8 is active."""
    return shutil.copytree(_installed_once, tmp_path / "models", symlinks=True)


def take(data: bytes, directory: Path) -> Receipt:
    return receive(io.BytesIO(data), directory)


def assert_whole(directory: Path, *variants: str) -> None:
    """The active model is one of these, undamaged, and nothing is left lying about."""
    found = status(directory)
    assert found.problem is None
    assert found.active is not None
    assert found.active.variant in variants
    assert not list(directory.glob("incoming-*"))


def test_model_becomes_active_and_the_one_before_is_named(tmp_path, int8, float16):
    first = take(int8, tmp_path)
    assert (first.outcome, first.previous) == ("activated", None)
    steps: list[str] = []
    second = receive(io.BytesIO(float16), tmp_path, steps.append)
    assert second.outcome == "activated"
    assert (second.previous, second.active.variant) == (first.active, "float16")
    assert Path(second.active.path).read_bytes() == (tmp_path / "active/model.tflite").read_bytes()
    assert len(steps) == 3
    back = take(int8, tmp_path)
    assert back.active == first.active
    assert len(status(tmp_path).releases) == 2


def test_same_model_again_changes_nothing_and_runs_nothing(installed, int8, monkeypatch):
    before = {p: p.lstat().st_mtime_ns for p in [installed / "active", *installed.rglob("*.*")]}
    monkeypatch.setattr(edge_runtime.device, "run_self_test", None)
    assert take(int8, installed).outcome == "unchanged"
    assert {p: p.lstat().st_mtime_ns for p in before} == before


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


def test_wrong_answers_keep_the_old_model(installed, bundle):
    with pytest.raises(DeviceError, match="with another label"):
        take(bundle("float16", wrong=True), installed)
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
    with (installed / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DeviceError, match="another model is being installed"):
            take(int8, installed)
    assert take(int8, installed).outcome == "unchanged"


def test_leftovers_of_a_power_cut_are_removed(tmp_path, int8):
    (tmp_path / "incoming-abc").mkdir(parents=True)
    (tmp_path / "incoming-abc" / "model.tflite").write_bytes(b"half")
    (tmp_path / "incoming-link").symlink_to("releases/nowhere")
    take(int8, tmp_path)
    assert_whole(tmp_path, "int8")


def test_small_disk_is_refused_before_anything_is_written(tmp_path, int8, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(edge_runtime.device.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DeviceError, match="has 1,000 bytes left; .*remove old models from"):
        take(int8, tmp_path)
    assert not list((tmp_path / "releases").iterdir())


def test_full_disk_while_writing_keeps_the_old_model(installed, float16, monkeypatch):

    def fail(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(edge_runtime.bundle, "_to_disk", fail)
    with pytest.raises(DeviceError, match="No space left on device; remove old models from"):
        take(float16, installed)
    monkeypatch.undo()
    assert_whole(installed, "int8")
    assert take(float16, installed).outcome == "activated"


def test_folder_that_cannot_be_made_is_named():
    with pytest.raises(DeviceError, match="/proc/models.*cannot be written.*another folder"):
        take(b"", Path("/proc/models"))


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


def test_models_live_where_the_desktop_standard_says(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_directory() == Path("/data/edge-runtime")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_directory() == Path.home() / ".local/share/edge-runtime"


def edge_run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", *arguments],
        input=data,
        capture_output=True,
        check=False,
        cwd=ROOT,
    )


def test_commands_take_a_model_in_and_show_it(tmp_path, int8):
    folder = tmp_path / "state"
    done = edge_run("receive", "--dir", str(folder), data=int8)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["active"]["variant"] == "int8"
    assert all(line.startswith(b"receive: ") for line in done.stderr.splitlines())
    shown = json.loads(edge_run("status", "--dir", str(folder), "--json").stdout)
    assert shown["active"] == json.loads(done.stdout)["active"]
    text = edge_run("status", "--dir", str(folder)).stdout.decode()
    assert f"--model {folder}/active/model.tflite" in text


def test_commands_fail_with_one_line(tmp_path, int8):
    refused = edge_run("receive", "--dir", str(tmp_path), data=int8[:50_000])
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        b"edge-run receive: error: the transfer ended after 50,000 bytes"
    )
    assert edge_run("status", "--dir", str(tmp_path)).returncode == 0
    (tmp_path / "active").symlink_to("elsewhere")
    broken = edge_run("status", "--dir", str(tmp_path))
    assert broken.returncode == 1
    assert b"edge-run status: error: " in broken.stderr


# While the files are written, before the release gets its name, before the switch, and after it.
@pytest.mark.parametrize(
    "injection",
    [
        "fsync:signal=SIGKILL:when=2",
        "rename:signal=SIGKILL:when=1",
        "rename:signal=SIGKILL:when=2",
        "fsync:signal=SIGKILL:when=6",
        "fsync:error=ENOSPC:when=3",
        "rename:error=EROFS:when=2",
    ],
)
def test_kill_or_disk_error_leaves_the_old_or_the_new_model(
    tmp_path, installed, float16, require_tool, injection
):
    call = injection.partition(":")[0]
    # The real interpreter: a launcher script in between would be the process that is traced.
    python = os.path.realpath(sys.executable)
    paths = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    done = subprocess.run(
        [
            require_tool("strace"),
            "-f",
            "-o",
            str(tmp_path / "trace"),
            "-e",
            f"trace={call}",
            "-e",
            f"inject={injection}",
            python,
            "-m",
            "edge_runtime",
            "receive",
            "--dir",
            str(installed),
        ],
        input=float16,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert "INJECTED" in (tmp_path / "trace").read_text() or done.returncode == -9
    assert done.returncode != 0, done.stderr
    found = status(installed)
    assert found.problem is None
    assert found.active is not None
    assert found.active.variant in ("int8", "float16")
    take(float16, installed)
    assert_whole(installed, "float16")
