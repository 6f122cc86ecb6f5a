"""The options that the commands with a record share."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_record_options"]


def add_record_options(parser: argparse.ArgumentParser, files: str) -> None:
    """Adds ``--json`` and ``--out``.

    Args:
        parser: The command's.
        files: What is written in the folder, for the help.
    """
    parser.add_argument("--json", action="store_true", help="print the record as one line of JSON")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help=f"folder for {files} (default: %(default)s)",
    )
