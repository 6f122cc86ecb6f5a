"""Puts models on devices.

`python -m flash bundle` makes one signed file of a model and its golden inputs;
`python -m flash pi` sends one to a Raspberry Pi over SSH and makes it the active one there;
`python -m flash fleet` sends a bundle to every device of an Ansible inventory, in waves;
`python -m flash mcu` turns one into C source for TensorFlow Lite Micro, or into a flash image.

Examples:
  python -m flash bundle build/digits_int8.tflite --key ~/.ssh/id_ed25519
  python -m flash pi pi@raspberrypi.local --bundle digits_int8.edge
  python -m flash pi pi@10.0.0.7 --model build/digits_int8.tflite --unsigned --dry-run
  python -m flash fleet hosts.ini --bundle digits_int8.edge --check
  python -m flash mcu build/digits_int8.tflite --c-array
  python -m flash mcu build/digits_int8.tflite --rp2040 build/digits.uf2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edge_runtime.cli.shell import add_debug_option, run

from . import bundle_command, mcu_command, pi_command
from .fleet import command as fleet_command

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``python -m flash``.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="python -m flash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="bundle|pi|fleet|mcu", required=True)
    pi_command.configure(
        _add(verbs, "pi", "send a model to a Raspberry Pi over SSH", pi_command.HELP)
    )
    fleet_command.configure(
        _add(verbs, "fleet", "send a bundle to many devices, with Ansible", fleet_command.HELP)
    )
    mcu_command.configure(_add(verbs, "mcu", mcu_command.SUMMARY, mcu_command.HELP))
    bundle_command.configure(
        _add(verbs, "bundle", "make or show a signed bundle", bundle_command.HELP)
    )
    handlers = {
        "bundle": bundle_command.handle,
        "pi": pi_command.handle,
        "fleet": fleet_command.handle,
        "mcu": mcu_command.handle,
    }
    return run(parser, argv, lambda args: handlers[args.verb](args))


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_debug_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
