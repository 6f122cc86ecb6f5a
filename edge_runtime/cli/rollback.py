"""Makes the model before the active one active again.

It answers its golden inputs first, and the service is restarted and watched as device.json says.
The counter stays where it was: a bundle older than the newest one accepted is still refused.
Where the active model was never confirmed, taking it back is the rollback.

Examples:
  edge-run status                        what is active, and what was before
  edge-run rollback
  edge-run rollback --json
"""

from __future__ import annotations

import argparse
import json

from ..device import rollback
from ..device_signals import undone_by_signals
from .receive import add_directory_option, directory_of, say, tell

__all__ = ["configure", "handle"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    add_directory_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    with undone_by_signals("the rollback"):
        receipt = rollback(directory_of(args), say)
    now, before = receipt.active, receipt.previous
    left = f"; {before.name} {before.variant} ({before.sha256[:12]}) was" if before else ""
    is_active = f"{now.name} {now.variant} ({now.sha256[:12]})" if now else "no model"
    as_json = json.dumps(receipt.to_dict(), ensure_ascii=False)
    tell(receipt, as_json if args.json else f"{is_active} is active again{left}")
    return 0
