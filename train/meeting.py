"""Several processes make sure that all are there and want the same, before TensorFlow joins them.

TensorFlow's own start waits an hour for a worker that does not come, without a word and deaf to
Ctrl-C; and workers that disagree about their data wait for each other for ever, or learn nonsense.
So the first worker listens for a moment where TensorFlow will listen afterwards, each of the others
sends it one line of JSON, and all get the same answer.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from edge_runtime.cli.shell import say

from .backup import differences
from .cluster import Cluster
from .errors import WorkerError

__all__ = ["PATIENCE_SECONDS", "meet"]

# Time to start the others by hand, and for the slowest to load its images.
PATIENCE_SECONDS = 600.0
SECONDS_BETWEEN_TRIES = 0.5
# Far more than a configuration and the facts about its data take.
MAX_LINE_BYTES = 2**20


def meet(cluster: Cluster, run: Mapping[str, Any], patience: float = PATIENCE_SECONDS) -> None:
    """Waits until all workers are there.

    Args:
        cluster: All of them.
        run: What has to be alike, as JSON values: configuration, data, versions.
        patience: Seconds to wait for the others.

    Raises:
        WorkerError: A worker has another `run` or did not come in time, which all that came raise;
            or the port of this one is taken.
    """
    run = json.loads(json.dumps(run))  # as it will come from the others: tuples become lists
    place, addresses = cluster.worker.index, cluster.addresses
    say(
        f"worker {place} of 0 to {len(addresses) - 1}; the first is expected at {addresses[0]} "
        f"within {patience:.0f} s"
    )
    deadline = time.monotonic() + patience
    # TensorFlow will listen at its port in every worker; better to hear now that it cannot.
    with _listening(addresses[place]) as listener:
        if cluster.first:
            outcome = _receive(listener, cluster, run, deadline)
    if not cluster.first:
        outcome = _visit(cluster, run, deadline)
    if outcome:
        raise WorkerError(*outcome)


def _receive(
    listener: socket.socket, cluster: Cluster, run: Mapping[str, Any], deadline: float
) -> list[str]:
    """The first worker's part: hears the others out and tells them the outcome."""
    here: dict[socket.socket, dict[str, Any]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while (missing := _missing(cluster, here)) and time.monotonic() < deadline:
            for key, _ in selector.select(SECONDS_BETWEEN_TRIES):
                guest = key.fileobj
                assert isinstance(guest, socket.socket)
                if guest is listener:
                    guest = listener.accept()[0]
                    guest.settimeout(SECONDS_BETWEEN_TRIES)
                    selector.register(guest, selectors.EVENT_READ)
                elif _is_card(card := _line(guest)):
                    here[guest] = card
                    say(f"worker {card['worker']} is here")
                else:  # It has gone, or was never one of us.
                    selector.unregister(guest)
                    here.pop(guest, None)
                    guest.close()
    outcome = _absence(missing, cluster.addresses[0]) if missing else _disagreement(run, here)
    for guest in here:
        _send(guest, {"outcome": outcome})
    for guest in here:
        # Wait for its end: the port of whoever closes first is blocked for a while.
        _line(guest)
        guest.close()
    return outcome


def _visit(cluster: Cluster, run: Mapping[str, Any], deadline: float) -> list[str]:
    """The part of all others: find the first and hear the outcome."""
    while (left := deadline - time.monotonic()) > 0:
        with (
            suppress(OSError),
            socket.create_connection(_host_and_port(cluster.addresses[0]), left) as host,
        ):
            _send(host, {"worker": cluster.worker.index, "run": run})
            if answer := _line(host):
                return list(answer["outcome"])
        time.sleep(SECONDS_BETWEEN_TRIES)
    return _absence("worker 0", cluster.addresses[0])


def _missing(cluster: Cluster, here: Mapping[socket.socket, Mapping[str, Any]]) -> str:
    present = {card["worker"] for card in here.values()}
    return ", ".join(
        f"worker {index} ({address})"
        for index, address in enumerate(cluster.addresses)
        if index > 0 and index not in present
    )


def _absence(missing: str, first: str) -> list[str]:
    """What happened, what was expected, and what to do."""
    return [
        f"{missing} did not come",
        "every worker of TF_CONFIG",
        f"start all of them within some minutes, and see that each reaches {first}",
    ]


def _disagreement(
    run: Mapping[str, Any], here: Mapping[socket.socket, Mapping[str, Any]]
) -> list[str]:
    """The same of the first worker that wants something else; empty if none does."""
    for card in sorted(here.values(), key=lambda card: card["worker"]):
        if names := differences(run, card["run"]):
            return [
                f"worker {card['worker']} has another {', '.join(names)} than worker 0",
                "the same in all",
                "start all with the same options, data and software",
            ]
    return []


@contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    _, port = _host_and_port(address)
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise WorkerError(
            f"this worker cannot listen at port {port}: {error.strerror}",
            "a free port",
            "name another in TF_CONFIG, or end the process that has it",
        ) from None
    with listener:
        yield listener


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _send(to: socket.socket, values: Mapping[str, Any]) -> None:
    with suppress(OSError):  # It has gone: whoever waits for an answer will notice.
        to.sendall(json.dumps(values).encode() + b"\n")


def _line(of: socket.socket) -> dict[str, Any]:
    """The JSON object that comes in one line; an empty one if none comes."""
    received = b""
    try:
        while not received.endswith(b"\n"):
            part = of.recv(2**16)
            if not part or len(received) > MAX_LINE_BYTES:
                return {}
            received += part
        told = json.loads(received)
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_card(told: Mapping[str, Any]) -> bool:
    return isinstance(told.get("run"), dict) and type(told.get("worker")) is int
