"""A Python of our own as a child process: which one, and what it can import."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["child_environment", "python_command"]


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
