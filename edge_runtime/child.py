"""A Python of our own as a child process: which one, and what it can import."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

__all__ = ["child_environment", "end_with_parent", "python_command"]

PR_SET_PDEATHSIG = 1  # prctl(2)


def python_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module in a child.

    Args:
        module: The module, as for ``python -m``.
        arguments: Its arguments.

    Returns:
        The words.
    """
    # -P: a child must import the packages this process has, not what lies in the working folder.
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**variables: str) -> dict[str, str]:
    """This process's environment, so that a child finds this package wherever it lies.

    Args:
        variables: Further variables.

    Returns:
        The environment for `subprocess`.
    """
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **variables}


def end_with_parent(parent: int) -> None:
    """Lets the kernel kill this process as soon as the one that started it is gone.

    A thread that watches a pipe would not do: native code that hangs may hold the interpreter.

    Args:
        parent: The parent's process number, which the parent itself has told.
    """
    import ctypes  # Here alone: not even the device's other parts need it.

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It ended before that call.
        os._exit(1)
