"""Real file systems that are full or cannot be written, mounted in a namespace of their own."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.device import receive, status
from edge_runtime.device_store import Store
from edge_runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def receive_on(require_tool, tmp_path, installed, make_bundle):
    """``receive_on("size=400k")`` sends float16 to a copy of `installed` on such a tmpfs.

    ``after`` is shell that runs between the copy and the transfer; with ``fails="false"`` there is
    no transfer. Returns the transfer's stderr,
    and the status before and after it.
    """
    unshare = [require_tool("unshare"), "--mount"]
    if os.getuid() != 0:
        unshare.append("--map-root-user")
    allowed = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip(f"this user may not mount anything: {allowed.stderr.strip()}")

    def run(options: str, after: str = "true", fails: str = "true") -> tuple[str, dict, dict]:
        disk, bundle = tmp_path / "disk", tmp_path / "bundle.edge"
        disk.mkdir()
        bundle.write_bytes(make_bundle("float16", 2))
        edge_run = f"{shlex.quote(sys.executable)} -m edge_runtime"
        status = f"{edge_run} status --json --dir {disk}"
        done = subprocess.run(
            [
                *unshare, "/bin/sh", "-c",
                f"mount -t tmpfs -o {options} tmpfs {disk} && cp -a {installed}/. {disk} && "
                f"{after} && {status} && "
                f"{{ {fails} && {edge_run} receive --dir {disk} < {bundle} || {status}; }}",
            ],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        before, later = map(json.loads, done.stdout.splitlines())
        return (done.stderr.splitlines() or [""])[-1], before, later

    return run


def test_rollback_works_on_a_full_disk(receive_on, tmp_path):
    """The room that was set aside is enough for the mark, the links and the note."""
    disk, bundle = tmp_path / "disk", tmp_path / "bundle.edge"
    edge_run = f"{shlex.quote(sys.executable)} -m edge_runtime"
    steps = (
        f"{edge_run} receive --dir {disk} < {bundle} > /dev/null",
        f"{{ dd if=/dev/zero of={disk}/filled bs=4k 2> /dev/null; true; }}",
        f"! touch {disk}/more || ! echo x > {disk}/more",
        f"{edge_run} rollback --dir {disk} > {tmp_path}/said",
        f"rm {disk}/filled",
    )
    _, before, _ = receive_on("size=8m", " && ".join(steps), fails="false")
    assert "digits int8" in (tmp_path / "said").read_text()
    assert before["active"]["variant"] == "int8"
    assert (before["pending"], before["problem"], before["counter"]) == (None, None, 2)


def test_tiny_disk_is_refused_with_its_room_and_keeps_the_old_model(receive_on):
    said, before, after = receive_on("size=400k")
    assert said.startswith("edge-run receive: error: the disk of ")
    assert "bytes left" in said
    assert after["active"] == before["active"]
    assert after["problem"] is None


def test_disk_without_an_inode_left_keeps_the_old_model(receive_on):
    said, before, after = receive_on("size=8m,nr_inodes=14")
    assert "No space left on device; remove old models from" in said
    assert (after["active"], after["problem"]) == (before["active"], None)


def test_read_only_disk_is_named_and_its_model_can_be_used(receive_on, tmp_path):
    said, before, after = receive_on("size=8m", f"mount -o remount,ro {tmp_path / 'disk'}")
    assert "Read-only file system; a folder that this user may write was expected" in said
    assert (after["active"], after["problem"]) == (before["active"], None)


def test_old_releases_go_where_there_is_no_room_for_a_new_one(installed, make_bundle, monkeypatch):
    for number, variant in enumerate(("float16", "float32", "dynamic"), start=2):
        receive(io.BytesIO(make_bundle(variant, number)), installed)
    # Room for one more where three are stored.
    room = 5_000_000
    monkeypatch.setattr(
        Store, "free_bytes", lambda store: room if len(store.names()) <= 3 else 1000
    )
    before = status(installed)
    assert len(before.releases) == 4
    with pytest.raises(DeviceError, match="with another label"):
        receive(io.BytesIO(make_bundle("int16x8", 5, wrong=True)), installed)
    after = status(installed)
    assert (after.active, after.previous, len(after.releases)) == (
        before.active,
        before.previous,
        3,
    )
    done = receive(io.BytesIO(make_bundle("int16x8", 5)), installed)
    assert done.outcome == "activated"
    # The active one and the previous one stay, whatever the room.
    monkeypatch.setattr(Store, "free_bytes", lambda _: 1000)
    with pytest.raises(DeviceError, match="has 1,000 bytes left"):
        receive(io.BytesIO(make_bundle("int8", 6)), installed, keep=1)
    assert {status(installed).active.variant, status(installed).previous.variant} == {
        "int16x8", "dynamic"
    }  # fmt: skip
    assert len(status(installed).releases) == 2
