"""``python -m flash fleet``: a bundle to every device of an Ansible inventory, in waves."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.files import write_atomic

from ..errors import FlashError
from . import record
from .engine import Run, find_ansible, list_devices, run_playbook
from .report import OUTCOMES, FleetReport, results, waves

__all__ = ["HELP", "configure", "handle"]

DEFAULT_REPORT = Path("build/fleet.json")
# A transfer keeps a process of Ansible's and one of ssh: about 70 MB and 10 MB.
DEFAULT_FORKS = 50
DEFAULT_MAX_FAIL_PERCENTAGE = 10.0
# A canary, then a few, then more, then the rest.
WAVES = (1, "5%", "25%", "100%")

HELP = """\
Sends a bundle to every device of an Ansible inventory, in waves: one device, then 5 %, then 25 %,
then the rest.

Ansible (the extra fleet) connects and counts; on the device one command, edge-run receive, checks,
tries and switches. A wave in which more than 10 % of the devices failed or were not reached is the
last one; the first wave is one device, so it must succeed.

Examples:
  python -m flash fleet hosts.ini --bundle digits_int8.edge --check      what would change
  python -m flash fleet hosts.ini --bundle digits_int8.edge
  python -m flash fleet hosts.ini --bundle digits_int8.edge --resume     only those not done yet
  python -m flash fleet hosts.ini --bundle digits_int8.edge --limit hall-3
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument(
        "inventory", metavar="INVENTORY", help="the devices: what ansible-playbook -i takes"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        required=True,
        metavar="FILE.edge",
        help="a bundle from python -m flash bundle",
    )
    parser.add_argument(
        "--limit", metavar="PATTERN", help="only these devices or groups, as Ansible writes them"
    )
    parser.add_argument(
        "--check", action="store_true", help="ask the devices what would change; send nothing"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run of this report; leave alone the devices that are done",
    )
    parser.add_argument(
        "--forks",
        type=_count,
        metavar="N",
        help=f"devices served at a time (default: all, at most {DEFAULT_FORKS})",
    )
    parser.add_argument(
        "--max-fail-percentage",
        type=_percentage,
        default=DEFAULT_MAX_FAIL_PERCENTAGE,
        metavar="P",
        help="a wave with more bad devices than this is the last (default: %(default)g)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.json",
        help=f"where the report goes (default: {DEFAULT_REPORT}; none with --check); the record "
        "that --resume reads lies beside it",
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from ..bundle import read_bundle

    bundle = read_bundle(args.bundle)
    digest = hashlib.sha256(bundle.data).hexdigest()
    report_path: Path = args.report or DEFAULT_REPORT
    kept = record.record_path(report_path)
    program = find_ansible()
    devices = list_devices(program, args.inventory, args.limit)
    earlier = record.earlier_events(kept, digest) if args.resume else []
    done = {event["device"] for event in earlier if event["outcome"] in ("activated", "unchanged")}
    left = [device for device in devices if device not in done]
    forks = args.forks or max(1, min(len(left), DEFAULT_FORKS))
    _say(
        f"{args.bundle}: {bundle.contract.name} {bundle.contract.variant} "
        f"({bundle.sha256[:12]}), counter {bundle.manifest.counter}; {len(left)} of "
        f"{len(devices)} devices, {min(forks, max(len(left), 1))} at a time"
    )
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    began = time.monotonic()
    with _record(args, kept) as file, tempfile.TemporaryDirectory(prefix="edge-fleet-") as folder:
        place = Path(file.name)
        before = len(record.read_events(place))
        record.append(file, {"event": "run", "bundle_sha256": digest, "started_at": started_at})
        run = Run(0, None, 0.0, False)
        if left:
            limit = args.limit
            if len(left) < len(devices):
                names = Path(folder) / "left.txt"
                names.write_text("\n".join(left) + "\n")
                limit = f"@{names}"
            run = run_playbook(
                program,
                args.inventory,
                limit,
                {
                    "edge_runtime_bundle": str(args.bundle.absolute()),
                    # To ask changes nothing: no reason to do it in waves, or to stop.
                    "edge_runtime_waves": ["100%"] if args.check else list(WAVES),
                    "edge_runtime_max_fail_percentage": 100
                    if args.check
                    else args.max_fail_percentage,
                },
                forks=forks,
                check=args.check,
                record=file,
            )
        now = record.read_events(place)[before:]
    found = results(devices, now, earlier)
    counts = Counter(result.outcome for result in found)
    rolled = waves(found)
    stopped = counts["not-tried"] and rolled and not run.interrupted
    report = FleetReport(
        bundle=str(args.bundle),
        bundle_sha256=digest,
        name=bundle.contract.name,
        variant=bundle.contract.variant,
        sha256=bundle.sha256,
        counter=bundle.manifest.counter,
        inventory=args.inventory,
        limit=args.limit,
        check=args.check,
        forks=forks,
        started_at=started_at,
        wall_s=round(time.monotonic() - began, 2),
        controller_cpu_s=run.cpu_s,
        counts={name: counts[name] for name in OUTCOMES},
        waves=rolled,
        stopped_after_wave=rolled[-1].wave if stopped else None,
        interrupted=run.interrupted,
        devices=found,
    )
    if args.report is not None or not args.check:
        write_atomic(report_path, json.dumps(report.to_dict(), indent=2) + "\n")
        _say(f"report: {report_path}")
    if run.interrupted:
        raise KeyboardInterrupt
    if left and not rolled:
        raise FlashError(
            "Ansible ended before it tried a device: "
            f"{run.error or f'exit status {run.exit_status}'}",
            "",
            "see what it said above",
        )
    print(json.dumps(report.to_dict()) if args.json else report.table())
    if (error := report.error()) is not None:
        sys.stdout.flush()
        raise error
    return 0


@contextmanager
def _record(args: argparse.Namespace, path: Path) -> Iterator:
    """The run's record; a check has one that nobody keeps."""
    if args.check:
        with tempfile.NamedTemporaryFile("ab", buffering=0, prefix="edge-fleet-") as file:
            yield file
    else:
        with record.open_record(path, fresh=not args.resume) as file:
            yield file


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _percentage(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return value
