"""Hands over to the command that was asked for: ``export``, or training itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from edge_runtime.cli.shell import run

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``python -m train``.

    Args:
        argv: The arguments after the program's name; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    exports = arguments[:1] == ["export"]
    # Only the command that was asked for is imported.
    command = import_module(f"{__package__}.{'export' if exports else 'train'}_command")
    parser = argparse.ArgumentParser(
        prog="python -m train export" if exports else "python -m train",
        description=command.__doc__,
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    return run(parser, arguments[1:] if exports else arguments, command.handle)


if __name__ == "__main__":
    sys.exit(main())
