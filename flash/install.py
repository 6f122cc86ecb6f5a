"""From a bare Raspberry Pi to a running service, over the operator's own SSH login.

Three connections: the facts; one archive with wheels, plan and the program that carries it out;
and, on a device that has no model yet or where one is named, the model through the same
``edge-run receive`` that every later one takes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.device_settings import SYSTEM_DIRECTORY

from .bundle import Bundle
from .errors import FlashError
from .install_facts import Facts, check, check_room, notes, read_facts
from .install_plan import Wanted, archive, plan, removal
from .on_device.places import DEPLOY_USER, PROGRESS
from .pi import Deployment, Device, compare, deploy
from .ssh import SshResult, SshTarget
from .wheelhouse import prepare

__all__ = ["Installed", "install", "uninstall"]

# 60 MB over a slow radio link, a card that takes minutes to unpack them, apt on 32-bit machines.
TIMEOUT_S = 7200.0
# Root's own shell unpacks and runs; whatever ends it, nothing is left behind but after a power cut,
# and that the next run removes, which knows by the lock what is in use. mktemp's folder is its
# maker's alone; /tmp may be memory.
RUN = (
    "set -eu; d=$(mktemp -d /var/tmp/edge-install.XXXXXXXX); "
    "trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM; "
    'exec 9<"$d"; flock -n 9; '
    'tar -x -f - -C "$d"; python3 -I "$d" "$d"'
)


@dataclass(frozen=True)
class Installed:
    """What was done; the fields of ``--json``.

    Attributes:
        host: The device.
        outcome: "installed", "removed" or "unchanged"; after a dry run "would-install",
            "would-remove" or "unchanged".
        changes: What was changed there, or would be, in words.
        notes: What is worth knowing of the device.
        os: Its operating system.
        architecture: Its architecture, as wheels call it.
        python: Its Python.
        service: "active", or "waits for a model"; "" where nothing was started.
        model: What came of sending a model (see `flash.pi.Deployment`), or None.
    """

    host: str
    outcome: str
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    os: str
    architecture: str
    python: str
    service: str
    model: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def install(
    target: SshTarget,
    wanted: Wanted,
    model: Callable[[], Bundle],
    *,
    model_is_named: bool = False,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda _: None,
    on_sent: Callable[[int, int], None] = lambda _sent, _total: None,
) -> Installed:
    """Makes a device run the service, with a signed model; the second time it finds nothing to do.

    Args:
        target: How the operator logs in there: as root, or with ``sudo`` without a password.
        wanted: What it is to have.
        model: Makes the bundle that is sent to a device without a model.
        model_is_named: Send it to a device that has one, too.
        dry_run: Say what would change; change nothing there.
        say: Called with one line for each step.
        on_sent: Called with the bytes sent and all bytes of the archive.

    Returns:
        What was done.

    Raises:
        FlashError: The device is not one on which this works, or a step failed; the text says
            which. A second try goes on from there.
    """
    place = target.destination
    facts = read_facts(target)
    check(facts, place, installs=True)
    say(f"{place}: {facts.os}, {facts.architecture}, Python {facts.python}")
    # Before anything changes there: a key that cannot sign is no reason to leave half a device.
    bundle = model() if model_is_named or not facts.has_model else None
    with tempfile.TemporaryDirectory(prefix="edge-install-") as scratch:
        wheels = prepare(facts, wanted.wheelhouse, Path(scratch), say)
        made = plan(facts, wheels, wanted, dry_run=dry_run)
        if made["wheels"]:
            check_room(facts, place)
        data = archive(made, wheels.wheels if made["wheels"] and not dry_run else ())
    say(f"sending {len(data):,} bytes to {place}")
    # The changes of a dry run are told once, at its end.
    answer = _carry_out(target, facts, data, (lambda _: None) if dry_run else say, on_sent)
    changes, service = tuple(answer["changes"]), answer["service"]
    sent = None
    if bundle is not None and dry_run:
        sent, service = _compare(target, facts, bundle, changes), ""
    elif bundle is not None:
        say(f"sending {bundle.contract.name} {bundle.contract.variant} to {place}")
        done = deploy(_device(target, facts), bundle, on_step=lambda line: say(f"{place}: {line}"))
        sent, service = done.to_dict(), "active"
    differs = bool(changes) or (sent is not None and sent["outcome"] != "unchanged")
    outcome = ("would-install" if dry_run else "installed") if differs else "unchanged"
    return _installed(target, facts, outcome, changes, "" if dry_run else service, sent)


def _compare(
    target: SshTarget, facts: Facts, bundle: Bundle, changes: tuple[str, ...]
) -> dict[str, Any]:
    """What sending a model would come to, as far as the device can say it now."""
    new = Deployment(
        target.destination,
        "would-activate",
        bundle.contract.name,
        bundle.contract.variant,
        bundle.sha256,
        active=None,
        previous=None,
        self_test=None,
    )
    if facts.environment not in facts.whole:
        return new.to_dict()
    # A runtime or settings that would be others do not decide yet.
    stays = not any(change.startswith(("/opt/", str(SYSTEM_DIRECTORY))) for change in changes)
    try:
        return compare(_device(target, facts), bundle).to_dict()
    except FlashError:
        if stays:
            raise
        return new.to_dict()


def uninstall(
    target: SshTarget, *, dry_run: bool = False, say: Callable[[str], None] = lambda _: None
) -> Installed:
    """Removes everything that `install` puts on a device, its models included.

    Args:
        target: How the operator logs in there.
        dry_run: Say what is there; remove nothing.
        say: Called with one line for each step.

    Returns:
        What was done.

    Raises:
        FlashError: It was not reached, or a step failed.
    """
    facts = read_facts(target)
    check(facts, target.destination, installs=False)
    data = archive(removal(dry_run), ())
    told = (lambda _: None) if dry_run else say
    answer = _carry_out(target, facts, data, told, lambda _sent, _total: None)
    changes = tuple(answer["changes"])
    outcome = ("would-remove" if dry_run else "removed") if changes else "unchanged"
    return _installed(target, facts, outcome, changes, "")


def _installed(
    target: SshTarget,
    facts: Facts,
    outcome: str,
    changes: tuple[str, ...],
    service: str,
    model: dict[str, Any] | None = None,
) -> Installed:
    return Installed(
        target.destination,
        outcome,
        changes,
        notes(facts),
        facts.os,
        facts.architecture,
        facts.python,
        service,
        model,
    )


def _carry_out(
    target: SshTarget,
    facts: Facts,
    data: bytes,
    say: Callable[[str], None],
    on_sent: Callable[[int, int], None],
) -> dict[str, Any]:
    """Sends the archive and runs it there; returns what it said it did."""
    place = target.destination
    become = () if facts.is_root else ("sudo", "-n")

    def forward(line: str) -> None:
        if line.startswith(PROGRESS) and "error:" not in line:
            say(f"{place}: {line.removeprefix(PROGRESS)}")

    result = target.run(
        [*become, "sh", "-c", RUN],
        data,
        timeout_s=TIMEOUT_S,
        on_sent=lambda sent: on_sent(sent, len(data)),
        on_line=forward,
    )
    if result.exit_status == 0:
        for line in reversed(result.stdout.splitlines()):
            if line.startswith('{"changes"'):
                return json.loads(line)
    raise FlashError(f"{place} could not be set up: {_reason(result)}")


def _reason(result: SshResult) -> str:
    errors = re.findall(rf"^{PROGRESS}error: (.+)$", result.stderr, re.MULTILINE)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    return (errors or lines or [f"exit status {result.exit_status}"])[-1]


def _device(target: SshTarget, facts: Facts) -> Device:
    """The device for the models, as the user to whom they belong."""
    become = () if facts.is_root else ("sudo", "-n")
    command = (*become, "runuser", "-u", DEPLOY_USER, "--", "/opt/edge/bin/edge-run")
    return Device(target, command, str(SYSTEM_DIRECTORY))
