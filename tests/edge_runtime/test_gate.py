"""The forced command of the key that brings models."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge_runtime import gate
from edge_runtime.errors import DeviceError
from edge_runtime.gate import permitted


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("edge-run receive", ["receive"]),
        ("/opt/edge/bin/edge-run receive", ["receive"]),
        ("edge-run receive --force --keep 12", ["receive", "--force", "--keep", "12"]),
        ("edge-run receive --keep 100", ["receive", "--keep", "100"]),
        ("edge-run status --json", ["status", "--json"]),
        ("edge-run status", ["status"]),
        ("edge-run rollback --json", ["rollback", "--json"]),
    ],
)
def test_what_flash_asks_for_is_let_through(command, words):
    assert permitted(command) == words


HOSTILE = [
    "",
    " ",
    "edge-run",
    "id",
    "sh",
    "edge-run doctor",
    "edge-run camera",
    "edge-run  receive",
    " edge-run receive",
    "edge-run receive ",
    "edge-run receive\n",
    "edge-run receive\nid",
    "edge-run\treceive",
    "edge-run receive; id",
    "edge-run receive;id",
    "edge-run receive && id",
    "edge-run receive | sh",
    "edge-run receive `id`",
    "edge-run receive $(id)",
    "edge-run receive > /etc/passwd",
    "edge-run 'receive'",
    "edge-run rece\\ive",
    "EDGE-RUN receive",
    "./edge-run receive",
    "/tmp/edge-run receive",
    "/opt/edge/bin/../../../tmp/edge-run receive",
    "edge-run receive --dir /tmp",
    "edge-run receive --dir=/tmp",
    "edge-run receive --allow-unsigned",
    "edge-run receive --allow-uns",
    "edge-run receive --recover",
    "edge-run receive --debug",
    "edge-run receive --forc",
    "edge-run receive --force --force",
    "edge-run receive --force --allow-unsigned",
    "edge-run receive --keep",
    "edge-run receive --keep 0",
    "edge-run receive --keep 101",
    "edge-run receive --keep 999",
    "edge-run receive --keep -1",
    "edge-run receive --keep 2 --keep 3",
    "edge-run receive --keep --allow-unsigned",
    "edge-run receive --keep=2",
    "edge-run receive --keep 2\n",
    "edge-run receive --keep ٣",
    "edge-run receive --keep 99999999999999999999",
    "edge-run receive --",
    "edge-run status --dir /etc",
    "edge-run status --json --json",
    "edge-run rollback --force",
    "edge-run receive\0",
    "edge-run receive\u2028id",
    "edge-run rеceive",  # noqa: RUF001 — its second letter is Cyrillic
    "scp -t /tmp",
    "/usr/lib/openssh/sftp-server",
    "internal-sftp",
    "rsync --server . /",
    "LD_PRELOAD=/tmp/x edge-run receive",
    "edge-run receive " + "--force " * 10_000,
    "A" * 1_000_000,
]


@pytest.mark.parametrize("command", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_else_is(command):
    with pytest.raises(DeviceError, match="this key may not ask for") as caught:
        permitted(command)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


def run_gate(command: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "EDGE_RUNTIME_DIR"}
    if command is not None:
        environment[gate.ORIGINAL_COMMAND] = command
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime.gate"],
        env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_login_without_a_command_gets_one_line_and_no_shell():
    done = run_gate(None)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("edge-run-gate: error: this key may not ask for a login shell;")
    assert done.stderr.count("\n") == 1


def test_escape_sequences_do_not_come_back():
    done = run_gate("\x1b]0;owned\x07")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


def test_the_folder_is_the_systems_whatever_the_environment_says(monkeypatch, tmp_path):
    asked: list[list[str]] = []
    monkeypatch.setattr("edge_runtime.cli.main", lambda words: asked.append(words) or 0)
    monkeypatch.setenv("EDGE_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv(gate.ORIGINAL_COMMAND, "edge-run receive --force")
    before = os.umask(0o077)
    try:
        assert gate.main() == 0
        assert os.umask(0o077) == 0o022
    finally:
        os.umask(before)
    assert asked == [["receive", "--dir", "/var/lib/edge-runtime", "--force"]]
