"""Hands over to the command that was asked for: a verb, or without one the comparison."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_runtime.cli.shell import run_room

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``python -m benchmarks``.

    Args:
        argv: The arguments after the program's name; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    verbs = {
        "card": "card",
        "overview": "overview",
        "pages": "pages_command",
        "robustness": "robustness.command",
        "seed-record": "seed_record",
        "soak": "soak",
        "speed": "speed_command",
        "viewers": "viewers",
    }
    return run_room("benchmarks", "compare_command", verbs, argv)


if __name__ == "__main__":
    sys.exit(main())
