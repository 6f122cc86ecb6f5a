"""What every command of the toolkit does the same: exit statuses, one-line errors, ``--debug``."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType

from ..errors import EdgeRuntimeError, OutputError

__all__ = [
    "add_debug_option",
    "interrupted",
    "printable",
    "run",
    "run_command",
    "run_room",
    "say",
]

DONE, FAILED, USAGE = 0, 1, 2
# By convention 128 plus the number of the signal, SIGINT being 2.
INTERRUPTED = 130


def run(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    handle: Callable[[argparse.Namespace], int],
) -> int:
    """Parses arguments, runs a command and turns its errors into one line on stderr.

    Args:
        parser: The command's parser; ``--debug`` is added to it.
        argv: The arguments; None for those of the process.
        handle: The command; gets the parsed arguments and returns the exit status.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    _open_standard_error()
    add_debug_option(parser)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed its usage line, its help or the version.
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        if sys.stdout is None:  # Python's word for a closed one.
            raise OutputError(
                "standard output is closed",
                "a terminal, a pipe or a file",
                "send what nobody reads to /dev/null",
            )
        status = handle(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return interrupted(parser.prog)
    except BrokenPipeError:
        _drop_output()  # Its reader has gone, as `head` does.
        return FAILED
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # It came while native code ran.
            return interrupted(parser.prog)
        message = _message(error)
        if getattr(args, "debug", False) or message is None:
            say(traceback.format_exc().rstrip("\n"))
        say(f"{parser.prog}: error: {message or repr(error)}")
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except (OSError, ValueError):
            _drop_output()
        return FAILED


def say(line: str) -> None:
    """Tells a person something, on standard error. Nobody may be listening: that is no failure.

    What others wrote may be part of it, such as a file's name or a device's words: a terminal takes
    none of it for a command.
    """
    if sys.stderr is not None:  # None would be standard output to `print`.
        text = "\n".join(printable(part) for part in line.split("\n"))
        with suppress(OSError, ValueError):
            # One write a line: another thread may have something to say, too.
            print(f"{text}\n", end="", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    r"""A text without what would confuse a terminal: control characters, bytes that are no text.

    Args:
        text: One line.

    Returns:
        The same with escapes in their place.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--debug``. `run` does it; parsers of verbs below the one it is given need their own.

    Without a default: a verb's would undo what was given before the verb.
    """
    parser.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show the traceback of an error",
    )


def interrupted(prog: str) -> int:
    """Says that somebody pressed Ctrl-C, and returns the exit status for that."""
    say(f"{prog}: interrupted")
    return INTERRUPTED


def run_command(prog: str, command: ModuleType, argv: Sequence[str] | None) -> int:
    """Runs a command that is a module of its own.

    Args:
        prog: What the user typed to get here.
        command: Its docstring describes it, `configure(parser)` adds its arguments, and
            `handle(args)` does its work; `EPILOG`, if it has one, ends its help.
        argv: The arguments after `prog`.

    Returns:
        The exit status, as `run`.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=command.__doc__,
        epilog=getattr(command, "EPILOG", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    return run(parser, argv, command.handle)


def run_room(room: str, command: str, verbs: Mapping[str, str], argv: Sequence[str] | None) -> int:
    """Runs ``python -m ROOM``, which does one thing by itself and others by a verb.

    Only the module that was asked for is imported: some of them take seconds.

    Args:
        room: The package.
        command: Its module that runs where no verb is given.
        verbs: Each verb with its module.
        argv: The arguments; None for those of the process.

    Returns:
        The exit status, as `run`.
    """
    prog = f"python -m {room}"
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in verbs:
        verb = arguments.pop(0)
        prog, command = f"{prog} {verb}", verbs[verb]
    try:
        module = import_module(f"{room}.{command}")
    except KeyboardInterrupt:
        return interrupted(prog)
    return run_command(prog, module, arguments)


def _drop_output() -> None:
    """Lets what could not be written go. Python would try once more at exit, and end with 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_standard_error() -> None:
    """Puts one that takes everything in the place of a standard error that is closed.

    Otherwise the next file opened has its number, and native code writes its complaints in there.
    """
    if sys.stderr is not None:
        return
    number = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(number, 2)
    if number == 2:
        os.set_inheritable(2, True)
    else:
        os.close(number)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process lives.


def _message(error: Exception) -> str | None:
    """One line for an error that a person can act on; None for a mistake of our own."""
    if isinstance(error, EdgeRuntimeError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "; free some space, or write elsewhere" if full else ""
        return f"{where}{error.strerror or error}{remedy}"
    if isinstance(error, MemoryError):
        return "out of memory; a smaller picture, model or batch was expected"
    return None
