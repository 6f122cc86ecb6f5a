"""Real file systems that are full or cannot be written, mounted in a namespace of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def receive_on(require_tool, tmp_path, installed, make_bundle):
    """``receive_on("size=400k")`` sends float16 to a copy of `installed` on such a tmpfs.

    ``after`` is shell that runs between the copy and the transfer. Returns the transfer's stderr,
    and the status before and after it.
    """
    unshare = [require_tool("unshare"), "--mount"]
    if os.getuid() != 0:
        unshare.append("--map-root-user")
    allowed = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip(f"this user may not mount anything: {allowed.stderr.strip()}")

    def run(options: str, after: str = "true") -> tuple[str, dict, dict]:
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
                f"{{ {edge_run} receive --dir {disk} < {bundle} || {status}; }}",
            ],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        before, later = map(json.loads, done.stdout.splitlines())
        return done.stderr.splitlines()[-1], before, later

    return run


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
