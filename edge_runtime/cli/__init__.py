"""The command line ``edge-run``: one file a verb, imported only when that verb is called."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # Type checkers know the name; importing `typing` takes milliseconds.
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["VERBS", "main"]

VERBS = {
    "classify": "say what is on pictures",
    "read": "find and read every handwritten digit in pictures",
    "camera": "read what a camera sees, frame after frame",
    "serve": "open a web page and an HTTP API that read pictures",
    "info": "show a model's contract and tensors",
    "bench": "measure latency and accuracy on this device",
    "doctor": "say what is wrong with this machine, and the command that mends it",
    "receive": "take a model from `python -m flash` and make it the active one",
    "status": "show which model is active on this device",
    "rollback": "make the model before it active again",
}
"""Each verb with its one line of help. The verb's module has the same name."""

_OVERVIEW = """\
examples:
  edge-run classify seven.png             what is on the picture
  edge-run classify photos/ --json        a folder, one JSON object a picture
  edge-run read page.jpg                  every digit on it
  edge-run camera --preview 8080          a camera, and a web page to watch it on
  edge-run serve                          a page to draw on and send photos to
  edge-run info                           the released model
  edge-run bench                          how fast this device is
  edge-run doctor                         what is wrong with this machine

`edge-run VERB --help` shows each verb's options and examples."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``edge-run``.

    Args:
        argv: The arguments after the program's name; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    # Nothing is imported before this line, and NumPy takes a tenth of a second: whoever presses
    # Ctrl-C meanwhile gets an answer and no traceback.
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        from .shell import interrupted

        return interrupted("edge-run")


def _run(arguments: list[str]) -> int:
    """Hands over to the verb."""
    from importlib import import_module

    from .shell import run, run_command

    if arguments and arguments[0] in VERBS:
        verb = import_module(f".{arguments[0]}", __package__)
        return run_command(f"edge-run {arguments[0]}", verb, arguments[1:])
    return run(_overview(), arguments, lambda _: 2)


def _overview() -> argparse.ArgumentParser:
    """The parser for everything that names no verb: --help, --version, and mistakes."""
    import argparse

    from edge_runtime import __version__

    parser = argparse.ArgumentParser(
        prog="edge-run",
        description="Runs image classifiers on small machines.",
        epilog=_OVERVIEW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edge-run {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, help_text in VERBS.items():
        verbs.add_parser(name, help=help_text)
    return parser
