"""Measures how fast models are beside each other, one thread each, in every interpreter."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

from edge_runtime.backend import BACKENDS
from edge_runtime.cli.numbers import whole_number
from edge_runtime.errors import InputError
from edge_runtime.files import writable_folder, write_atomic
from edge_runtime.machine import machine_facts, machine_warnings

from .accuracy import installed_backends
from .candidates import Candidate, read_candidates
from .options import add_record_options
from .progress import timed_progress
from .released import BASELINE, int8_file, released_names
from .speed import measure_speed, speed_record, speed_table

__all__ = ["EPILOG", "configure", "handle"]

# Enough for a median over rounds, and a minute for three models in two interpreters.
ROUNDS = 9
EPILOG = f"""\
examples:
  python -m benchmarks speed
  python -m benchmarks speed --models build/a_int8.tflite build/b_int8.tflite
  python -m benchmarks speed --models build/ --baseline build/a_float32.tflite --rounds 21 --json

The models may be different networks. They take turns, round by round, each turn in a process of its
own, and each is compared with the baseline of the same round: what slows the machine down for a
while slows all of them. Without --models the released int8 models are measured; the baseline is
{BASELINE}'s. Writes speed.json."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--models",
        nargs="+",
        type=Path,
        default=[],
        metavar="M",
        help=".tflite files, or folders of them (default: the released int8 models)",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        default=int8_file(BASELINE),
        metavar="FILE",
        help=f"the model to compare them with (default: the released int8 model of {BASELINE})",
    )
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=BACKENDS,
        default=[],
        help="the interpreters to use (default: each that is installed, but for tensorflow)",
    )
    parser.add_argument(
        "--rounds",
        type=whole_number(1),
        default=ROUNDS,
        metavar="N",
        help=f"how often each model takes its turn (default: {ROUNDS})",
    )
    add_record_options(parser, "speed.json")


def handle(args: argparse.Namespace) -> int:
    """Measures, writes the record and prints it or its table."""
    progress = timed_progress()
    candidates = _candidates(args.models, args.baseline)
    writable_folder(args.out)
    # First of all, because what we do ourselves is load, too.
    machine = machine_facts()
    warnings = machine_warnings(machine)
    for warning in warnings:
        progress(f"warning: {warning}")
    baseline = candidates[0].label
    speeds = measure_speed(
        candidates,
        baseline,
        backends=list(dict.fromkeys(args.backend)) or installed_backends(),
        rounds=args.rounds,
        progress=progress,
    )
    record = speed_record(
        candidates,
        baseline,
        speeds,
        rounds=args.rounds,
        measured_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        machine=machine,
        warnings=warnings,
    )
    facts = json.dumps(record, indent=2, ensure_ascii=False)
    path = write_atomic(args.out / "speed.json", facts + "\n")
    if args.json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        print(f"{speed_table(record)}\n\nrecord: {path}")
    return 0


def _candidates(models: list[Path], baseline: Path) -> list[Candidate]:
    """The models, the baseline first."""
    if not baseline.is_file():
        raise InputError(
            f"the baseline {baseline} is not a file", "a .tflite file", "name it with --baseline"
        )
    if not models:
        models = [path for name in released_names() if (path := int8_file(name)).is_file()]
    found = read_candidates([*models, baseline], by_variant=False)
    return sorted(found, key=lambda candidate: candidate.path.resolve() != baseline.resolve())
