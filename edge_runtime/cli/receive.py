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
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..bundle import PROGRESS_PREFIX
from ..device import PatientStream, default_directory, receive, recover
from ..errors import DeviceError, InputError
from .numbers import whole_number

__all__ = ["add_directory_option", "configure", "handle", "say", "undone_by_signals"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    add_directory_option(parser)
    parser.add_argument(
        "--keep",
        metavar="N",
        type=whole_number(1),
        help="old releases that stay beside the active one (default: as device.json says, else 3)",
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
        default=default_directory(),
        help="folder that holds the models (default: %(default)s)",
    )


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    directory = args.dir.expanduser()
    with undone_by_signals():
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
    print(json.dumps(receipt.to_dict(), ensure_ascii=False))
    return 0


def say(line: str) -> None:
    """Prints a line of progress. An operator who has hung up must not stop the work."""
    try:
        print(f"{PROGRESS_PREFIX}{line}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open("/dev/null", "w")  # noqa: SIM115 — lives as long as the process


@contextmanager
def undone_by_signals(what: str = "the installation") -> Iterator[None]:
    """Lets SIGTERM, SIGHUP and Ctrl-C end the block with an error, so that it is undone.

    Only the first one: the second must not interrupt the way back.

    Args:
        what: What was ended, for the error.
    """
    watched = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def end(number: int, _: FrameType | None) -> None:
        for name in watched:
            signal.signal(name, signal.SIG_IGN)
        raise DeviceError(f"{what} was ended by {signal.Signals(number).name}")

    before = {name: signal.signal(name, end) for name in watched}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
