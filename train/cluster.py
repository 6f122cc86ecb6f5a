"""Which processes train together, as `TF_CONFIG` tells each of them. No TensorFlow here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError

__all__ = ["ALONE", "Cluster", "Worker", "read_cluster"]

VARIABLE = "TF_CONFIG"
EXPECTED = (
    '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": N}} with the '
    "same cluster for all and N from 0"
)
# TensorFlow knows more kinds of task; this training has no use for a parameter server ("ps") or an
# evaluator. A chief is a worker that comes first.
KINDS = ("chief", "worker")


@dataclass(frozen=True)
class Worker:
    """Which of several processes that share every batch this one is.

    Attributes:
        index: From 0.
        count: How many there are.
    """

    index: int = 0
    count: int = 1


# What a process is without `TF_CONFIG`.
ALONE = Worker()


@dataclass(frozen=True)
class Cluster:
    """The processes that train one model together.

    Attributes:
        addresses: Where each of them is reached, ``HOST:PORT``; empty without `TF_CONFIG`.
        worker: Which of them this one is.
    """

    addresses: tuple[str, ...] = ()
    worker: Worker = ALONE

    @property
    def first(self) -> bool:
        """Whether this process keeps the backup and writes the model."""
        return self.worker.index == 0


def read_cluster() -> Cluster:
    """Reads `TF_CONFIG`.

    Returns:
        The cluster; without `TF_CONFIG` this process alone.

    Raises:
        ConfigError: `TF_CONFIG` does not describe a cluster of workers.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return Cluster()
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{VARIABLE} is not JSON: {error}", EXPECTED) from None
    cluster, task = (_part(described, name) for name in ("cluster", "task"))
    if unknown := sorted(set(cluster) - set(KINDS)):
        raise ConfigError(f"{VARIABLE} names a {unknown[0]!r}", "a cluster of workers alone")
    addresses = {kind: _addresses(cluster.get(kind, []), kind) for kind in KINDS}
    everybody = [*addresses["chief"], *addresses["worker"]]
    if len(addresses["chief"]) > 1 or len(set(everybody)) < len(everybody):
        raise ConfigError(
            f"{VARIABLE} names an address twice, or two chiefs", "an address for each worker"
        )
    kind, index = task.get("type"), task.get("index")
    if kind not in KINDS or type(index) is not int or not 0 <= index < len(addresses[kind]):
        raise ConfigError(f"{VARIABLE} has no task {kind} {index} in its cluster", EXPECTED)
    place = index + (len(addresses["chief"]) if kind == "worker" else 0)
    return Cluster(tuple(everybody), Worker(place, len(everybody)))


def _part(described: Any, name: str) -> dict[str, Any]:
    part = described.get(name) if isinstance(described, dict) else None
    if not isinstance(part, dict):
        raise ConfigError(f'{VARIABLE} has no "{name}"', EXPECTED)
    return part


def _addresses(listed: Any, kind: str) -> list[str]:
    if not isinstance(listed, list):
        raise ConfigError(f'"{kind}" in {VARIABLE} is {listed!r}', "a list of HOST:PORT")
    for address in listed:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
            raise ConfigError(f"{VARIABLE} has the address {address!r}", "HOST:PORT")
    return listed
