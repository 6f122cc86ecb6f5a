"""Measures how well whole pages are read, on pages made with truth and on OpenCV's sheet."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from edge_runtime import Classifier
from edge_runtime.cli.numbers import whole_number
from edge_runtime.errors import InputError
from edge_runtime.files import writable_folder, write_atomic
from edge_runtime.images import encode_image, read_image
from train import data as data_sets

from .options import add_record_options
from .pages import (
    NO_DIGITS,
    KindResult,
    kind_names,
    load_generator,
    measure_cost,
    measure_pages,
    measure_sheet,
    summed,
)
from .progress import timed_progress
from .robustness.elsewhere import SHEET_VARIABLE, read_sheet

__all__ = ["EPILOG", "configure", "handle"]

# The seeds on which the constants of reading were chosen were below this.
SEED = 1000
TOUCHING = "touching"
EPILOG = f"""\
examples:
  python -m benchmarks pages
  python -m benchmarks pages --count 3 --kinds pencil "no digits: letters"
  python -m benchmarks pages --kinds pencil --draw page.png
  python -m benchmarks pages --split test --seed {SEED} --count 20

Digits of the training set are laid on paper by tests/pages.py; --split test is for a last
measurement, not for choosing anything by. "found" is the share of digits that are read, rightly or
wrongly; "right" the share of these that are read rightly; "false" what is read where there is no
digit. Also measured: a 640x480 frame with ten digits beside the bare model, and OpenCV's sheet.
Writes pages.json."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a .tflite (default: the released model)"
    )
    parser.add_argument(
        "--data", default="mnist", help="the data set whose digits are laid on paper"
    )
    parser.add_argument(
        "--split", choices=("train", "test"), default="train", help="which of its images"
    )
    parser.add_argument(
        "--count",
        type=whole_number(1),
        default=8,
        metavar="N",
        help="pages of each kind (default: 8)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=SEED,
        metavar="S",
        help=f"of the first page (default: {SEED})",
    )
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="only these kinds of pages")
    parser.add_argument(
        "--size",
        nargs=2,
        type=whole_number(64),
        metavar=("W", "H"),
        help="pixels of all pages (default: various, up to 12 megapixels)",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help=f"OpenCV's sheet of 5,000 digits (default: ${SHEET_VARIABLE})",
    )
    parser.add_argument(
        "--draw",
        type=Path,
        metavar="OUT.png",
        help="write the first page of the first of --kinds there, and measure nothing",
    )
    add_record_options(parser, "pages.json")


def handle(args: argparse.Namespace) -> int:
    """Measures, writes the record and prints it or its table."""
    progress = timed_progress(width=6)
    every = kind_names()
    for kind in args.kinds or []:
        if kind not in every:
            raise InputError(f"there are no pages of the kind {kind!r}", ", ".join(every))
    writable_folder(args.out)
    classifier = Classifier(args.model)
    data = data_sets.load(args.data)
    test = args.split == "test"
    images, labels = (data.x_test, data.y_test) if test else (data.x_train, data.y_train)
    if images.shape[1:3] != (28, 28):
        raise InputError(f"{args.data} has images of {images.shape[1:3]}", "28x28 pixels")
    size = (args.size[0], args.size[1]) if args.size else None
    if args.draw is not None:
        kind = (args.kinds or ["plain"])[0]
        page = load_generator().make_page(kind, args.seed, images, labels, size)
        write_atomic(args.draw, encode_image(page.pixels))
        print(args.draw)
        return 0
    cost = measure_cost(classifier, images)
    progress("cost")
    results = measure_pages(
        classifier,
        images,
        labels,
        count=args.count,
        seed=args.seed,
        size=size,
        kinds=args.kinds,
        progress=progress,
    )
    sheet = args.sheet or os.environ.get(SHEET_VARIABLE)
    if sheet and not args.kinds:
        read_sheet(Path(sheet))  # Raises if it is another picture.
        results.append(measure_sheet(classifier, read_image(sheet)))
        progress("sheet")
    record: dict[str, Any] = {
        "model": classifier.contract.name,
        "sha256": classifier.contract.sha256,
        "data": data.name,
        "split": args.split,
        "notice": data.notice,
        "count": args.count,
        "seed": args.seed,
        "kinds": [result.to_dict() for result in results],
        "cost": cost,
    }
    path = write_atomic(args.out / "pages.json", json.dumps(record, indent=2) + "\n")
    if args.json:
        print(json.dumps(record))
        return 0
    if data.notice:
        print(data.notice.upper())
    print(_table(results))
    print(
        f"\na 640x480 frame with ten digits: {cost['read_ms']:.1f} ms, "
        f"{cost['ratio']:.0f} times a bare batch of ten ({cost['invoke_ms']:.3f} ms)\n"
        f"record: {path}"
    )
    return 0


def _table(results: list[KindResult]) -> str:
    pages = [r for r in results if r.kind != "OpenCV's sheet as one picture"]
    written = [r for r in pages if not r.kind.startswith(NO_DIGITS) and r.kind != TOUCHING]
    empty = [r for r in pages if r.kind.startswith(NO_DIGITS)]
    rows = list(results)
    if written:
        rows.append(summed(written, "all with digits, none touching"))
    if empty:
        rows.append(summed(empty, "all without digits"))
    lines = [f"{'kind':34} {'pages':>5} {'digits':>6} {'found':>7} {'right':>7} {'false':>5}"]
    for row in rows:
        found = f"{row.found / row.digits:7.2%}" if row.digits else f"{'–':>7}"
        right = f"{row.right / row.found:7.2%}" if row.found else f"{'–':>7}"
        lines.append(f"{row.kind:34} {row.pages:5} {row.digits:6} {found} {right} {row.false:5}")
    return "\n".join(lines)
