"""Shows which model is active on this device.

The active model's file is checked against its SHA-256; exit status 1 says that something is wrong
with it, or that an installation was interrupted.

Examples:
  edge-run status
  edge-run status --json
  edge-run classify seven.png --model ~/.local/share/edge-runtime/active/model.tflite
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..device import ACTIVE, DeviceStatus, status
from .receive import add_directory_option, directory_of
from .shell import say

__all__ = ["configure", "handle"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    add_directory_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    found = status(directory_of(args))
    if args.json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        _describe(found)
    if found.problem:
        say(f"edge-run status: error: {found.problem}")
        return 1
    return 0


def _describe(found: DeviceStatus) -> None:
    if found.active is None:
        print(f"no active model in {found.directory}")
    else:
        active = found.active
        print(f"{active.name} {active.variant}, {active.size_bytes:,} bytes, {active.sha256[:12]}")
        print(f"active since {found.activated_at}")
        print(f"use it: --model {Path(found.directory) / ACTIVE / Path(active.path).name}")
    if found.pending:
        print(f"not confirmed yet: {found.pending[:12]}")
    if found.previous:
        before = found.previous
        print(
            f"before it: {before.name} {before.variant} ({before.sha256[:12]}); edge-run rollback"
        )
    if found.reverted:
        note = found.reverted
        print(f"taken back: {str(note.get('release'))[:12]} at {note.get('at')}, because")
        print(f"  {note.get('reason')}")
    print(f"models kept here: {len(found.releases)}")
    print(f"takes bundles for {found.device_type} with a counter from {found.counter}")
