"""Takes a model from standard input and makes it the active one.

This is the device's side of `python -m flash pi USER@HOST --model MODEL.tflite`, which calls it
over SSH; there is no need to call it by hand. The bundle's signature is verified, its model answers
its golden inputs in a process of its own, and only then takes the place of the old model. The
service is restarted and watched as device.json says; if it is not well, the old model comes back.
What was done is printed as one JSON object. After any failure the old model is the active one.

Examples:
  edge-run receive < digits.edge
  edge-run receive --recover             what the boot unit calls: back, if a power cut interrupted
  edge-run status                        what is active now
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..bundle import PROGRESS_PREFIX
from ..device import PatientStream, Receipt, default_directory, receive, recover
from ..device_settings import MAX_KEEP
from ..device_signals import undone_by_signals
from ..errors import InputError, OutputError
from .numbers import whole_number

__all__ = ["add_directory_option", "configure", "directory_of", "handle", "say", "tell"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    add_directory_option(parser)
    parser.add_argument(
        "--keep",
        metavar="N",
        type=whole_number(1, MAX_KEEP),
        help=f"old releases that stay beside the active one, 1 to {MAX_KEEP} (default: as "
        "device.json says, else 3)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="take a model with another input or other labels than the active one's",
    )
    parser.add_argument(
        "--allow-unsigned",
        action="store_true",
        help="for development: take a bundle that carries no signature",
    )
    parser.add_argument(
        "--recover",
        action="store_true",
        help="read nothing; take back a model that was made active and never confirmed",
    )


def add_directory_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--dir``, as `receive`, `status` and `rollback` have it."""
    parser.add_argument(
        "--dir",
        metavar="DIR",
        type=Path,
        help="folder that holds the models (default: $EDGE_RUNTIME_DIR, else /var/lib/edge-runtime "
        "where that was set up, else ~/.local/share/edge-runtime)",
    )


def directory_of(args: argparse.Namespace) -> Path:
    """The folder that ``--dir`` names, or the usual one."""
    if args.dir is None:
        return default_directory()
    try:
        folder: Path = args.dir.expanduser()
    except RuntimeError as error:
        raise InputError(f"{args.dir} cannot be found ({error})", "a folder") from None
    return folder


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    directory = directory_of(args)
    with undone_by_signals("the recovery" if args.recover else "the installation"):
        if args.recover:
            receipt = recover(directory, say)
        elif sys.stdin is None or sys.stdin.isatty():
            raise InputError(
                f"standard input is {'closed' if sys.stdin is None else 'a terminal'}",
                "a bundle",
                "use python -m flash pi from your computer",
            )
        else:
            receipt = receive(
                PatientStream(sys.stdin.fileno()),
                directory,
                say,
                allow_unsigned=args.allow_unsigned,
                force=args.force,
                keep=args.keep,
            )
    tell(receipt, json.dumps(receipt.to_dict(), ensure_ascii=False))
    return 0


def tell(receipt: Receipt, text: str) -> None:
    """Prints what was done; where that cannot be written, the error says it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        now = receipt.active
        raise OutputError(
            f"{receipt.outcome}: {f'{now.name} {now.variant}' if now else 'no model'} is active, "
            f"but that could not be written ({error.strerror or error})",
            "standard output that takes it",
        ) from error


def say(line: str) -> None:
    """Prints a line of progress. An operator who has hung up must not stop the work."""
    try:
        print(f"{PROGRESS_PREFIX}{line}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open("/dev/null", "w")  # noqa: SIM115 — lives as long as the process
