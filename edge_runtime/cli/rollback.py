"""Makes the model before the active one active again.

It answers its golden inputs first, and the service is restarted and watched as device.json says.
The counter stays where it was: a bundle older than the newest one accepted is still refused.

Examples:
  edge-run status                        what is active, and what was before
  edge-run rollback
  edge-run rollback --json
"""

from __future__ import annotations

import argparse
import json

from ..device import rollback
from .receive import add_directory_option, say, undone_by_signals

__all__ = ["configure", "handle"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    add_directory_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    with undone_by_signals():
        receipt = rollback(args.dir.expanduser(), say)
    if args.json:
        print(json.dumps(receipt.to_dict(), ensure_ascii=False))
        return 0
    now, before = receipt.active, receipt.previous
    assert now is not None
    left = f"; {before.name} {before.variant} ({before.sha256[:12]}) was" if before else ""
    print(f"{now.name} {now.variant} ({now.sha256[:12]}) is active again{left}")
    return 0
