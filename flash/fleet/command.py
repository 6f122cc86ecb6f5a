"""``python -m flash fleet``: a bundle to every device of an Ansible inventory, in waves."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from edge_runtime.cli.numbers import decimal_number, whole_number
from edge_runtime.cli.shell import say
from edge_runtime.errors import InputError
from edge_runtime.files import write_atomic

from .record import record_path
from .rollout import DEFAULT_FORKS, Plan, roll_out
from .waves import DEFAULT_MAX_FAIL_PERCENTAGE

__all__ = ["HELP", "configure", "handle"]

DEFAULT_REPORT = Path("build/fleet.json")

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
        type=whole_number(1),
        metavar="N",
        help=f"devices served at a time (default: all, at most {DEFAULT_FORKS})",
    )
    parser.add_argument(
        "--max-fail-percentage",
        type=decimal_number(0, 100),
        default=DEFAULT_MAX_FAIL_PERCENTAGE,
        metavar="P",
        help="a wave with more bad devices than this is the last (default: %(default)g)",
    )
    parser.add_argument(
        "--report",
        type=_file_name,
        metavar="FILE.json",
        help=f"where the report goes (default: {DEFAULT_REPORT}; none with --check); the record "
        "that --resume reads lies beside it",
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    plan = Plan(
        inventory=args.inventory,
        bundle=args.bundle,
        limit=args.limit,
        check=args.check,
        resume=args.resume,
        forks=args.forks,
        max_fail_percentage=args.max_fail_percentage,
        record=record_path(args.report or DEFAULT_REPORT),
    )
    # Before the first device is touched: what became of it must not be lost for want of a place.
    place = args.report or (None if args.check else DEFAULT_REPORT)
    if place is not None:
        _check_place(place)
    report = roll_out(plan, say)
    # Whatever becomes of one of the two, the other is still wanted.
    try:
        if place is not None:
            write_atomic(place, json.dumps(report.to_dict(), indent=2) + "\n")
            say(f"report: {place}")
    finally:
        print(json.dumps(report.to_dict()) if args.json else report.table())
        sys.stdout.flush()
    if report.interrupted:
        raise KeyboardInterrupt
    if (error := report.error()) is not None:
        raise error
    return 0


def _file_name(text: str) -> Path:
    if Path(text).name in ("", ".."):
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return Path(text)


def _check_place(report: Path) -> None:
    try:
        if report.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        report.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=report.parent).close()
    except OSError as error:
        raise InputError(
            f"the report {report} cannot be written: {error.strerror}",
            "a file in a folder that this user may write",
            "name another one with --report",
        ) from None
