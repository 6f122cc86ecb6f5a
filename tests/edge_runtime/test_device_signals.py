"""A signal at the very call at which something else could be made of it (strace --inject)."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.device import receive, status
from edge_runtime.device_signals import (
    Interrupted,
    interruptible,
    shield,
    undone_by_signals,
    unshield,
)
from edge_runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def traced(require_tool, tmp_path):
    """``traced("receive", folder, "-e", "…")`` is that verb under strace."""

    def run(
        verb: str, directory: Path, *tracing: str | Path, data: bytes = b"", options: str = ""
    ) -> subprocess.CompletedProcess[str]:
        # The real interpreter: a launcher in between would be the process that is traced.
        python = os.path.realpath(sys.executable)
        command = [
            require_tool("strace"), "-o", tmp_path / "trace", *tracing, python, "-m",
            "edge_runtime", verb, "--dir", directory, *options.split(),
        ]  # fmt: skip
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        done = subprocess.run(
            [str(word) for word in command], input=data, capture_output=True, check=False,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


def terminated_at(path: Path, call: str = "openat", number: int = 1) -> list[str]:
    """SIGTERM at a call on a path."""
    return ["-P", str(path), "-e", f"inject={call}:signal=SIGTERM:when={number}"]


def take(data: bytes, directory: Path, **options) -> str:
    done = receive(io.BytesIO(data), directory, **options)
    assert done.active is not None
    return done.active.sha256


def test_recovery_that_is_ended_does_not_take_the_active_model_for_damaged(
    installed, make_bundle, traced
):
    now = take(make_bundle("float16", 2), installed)
    at = terminated_at(installed / f"releases/{now}/model.tflite")
    done = traced("receive", installed, *at, options="--recover")
    assert done.returncode == 1, done.stdout
    assert done.stderr == "edge-run receive: error: the recovery was ended by SIGTERM\n"
    found = status(installed)
    assert (found.active.sha256, found.reverted) == (now, None)


def test_rollback_that_is_ended_does_not_pass_over_the_previous_release(
    installed, make_bundle, traced
):
    second = take(make_bundle("float16", 2), installed)
    now = take(make_bundle("float32", 3), installed)
    done = traced(
        "rollback", installed, *terminated_at(installed / f"releases/{second}/model.tflite")
    )
    assert done.returncode == 1, done.stdout
    assert "the rollback was ended by SIGTERM" in done.stderr
    assert status(installed).active.sha256 == now
    assert status(installed).previous.sha256 == second


def test_transfer_that_is_ended_does_not_skip_the_comparison_of_labels(
    installed, make_bundle, traced
):
    active = status(installed).active.sha256
    bundle = make_bundle("float16", 2, labels="abcdefghij")
    at = terminated_at(installed / f"releases/{active}/manifest.json")
    done = traced("receive", installed, *at, data=bundle)
    assert done.returncode == 1, done.stdout
    assert done.stderr.endswith("error: the installation was ended by SIGTERM\n")
    assert status(installed).active.sha256 == active


def test_first_signal_does_not_interrupt_the_way_back_from_a_failed_proof(
    installed, write_settings, make_bundle, traced, tmp_path
):
    old = status(installed).active.sha256
    restart = f"readlink {installed}/active >> {tmp_path}/restarts"
    write_settings(installed, restart=["/bin/sh", "-c", restart], health=["false"])
    at = terminated_at(installed / ".edge-run/back", "readlink")
    done = traced("receive", installed, *at, data=make_bundle("float16", 2))
    assert done.returncode == 1
    assert "'false' ended with 1; the old model is active again" in done.stderr
    found = status(installed)
    assert (found.active.sha256, found.pending, found.problem) == (old, None, None)
    assert Path((tmp_path / "restarts").read_text().split()[-1]).name == old
    assert "SIGTERM" in (tmp_path / "trace").read_text()


def test_signal_after_the_confirmation_comes_too_late(installed, make_bundle, traced, tmp_path):
    # The first two removals, of leftovers and for the new link, come before the switch.
    at = terminated_at(installed / ".edge-run/back", "unlink", number=3)
    done = traced("receive", installed, *at, data=make_bundle("float16", 2))
    assert done.returncode == 0, done.stderr
    found = status(installed)
    assert (found.active.variant, found.pending, found.problem) == ("float16", None, None)
    assert "SIGTERM" in (tmp_path / "trace").read_text()


def test_every_file_is_on_the_disk_before_the_name_that_makes_it_count(
    installed, make_bundle, traced, tmp_path
):
    done = traced(
        "receive", installed, "-y", "-s", "300", "-e", "trace=fsync,?rename,?renameat,?renameat2",
        data=make_bundle("float16", 2),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    new = status(installed).active.sha256
    happened = []
    for line in (tmp_path / "trace").read_text().splitlines():
        text = re.sub(
            r"incoming-[^/\"]{8}(?=[/\">])", "incoming", line.replace(str(installed), "D")
        )
        if found := re.match(r"fsync\(\d+<(.*?)>\) += 0", text):
            happened.append(f"sync {found[1]}")
        elif found := re.match(r'rename\w*\((?:AT_FDCWD\S*, )?"(.*?)", .*?"(.*?)"', text):
            happened.append(f"{found[1]} -> {found[2]}")
    work = "D/.edge-run"
    state = [f"sync {work}/incoming-state", f"{work}/incoming-state -> D/state.json", "sync D"]
    expected = [
        *(
            f"sync {work}/incoming/{name}"
            for name in ("model.tflite", "golden.npz", "manifest.json.sig", "manifest.json")
        ),
        f"sync {work}/incoming",
        f"{work}/incoming -> D/releases/{new}",
        "sync D/releases",
        f"sync {work}",  # The way back.
        *state,  # Pending.
        f"{work}/incoming-link -> D/active",
        "sync D",
        *state,  # Confirmed.
    ]
    rest = iter(happened)
    missing = next((step for step in expected if step not in rest), None)
    assert missing is None, "\n".join(happened)


def test_signals_wait_behind_the_shield_and_interrupt_once():
    ended = pytest.raises(DeviceError, match="the work was ended by SIGTERM")
    with ended, undone_by_signals("the work"):
        shield()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Interrupted), interruptible():
            pytest.fail("it was not interrupted at once")
        signal.raise_signal(signal.SIGTERM)  # The way back.
        unshield()


def test_interruption_passes_by_whatever_handles_errors():
    with pytest.raises(DeviceError), undone_by_signals("it"):
        try:
            signal.raise_signal(signal.SIGHUP)
        except Exception:
            pytest.fail("it was taken for an error")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with undone_by_signals("it"):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
