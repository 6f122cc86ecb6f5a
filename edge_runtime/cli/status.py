"""Shows which model is active on this device.

The active model's file is checked against its SHA-256; exit status 1 says that something is wrong
with it.

Examples:
  edge-run status
  edge-run status --json
  edge-run classify seven.png --model ~/.local/share/edge-runtime/active/model.tflite
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..device import ACTIVE, default_directory, status
from .shell import say

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
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    found = status(args.dir.expanduser())
    if args.json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
    elif found.active is None:
        print(f"no active model in {found.directory}")
    else:
        active = found.active
        print(f"{active.name} {active.variant}, {active.size_bytes:,} bytes, {active.sha256[:12]}")
        print(f"active since {found.activated_at}")
        print(f"use it: --model {Path(found.directory) / ACTIVE / Path(active.path).name}")
        print(f"models kept here: {len(found.releases)}")
    if found.problem:
        say(f"edge-run status: error: {found.problem}")
        return 1
    return 0
