"""Puts a model on a Raspberry Pi, or any Linux machine that has the runtime, over SSH.

One connection, one bundle over standard input to one command there, ``edge-run receive``. That
command checks, tries and switches; what happens here is to make the bundle, to send it, and to say
in words what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.bundle import PROGRESS_PREFIX
from edge_runtime.device import TOTAL_LIMIT_S
from edge_runtime.device_store import SPARE_BYTES
from edge_runtime.manifest import version_numbers
from edge_runtime.selftest import TIME_LIMIT_S

from .answers import read_answer
from .bundle import Bundle
from .errors import FlashError
from .operators import unknown_operator
from .ssh import SshResult, SshTarget

__all__ = ["Deployment", "Device", "compare", "deploy"]

# Longer than the device's own limits, for it knows more of what is under way: the transfer, the
# self-test twice, and half an hour for the restart, its health check, and the way back from both.
TIMEOUT_S = TOTAL_LIMIT_S + 2 * TIME_LIMIT_S + 1800
# POSIX shells: 127 "command not found", 126 "found but not executable".
NOT_FOUND = (126, 127)
USAGE = 2
# What `edge-run status --json` must say for `compare`, beside what is active.
FACTS = (
    "signed_only",
    "device_type",
    "runtime",
    "interpreters",
    "counter",
    "free_bytes",
    "shape",
)


@dataclass(frozen=True)
class Device:
    """A device and how its runtime is called.

    Attributes:
        target: How to reach it.
        command: The runtime's command there, for example ``("edge/bin/edge-run",)``.
        directory: The folder there that holds the models; None for the runtime's default.
        force: Let it take a model with another input or other labels than the active one's.
        keep: How many old releases stay there; None for what the device says itself.
    """

    target: SshTarget
    command: tuple[str, ...] = ("edge-run",)
    directory: str | None = None
    force: bool = False
    keep: int | None = None

    def arguments(self, verb: str, *options: str) -> list[str]:
        """The command line for a verb of the runtime there."""
        folder = [] if self.directory is None else ["--dir", self.directory]
        return [*self.command, verb, *folder, *options]


@dataclass(frozen=True)
class Deployment:
    """What came of sending a model; the fields of ``--json``.

    Attributes:
        host: The device.
        outcome: "activated", "unchanged", or, after a dry run, "would-activate".
        name: The model's name.
        variant: Its variant.
        sha256: SHA-256 of its file.
        active: What is active there now (see `edge_runtime.device.Release`), or None.
        previous: What was active before, or None.
        self_test: What the self-test there found, or None where none was needed.
    """

    host: str
    outcome: str
    name: str
    variant: str | None
    sha256: str
    active: dict[str, Any] | None
    previous: dict[str, Any] | None
    self_test: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def deploy(
    device: Device,
    bundle: Bundle,
    *,
    on_sent: Callable[[int], None] = lambda _: None,
    on_step: Callable[[str], None] = lambda _: None,
    timeout_s: float = TIMEOUT_S,
) -> Deployment:
    """Sends a bundle; afterwards its model is active there, or the old one still is.

    Args:
        device: Where to.
        bundle: What.
        on_sent: Called with the number of bytes sent so far.
        on_step: Called with each step that the device reports.
        timeout_s: Seconds for all of it.

    Returns:
        What the device did.

    Raises:
        FlashError: It was not reached, or refused the model; the text says why.
    """

    def forward(line: str) -> None:
        if line.startswith(PROGRESS_PREFIX):
            on_step(line.removeprefix(PROGRESS_PREFIX))

    options = ["--force"] if device.force else []
    if device.keep is not None:
        options += ["--keep", str(device.keep)]
    result = device.target.run(
        device.arguments("receive", *options),
        bundle.data,
        timeout_s=timeout_s,
        on_sent=on_sent,
        on_line=forward,
    )
    if result.exit_status != 0:
        raise _refusal(device, result)
    host = device.target.destination
    answer = read_answer(result.stdout, ("outcome", "active", "previous", "self_test"), host)
    active = answer["active"]
    if active is None or active["sha256"] != bundle.sha256:
        raise FlashError(
            f"{host} says {answer['outcome']!r} and has another model active",
            f"the model that was sent ({bundle.sha256[:12]})",
            "look there with edge-run status",
        )
    return _deployment(device, bundle, **answer)


def compare(device: Device, bundle: Bundle, timeout_s: float = 60.0) -> Deployment:
    """What `deploy` would change; sends nothing.

    Whether the model answers rightly there and whether its signer counts, only the device itself
    can say: it does so before anything changes.

    Args:
        device: Where to.
        bundle: What.
        timeout_s: Seconds for the question.

    Returns:
        The outcome "unchanged" or "would-activate", and what is active now.

    Raises:
        FlashError: The device was not reached, its runtime was not found, or it would refuse the
            bundle.
    """
    host = device.target.destination
    result = device.target.run(device.arguments("status", "--json"), timeout_s=timeout_s)
    try:
        answer = read_answer(result.stdout, ("active", "problem", *FACTS), host)
    except FlashError:
        if result.exit_status != 0:
            raise _refusal(device, result) from None
        raise
    active = answer["active"]
    if (reason := _conflict(device, bundle, answer)) is not None:
        raise FlashError(f"{host} would refuse the model: {reason}", "", "nothing was sent")
    same = active is not None and active["sha256"] == bundle.sha256 and not answer["problem"]
    outcome = "unchanged" if same else "would-activate"
    return _deployment(
        device, bundle, outcome=outcome, active=active, previous=active, self_test=None
    )


def _conflict(device: Device, bundle: Bundle, facts: dict[str, Any]) -> str | None:
    """Why the device would refuse the bundle, as far as its status tells."""
    manifest = bundle.manifest
    if bundle.signature is None and facts["signed_only"]:
        return "the bundle is not signed"
    if manifest.device_type != facts["device_type"]:
        return f"it is a {facts['device_type']!r}, the bundle is for a {manifest.device_type!r}"
    if version_numbers(manifest.minimum_runtime) > version_numbers(facts["runtime"]):
        return f"it has edge-runtime {facts['runtime']}, not {manifest.minimum_runtime}"
    if manifest.counter < facts["counter"]:
        least = facts["counter"]
        return f"it takes counters from {least}, the bundle has {manifest.counter} (see --counter)"
    if (needed := manifest.unpacked_bytes + SPARE_BYTES) > facts["free_bytes"]:
        return f"its disk has {facts['free_bytes']:,} bytes left of {needed:,} that it needs"
    if not facts["interpreters"]:
        return "it has no interpreter"
    if (operator := unknown_operator(bundle.model, facts["interpreters"])) is not None:
        return f"its interpreter, tflite-runtime, cannot load the operator {operator}"
    # JSON has lists where a manifest's shape has tuples.
    known = facts["shape"] and (*facts["shape"][:3], tuple(facts["shape"][3]))
    if known and known != manifest.shape and not device.force:
        return "the model has another input or other labels than the active one (see --force)"
    return None


def _deployment(device: Device, bundle: Bundle, **answer: Any) -> Deployment:
    return Deployment(
        host=device.target.destination,
        name=bundle.contract.name,
        variant=bundle.contract.variant,
        sha256=bundle.sha256,
        **answer,
    )


def _refusal(device: Device, result: SshResult) -> FlashError:
    """Why the command there failed, in words for the person here."""
    host, command = device.target.destination, " ".join(device.command)
    if result.exit_status in NOT_FOUND or "No module named edge_runtime" in result.stderr:
        return FlashError(
            f"{host} has no command {command!r}",
            "edge-run",
            "install edge-runtime there, or say where it is with "
            "--remote-command edge/bin/edge-run",
        )
    if result.exit_status == USAGE:
        return FlashError(
            f"{command!r} on {host} does not understand us",
            "the same version of edge-runtime on both ends",
            "update the one there",
        )
    # The one line that edge-run promises, from among what else may stand on stderr.
    errors = re.findall(r"^edge-run[^:]*: error: (.+)$", result.stderr, re.MULTILINE)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    reason = errors[-1] if errors else (lines or [f"exit status {result.exit_status}"])[-1]
    if "counter is " in reason:
        reason += ", or say --counter if your counters are numbers of your own"
    # A model that failed after the switch: the device has said what is active now.
    stays = "" if "active again" in reason else "the old model stays active"
    return FlashError(f"{host} refused the model: {reason}", "", stays)
