"""Writes a data set's images as picture files."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_runtime.cli.numbers import whole_number
from edge_runtime.cli.shell import say
from edge_runtime.files import writable_folder

from . import data
from .export import SPLITS, export
from .options import add_data_options

__all__ = ["EPILOG", "configure", "handle"]

EPILOG = """\
examples:
  python -m train export --limit 10 --out build/pictures        ten test images, as 00012_7.png
  python -m train export --per-class-folders --out build/mnist  7/00012.png: a data set of its own
  python -m train export --data letters.npz --split train --out letters/"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_data_options(parser)
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="which images (default test)"
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="N of them, the classes in their proportions",
    )
    parser.add_argument(
        "--per-class-folders", action="store_true",
        help="a folder for each class instead of the label in the file name",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where the pictures go"
    )


def handle(args: argparse.Namespace) -> int:
    """Writes the pictures, and prints the folder."""
    writable_folder(args.out)
    dataset = data.load(args.data, fit=args.fit, image_size=args.image_size)
    if dataset.notice:
        say(dataset.notice)
    written = export(
        dataset,
        args.out,
        split=args.split,
        limit=args.limit,
        per_class_folders=args.per_class_folders,
    )
    print(args.out)
    say(f"{len(written):,} pictures of {dataset.name}")
    return 0
