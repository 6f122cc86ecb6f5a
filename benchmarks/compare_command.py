"""Compares converted models with the float model: accuracy, latency, memory, size."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from edge_runtime.cli.numbers import whole_number
from edge_runtime.files import writable_folder
from edge_runtime.machine import machine_facts, machine_warnings
from train import data as train_data

from .accuracy import images_to_test, installed_backends, measure_accuracy
from .candidates import find_comparison
from .latency import measure_latencies
from .markdown import write_report
from .progress import timed_progress
from .report import Report, next_commands, summary_table

__all__ = ["EPILOG", "configure", "handle"]

EPILOG = """\
examples:
  python -m benchmarks
  python -m benchmarks --models build/ --limit 2000 --threads 1,2
  python -m benchmarks --models a_int8.tflite --keras a.keras --data fashion/

Without --models, the variants in build/ that were converted last are compared with the .keras file
beside them, or the released default model where there are none. Writes report.json, report.md and
plots.

other commands:
  python -m benchmarks robustness   digits from elsewhere, and what is not a digit
  python -m benchmarks speed        latency of several models, side by side
  python -m benchmarks card         write the model card from a model's reports
  python -m benchmarks overview     write the table of all released models
  python -m benchmarks seed-record  note what training from one seed gave
  pytest benchmarks/                the same code under pytest-benchmark"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--models",
        nargs="+",
        type=Path,
        default=[],
        metavar="M",
        help=".tflite files, or folders of them",
    )
    parser.add_argument(
        "--keras",
        type=Path,
        metavar="FILE",
        help="the float model (default: NAME.keras beside the models)",
    )
    parser.add_argument(
        "--data",
        default="mnist",
        help="mnist, an .npz file, a folder of IDX files or of pictures (default: mnist)",
    )
    parser.add_argument(
        "--limit", type=whole_number(1), metavar="N", help="test images at most (default: all)"
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=(1,),
        metavar="N[,N]",
        help="numbers of threads to measure latency with (default: 1)",
    )
    parser.add_argument(
        "--runs",
        type=whole_number(1),
        default=200,
        metavar="N",
        help="measured inferences for each model, interpreter and number of threads (default: 200)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="where the report is written (default: build)",
    )


def handle(args: argparse.Namespace) -> int:
    """Measures, writes the report and prints its table."""
    progress = timed_progress()
    comparison = find_comparison(args.models, args.keras)
    writable_folder(args.out)
    contract = comparison.contract
    progress(
        f"comparing {', '.join(c.label for c in comparison.candidates)} with {comparison.keras}"
    )
    for warning in comparison.warnings:
        progress(f"warning: {warning}")
    whole = train_data.load(
        args.data, fit=contract.fit, image_size=(contract.height, contract.width)
    )
    data = images_to_test(whole, comparison, args.limit)
    if data.notice:
        progress(data.notice.upper())
    # First of all, because what we do ourselves is load, too.
    machine = machine_facts()
    warnings = machine_warnings(machine)
    for warning in warnings:
        progress(f"warning: {warning}")
    backends = installed_backends()
    latency = measure_latencies(
        comparison.candidates,
        backends=backends,
        threads=args.threads,
        runs=args.runs,
        progress=progress,
    )
    float_accuracy, float_confusion, accuracy = measure_accuracy(comparison, data, progress)
    report = Report(
        comparison=comparison,
        data=data,
        limited=len(data.y_test) < len(whole.y_test),
        float_accuracy=float_accuracy,
        float_confusion=float_confusion,
        accuracy=accuracy,
        latency=latency,
        machine=machine,
        warnings=[*comparison.warnings, *warnings],
        measured_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    from .plots import draw_all  # Two seconds of imports that wrong arguments need not wait for.

    progress("drawing and writing the report")
    _, markdown = write_report(report, args.out, draw_all(report, args.out))
    _print_outcome(report, markdown)
    return 0


def _print_outcome(report: Report, markdown: Path) -> None:
    if report.data.notice:
        print(report.data.notice.upper())
    if report.withheld:
        print(report.withheld)
    print(summary_table(report))
    print(f"\nreport: {markdown}\nnext:")
    print("\n".join(f"  {command}" for command in next_commands(report)))


def _threads(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(dict.fromkeys(whole_number(1)(part) for part in text.split(",")))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of whole numbers from 1 as in 1,2"
        ) from None
    return counts
