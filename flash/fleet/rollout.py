"""One run: which devices are left, Ansible's work, and the account of it."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ..bundle import Bundle, read_bundle
from ..errors import FlashError
from .engine import Run, find_ansible, run_playbook
from .inventory import inventory_name, list_devices
from .record import DONE, append, earlier_events, open_record, read_events
from .report import OUTCOMES, DeviceResult, FleetReport, results, waves
from .waves import next_waves

__all__ = ["DEFAULT_FORKS", "Plan", "Work", "plan_work", "roll_out"]

# More of them help until the controller's processors are busy (docs/fleet.md has the measurement).
DEFAULT_FORKS = 50
# With these Ansible ends a run that its rule ends: devices failed, or were not reached.
RULE_ENDS = (2, 4)
# What Ansible's patterns take for a name and nothing else.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do.

    Attributes:
        inventory: The devices, as for ``ansible-playbook -i``.
        bundle: The bundle's file.
        limit: A pattern that chooses among the devices, or None.
        check: Only ask the devices.
        resume: Leave alone those that the record says are done.
        forks: How many devices are served at a time; None for all, at most `DEFAULT_FORKS`.
        max_fail_percentage: A wave with more bad devices than this is the last.
        record: Where the record is kept; a check only reads it.
    """

    inventory: str
    bundle: Path
    limit: str | None
    check: bool
    resume: bool
    forks: int | None
    max_fail_percentage: float
    record: Path


@dataclass(frozen=True)
class Work:
    """What is left to do.

    Attributes:
        left: The devices that are to be tried.
        first: Those of them that come before the others, in their order; Ansible takes the others
            in the order of the inventory.
        sizes: How many devices each wave has.
    """

    left: tuple[str, ...]
    first: tuple[str, ...]
    sizes: tuple[int, ...]


def plan_work(devices: Sequence[str], earlier: Sequence[Mapping[str, Any]]) -> Work:
    """Which devices are left, in which order and in which waves.

    Args:
        devices: Every device of the run, in the inventory's order.
        earlier: The last events of devices in the runs before it.

    Returns:
        The work. Where a device has taken the bundle before, those that failed come last.
    """
    done = {event["device"] for event in earlier if event["outcome"] in DONE}
    failed = {event["device"] for event in earlier} - done
    left = tuple(name for name in devices if name not in done)
    first: tuple[str, ...] = ()
    if done and failed:
        first = tuple(name for name in left if name not in failed and PLAIN_NAME.fullmatch(name))
    return Work(left, first, next_waves(len(devices), len(devices) - len(left), len(left)))


def roll_out(plan: Plan, say: Callable[[str], None]) -> FleetReport:
    """Sends a bundle to the devices of an inventory, or asks them what that would change.

    Args:
        plan: What to do.
        say: Is given lines for the person watching.

    Returns:
        The account.

    Raises:
        InputError: There is no such bundle.
        BundleError: It is damaged.
        MissingDependencyError: Ansible is not installed, or too old.
        FlashError: There are no devices, there is nothing to resume, another run is under way, or
            Ansible ended before it tried a device.
    """
    bundle = read_bundle(plan.bundle)
    program = find_ansible()
    devices = list_devices(plan.inventory, plan.limit)
    began, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    addresses = {name: device.address for name, device in devices.items()}
    digest, inventory = _digest(bundle), inventory_name(plan.inventory)

    def before() -> list[dict[str, Any]]:
        if not plan.resume:
            return []
        return earlier_events(plan.record, digest, inventory, addresses)

    before()  # Before the record is opened, and made: a resume of nothing leaves nothing.
    with _record(plan, say) as file:
        # Under the lock: what an earlier run has not written yet cannot be missed.
        earlier = before()
        work = plan_work(tuple(devices), earlier)
        say(
            f"{plan.bundle}: {bundle.contract.name} {bundle.contract.variant} "
            f"({bundle.sha256[:12]}), counter {bundle.manifest.counter}, for {len(work.left)} of "
            f"{len(devices)} devices"
        )
        start = len(read_events(Path(file.name)))
        this_run = {"bundle_sha256": digest, "inventory": inventory, "started_at": started_at}
        append(file, {"event": "run", **this_run, "devices": addresses})
        run = _run(plan, program, bundle, work, file) if work.left else Run(0, None, 0.0, False)
        found = results(devices, read_events(Path(file.name))[start:], earlier)
    if work.left and not waves(found) and not run.interrupted:
        raise FlashError(
            f"Ansible ended before it tried a device: {run.reason}", "", "see what it said above"
        )
    return _report(plan, bundle, work, run, found, started_at, time.monotonic() - began)


def _report(
    plan: Plan,
    bundle: Bundle,
    work: Work,
    run: Run,
    found: tuple[DeviceResult, ...],
    started_at: str,
    wall_s: float,
) -> FleetReport:
    counts, tried = Counter(result.outcome for result in found), waves(found)
    cut = counts["not-tried"] > 0 and not run.interrupted
    by_rule = cut and run.exit_status in RULE_ENDS
    return FleetReport(
        bundle=str(plan.bundle),
        bundle_sha256=_digest(bundle),
        name=bundle.contract.name,
        variant=bundle.contract.variant,
        sha256=bundle.sha256,
        counter=bundle.manifest.counter,
        inventory=plan.inventory,
        limit=plan.limit,
        check=plan.check,
        forks=_forks(plan, work),
        started_at=started_at,
        wall_s=round(wall_s, 2),
        controller_cpu_s=run.cpu_s,
        counts={name: counts[name] for name in OUTCOMES},
        waves=tried,
        stopped_after_wave=tried[-1].wave if by_rule else None,
        ended_early=run.reason if cut and not by_rule else None,
        interrupted=run.interrupted,
        devices=found,
    )


def _digest(bundle: Bundle) -> str:
    return hashlib.sha256(bundle.data).hexdigest()


def _forks(plan: Plan, work: Work) -> int:
    return plan.forks or max(1, min(len(work.left), DEFAULT_FORKS))


def _run(plan: Plan, program: Path, bundle: Bundle, work: Work, file: IO[bytes]) -> Run:
    """The playbook, for the devices that are left."""
    with tempfile.TemporaryDirectory(prefix="edge-fleet-") as folder:
        # The bytes that were verified, whatever becomes of the file meanwhile.
        sent = Path(folder) / "model.edge"
        sent.write_bytes(bundle.data)
        names = Path(folder) / "left.txt"
        names.write_text("\n".join(work.left) + "\n")
        variables = Path(folder) / "variables.json"
        variables.write_text(json.dumps(_variables(plan, work, sent)))
        arguments = ["--inventory", plan.inventory, "--limit", f"@{names}"]
        arguments += ["--forks", str(_forks(plan, work)), "--extra-vars", f"@{variables}"]
        return run_playbook(program, [*arguments, *(["--check"] if plan.check else [])], file)


def _variables(plan: Plan, work: Work, bundle: Path) -> dict[str, Any]:
    """What the playbook wants to know."""
    # To ask changes nothing: no reason to do it in waves, or to stop.
    return {
        "edge_runtime_bundle": str(bundle),
        "edge_runtime_first": list(work.first),
        "edge_runtime_waves": ["100%"] if plan.check else [*work.sizes[:-1], "100%"],
        "edge_runtime_max_fail_percentage": 100 if plan.check else plan.max_fail_percentage,
    }


@contextmanager
def _record(plan: Plan, say: Callable[[str], None]) -> Iterator[IO[bytes]]:
    """The run's record, locked; a check has one that nobody keeps."""
    if plan.check:
        with tempfile.NamedTemporaryFile("ab", buffering=0, prefix="edge-fleet-") as file:
            yield file
    else:
        with open_record(plan.record, fresh=not plan.resume, say=say) as file:
            yield file
