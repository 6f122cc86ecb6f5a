from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime.sd_notify import notify

# A socket that is full holds up whoever writes to it, for ever.
pytestmark = pytest.mark.usefixtures("deadline")

Listen = Callable[[str], socket.socket]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    """``listen("@name")`` is a service manager's socket, and the environment names it."""
    sockets = []

    def begin(address: str) -> socket.socket:
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind("\0" + address[1:] if address.startswith("@") else address)
        receiver.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        sockets.append(receiver)
        return receiver

    yield begin
    for receiver in sockets:
        receiver.close()


def test_fields_arrive_as_one_datagram(listen: Listen, tmp_path: Path) -> None:
    manager = listen(str(tmp_path / "notify"))
    assert notify(READY="1", STATUS="reads '47'")
    assert manager.recv(4096) == b"READY=1\nSTATUS=reads '47'"


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="abstract sockets are Linux's")
def test_abstract_sockets_are_reached(listen: Listen) -> None:
    manager = listen(f"@edge-runtime-test-{os.getpid()}")
    assert notify(WATCHDOG="1")
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_text_of_several_lines_stays_one_field(listen: Listen, tmp_path: Path) -> None:
    manager = listen(str(tmp_path / "notify"))
    notify(STATUS="12\nREADY=1")
    assert manager.recv(4096) == b"STATUS=12 READY=1"


@pytest.mark.parametrize("address", ["", "relative/path", "/nowhere/at/all", "@nobody-listens"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify(READY="1")


def test_a_manager_that_does_not_listen_holds_up_nothing(listen: Listen, tmp_path: Path) -> None:
    listen(str(tmp_path / "notify"))
    answers = [notify(STATUS=str(n)) for n in range(2000)]
    assert answers[0]
    assert not answers[-1]
