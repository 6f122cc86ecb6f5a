"""One run: which devices are left, Ansible's work, and the account of it."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from edge_runtime.files import write_atomic

from ..bundle import Bundle, read_bundle
from ..errors import FlashError
from .engine import Run, find_ansible, list_devices, run_playbook
from .record import append, earlier_events, open_record, read_events
from .report import OUTCOMES, FleetReport, results, waves

__all__ = ["DEFAULT_FORKS", "DEFAULT_MAX_FAIL_PERCENTAGE", "Plan", "roll_out"]

# More of them help until the controller's processors are busy (docs/fleet.md has the measurement).
DEFAULT_FORKS = 50
DEFAULT_MAX_FAIL_PERCENTAGE = 10.0
# A canary, then a few, then more, then the rest.
WAVES = (1, "5%", "25%", "100%")


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
        report: Where the report goes, or None.
        record: Where the record is kept; a check only reads it.
    """

    inventory: str
    bundle: Path
    limit: str | None
    check: bool
    resume: bool
    forks: int | None
    max_fail_percentage: float
    report: Path | None
    record: Path


def roll_out(plan: Plan, say: Callable[[str], None]) -> FleetReport:
    """Sends a bundle to the devices of an inventory, or asks them what that would change.

    Args:
        plan: What to do.
        say: Is given lines for the person watching.

    Returns:
        The account, which is in the report's file too.

    Raises:
        InputError: There is no such bundle.
        BundleError: It is damaged.
        MissingDependencyError: Ansible is not installed.
        FlashError: There are no devices, there is nothing to resume, another run is under way, or
            Ansible ended before it tried a device.
    """
    bundle = read_bundle(plan.bundle)
    digest = hashlib.sha256(bundle.data).hexdigest()
    program = find_ansible()
    devices = list_devices(program, plan.inventory, plan.limit)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    began = time.monotonic()
    with _record(plan) as file:
        # Under the lock: what an earlier run has not written yet cannot be missed.
        earlier = earlier_events(plan.record, digest) if plan.resume else []
        done = {e["device"] for e in earlier if e["outcome"] in ("activated", "unchanged")}
        left = [device for device in devices if device not in done]
        forks = plan.forks or max(1, min(len(left), DEFAULT_FORKS))
        say(
            f"{plan.bundle}: {bundle.contract.name} {bundle.contract.variant} "
            f"({bundle.sha256[:12]}), counter {bundle.manifest.counter}, for {len(left)} of "
            f"{len(devices)} devices"
        )
        start = len(read_events(Path(file.name)))
        append(file, {"event": "run", "bundle_sha256": digest, "started_at": started_at})
        run = Run(0, None, 0.0, False)
        if left:
            limit = None if len(left) == len(devices) else left
            run = _run(plan, program, limit, forks, file)
        now = read_events(Path(file.name))[start:]
    found = results(devices, now, earlier)
    counts, tried = Counter(result.outcome for result in found), waves(found)
    if left and not tried and not run.interrupted:
        raise FlashError(
            "Ansible ended before it tried a device: "
            f"{run.error or f'exit status {run.exit_status}'}",
            "",
            "see what it said above",
        )
    report = FleetReport(
        bundle=str(plan.bundle),
        bundle_sha256=digest,
        **_model(bundle),
        inventory=plan.inventory,
        limit=plan.limit,
        check=plan.check,
        forks=forks,
        started_at=started_at,
        wall_s=round(time.monotonic() - began, 2),
        controller_cpu_s=run.cpu_s,
        counts={name: counts[name] for name in OUTCOMES},
        waves=tried,
        stopped_after_wave=tried[-1].wave
        if counts["not-tried"] and tried and not run.interrupted
        else None,
        interrupted=run.interrupted,
        devices=found,
    )
    if plan.report is not None:
        write_atomic(plan.report, json.dumps(report.to_dict(), indent=2) + "\n")
        say(f"report: {plan.report}")
    return report


def _run(plan: Plan, program: Path, left: Sequence[str] | None, forks: int, file: IO[bytes]) -> Run:
    """The playbook, for the devices that are left, or for all that the plan names."""
    with tempfile.TemporaryDirectory(prefix="edge-fleet-") as folder:
        limit = plan.limit
        if left is not None:
            names = Path(folder) / "left.txt"
            names.write_text("\n".join(left) + "\n")
            limit = f"@{names}"
        return run_playbook(
            program,
            plan.inventory,
            limit,
            {
                "edge_runtime_bundle": str(plan.bundle.absolute()),
                # To ask changes nothing: no reason to do it in waves, or to stop.
                "edge_runtime_waves": ["100%"] if plan.check else list(WAVES),
                "edge_runtime_max_fail_percentage": 100 if plan.check else plan.max_fail_percentage,
            },
            forks=forks,
            check=plan.check,
            record=file,
        )


def _model(bundle: Bundle) -> dict:
    return {
        "name": bundle.contract.name,
        "variant": bundle.contract.variant,
        "sha256": bundle.sha256,
        "counter": bundle.manifest.counter,
    }


@contextmanager
def _record(plan: Plan) -> Iterator[IO[bytes]]:
    """The run's record, locked; a check has one that nobody keeps."""
    if plan.check:
        with tempfile.NamedTemporaryFile("ab", buffering=0, prefix="edge-fleet-") as file:
            yield file
    else:
        if plan.resume:
            # Before the file is made: a resume of nothing leaves nothing.
            earlier_events(plan.record, None)
        with open_record(plan.record, fresh=not plan.resume) as file:
            yield file
