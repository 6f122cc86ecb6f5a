"""Takes a model from standard input and makes it the active one.

This is the device's side of `python -m flash pi USER@HOST --model MODEL.tflite`, which calls it
over SSH; there is no need to call it by hand. The bundle is checked, its model answers its golden
inputs in a process of its own, and only then takes the place of the old model. What was done is
printed as one JSON object. After any failure the old model is still the active one.

Examples:
  edge-run receive < digits.bundle
  edge-run status                        what is active now
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..bundle import PROGRESS_PREFIX
from ..device import PatientStream, default_directory, receive
from ..errors import InputError

__all__ = ["configure", "handle"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument(
        "--dir",
        metavar="DIR",
        type=Path,
        default=default_directory(),
        help="folder that holds the models (default: %(default)s)",
    )


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            f"standard input is {'closed' if sys.stdin is None else 'a terminal'}",
            "a bundle",
            "use python -m flash pi from your computer",
        )
    receipt = receive(
        PatientStream(sys.stdin.fileno()),
        args.dir.expanduser(),
        lambda line: print(f"{PROGRESS_PREFIX}{line}", file=sys.stderr, flush=True),
    )
    print(json.dumps(receipt.to_dict(), ensure_ascii=False))
    return 0
