"""Measures how well models read digits from elsewhere, and whether they know what is no digit."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_runtime.cli.numbers import whole_number
from edge_runtime.files import writable_folder, write_atomic
from edge_runtime.models import default_model_path

from ..candidates import read_candidates
from ..options import add_record_options
from ..progress import timed_progress
from .elsewhere import SHEET_VARIABLE
from .measuring import Sources, measure_all, record_of
from .outliers import FASHION_DEBIAN, FASHION_VARIABLE
from .page import robustness_page, summary

__all__ = ["EPILOG", "configure", "handle"]

EPILOG = """\
examples:
  python -m benchmarks robustness
  python -m benchmarks robustness --models build/ --sheet digits.png
  python -m benchmarks robustness --limit 500 --json

Digits from elsewhere: OpenCV's sheet digits.png, scikit-learn's load_digits and the test images,
all as picture files. Not digits: Fashion-MNIST, noise, blank, ruled and squared paper, letters.
What is not on this machine is reported as not measured. Writes robustness.json, robustness.md and
plots; docs/benchmarks.md describes them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--models",
        nargs="+",
        type=Path,
        default=[],
        metavar="M",
        help=".tflite files, or folders of them (default: the released int8 model)",
    )
    parser.add_argument(
        "--data",
        default="mnist",
        help="the digits that the models know: mnist, an .npz file, a folder of IDX files or of "
        "pictures (default: mnist)",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help=f"OpenCV's sheet of 5,000 digits (default: ${SHEET_VARIABLE})",
    )
    parser.add_argument(
        "--fashion",
        type=Path,
        metavar="DIR",
        help=f"the folder with Fashion-MNIST (default: ${FASHION_VARIABLE}, or {FASHION_DEBIAN})",
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="images of each set at most (default: all)",
    )
    add_record_options(parser, "the report")


def handle(args: argparse.Namespace) -> int:
    """Measures, writes the report and prints its tables or its record."""
    progress = timed_progress()
    candidates = read_candidates(args.models or [default_model_path()])
    writable_folder(args.out)
    sources = Sources(args.data, args.sheet, args.fashion, args.limit)
    found, material = measure_all(candidates, sources, progress)
    notice = material.data.notice
    if notice:
        progress(notice.upper())
    from .plots import draw_all  # Two seconds of imports that wrong arguments need not wait for.

    progress("drawing and writing the report")
    record = record_of(found, material, sources)
    images = draw_all(found, notice, args.out)
    facts = json.dumps(record, indent=2, ensure_ascii=False)
    write_atomic(args.out / "robustness.json", facts + "\n")
    page = write_atomic(args.out / "robustness.md", robustness_page(record, images))
    if args.json:
        print(json.dumps(record, ensure_ascii=False))
        return 0
    if notice:
        print(notice.upper())
    print(summary(record))
    print(f"\nreport: {page}")
    return 0
