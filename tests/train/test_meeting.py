from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from train.cluster import Cluster, Worker
from train.errors import WorkerError
from train.meeting import meet

RUN = {"config": {"seed": 1, "epochs": 3}, "data": {"image_size": (28, 28, 1)}, "device": "CPU"}


def free_addresses(count: int) -> tuple[str, ...]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = tuple("{}:{}".format(*opened.getsockname()) for opened in sockets)
    for opened in sockets:
        opened.close()
    return addresses


class Guest(threading.Thread):
    """A worker that goes to the meeting."""

    def __init__(
        self, addresses: tuple[str, ...], index: int, run: Mapping[str, Any] = RUN,
        patience: float = 60,
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.cluster = Cluster(addresses, Worker(index, len(addresses)))
        self.run_description, self.patience = run, patience
        self.outcome = "not over"
        self.start()

    def run(self) -> None:
        try:
            meet(self.cluster, self.run_description, self.patience)
            self.outcome = "met"
        except WorkerError as error:
            self.outcome = str(error)

    def ends(self) -> str:
        self.join(90)
        return self.outcome


def test_all_go_on_when_all_are_there() -> None:
    addresses = free_addresses(3)
    late = [Guest(addresses, 2), Guest(addresses, 1)]
    time.sleep(1)
    assert [guest.outcome for guest in late] == ["not over"] * 2
    assert [guest.ends() for guest in [*late, Guest(addresses, 0)]] == ["met"] * 3


def test_ports_are_free_again_for_tensorflow() -> None:
    addresses = free_addresses(2)
    for _ in range(3):
        guests = [Guest(addresses, index) for index in (0, 1)]
        assert [guest.ends() for guest in guests] == ["met"] * 2


def test_worker_that_wants_something_else_is_named_to_all() -> None:
    addresses = free_addresses(3)
    other = {**RUN, "config": {"seed": 2, "epochs": 3}, "device": "GPU"}
    guests = [Guest(addresses, 0), Guest(addresses, 1), Guest(addresses, 2, other)]
    for guest in guests:
        assert guest.ends() == (
            "worker 2 has another seed, device than worker 0; the same in all was expected; "
            "start all with the same options, data and software"
        )


def test_worker_that_does_not_come_is_named_to_those_who_came() -> None:
    addresses = free_addresses(3)
    guests = [Guest(addresses, 0, patience=2), Guest(addresses, 2)]
    for guest in guests:
        assert guest.ends().startswith(
            f"worker 1 ({addresses[1]}) did not come; every worker of TF_CONFIG was expected; "
        )


def test_without_the_first_worker_there_is_no_meeting() -> None:
    addresses = free_addresses(2)
    outcome = Guest(addresses, 1, patience=1).ends()
    assert outcome.startswith("worker 0 did not come")
    assert outcome.endswith(f"see that each reaches {addresses[0]}")


def test_strangers_and_deserters_do_not_count() -> None:
    addresses = free_addresses(2)
    first = Guest(addresses, 0)
    host, _, port = addresses[0].partition(":")
    for sent in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"{}\n",
        b'{"worker": "1", "run": {}}\n',
        b"\xff\n",
        b"",
    ):
        with connected(host, int(port)) as stranger:
            stranger.sendall(sent)
    with connected(host, int(port)) as deserter:
        deserter.sendall(b'{"worker": 1, "run": {}}')
    time.sleep(1)
    assert first.outcome == "not over"
    assert Guest(addresses, 1).ends() == first.ends() == "met"


def connected(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((host, port), 10)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("index", [0, 1])
def test_taken_port_is_told_at_once(index: int) -> None:
    addresses = free_addresses(2)
    port = int(addresses[index].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        outcome = Guest(addresses, index).ends()
    assert outcome.startswith(f"this worker cannot listen at port {port}: ")
    assert "a free port was expected" in outcome
