"""Runs the plan that was sent along.

This package is run by the system's Python as the superuser, so it needs nothing but the standard
library. It prints one JSON object: what was changed, or would be, and how the service is.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .changes import Changes
from .installer import Installer
from .locks import one_at_a_time, remove_leftovers
from .places import PROGRESS
from .programs import StepError
from .removal import remove

__all__ = ["main"]


def main() -> int:
    """Runs the plan in the folder that is named.

    Returns:
        0 done, 1 failed.
    """
    os.umask(0o022)
    os.chdir("/")
    try:
        changes, service = _run(Path(sys.argv[1]))
    except (StepError, OSError) as error:
        print(f"{PROGRESS}error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(json.dumps({"changes": changes.told, "service": service}))
    return 0


def _run(folder: Path) -> tuple[Changes, str]:
    try:
        # The archive's last member.
        plan = json.loads((folder / "plan.json").read_text())
    except (FileNotFoundError, ValueError):
        raise StepError("what was sent did not arrive whole; try again") from None
    with one_at_a_time():
        if not plan["dry_run"]:
            remove_leftovers(folder)
        if plan["action"] == "remove":
            changes = Changes(plan["dry_run"])
            remove(changes)
            return changes, ""
        installer = Installer(plan, folder)
        return installer.changes, installer.install()
