"""Other people's programs that write flash: where they are, and what they say when they fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from edge_runtime.errors import MissingDependencyError

from .errors import FlashError

__all__ = ["find_program", "run_program"]

# "A fatal error occurred: …" is esptool's; "0000328 E … [load_cmd]" is pyOCD's log, which says less
# than the line before it where there is no probe.
REASONS = (
    re.compile(r"^(No connected debug probe.*)$", re.MULTILINE),
    re.compile(r"fatal error occurred: (.+?)(?:\n\s*\n|\Z)", re.DOTALL),
    re.compile(r"^\d+ [EC] (.+?)(?: \[\w+\])?$", re.MULTILINE),
)


def find_program(*names: str, extra: str = "mcu") -> Path:
    """Where a program is that comes with an extra.

    Args:
        names: What it is called, the preferred name first.
        extra: The extra that brings it.

    Returns:
        Its path: in the environment of this Python, else on the path for programs.

    Raises:
        MissingDependencyError: It is not installed.
    """
    # A virtual environment that is called by its path, not activated, is not on $PATH.
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for name in names:
        if found := shutil.which(name, path=places):
            return Path(found)
    raise MissingDependencyError(
        f"the program {names[0]} is not installed",
        f"the extra {extra}",
        f"pip install -e '.[{extra}]'",
    )


def run_program(
    command: Sequence[str | Path],
    time_limit_s: float,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Runs a program that asks nothing.

    Args:
        command: The program and its arguments.
        time_limit_s: Seconds after which it is killed.
        on_line: Is given each line that it prints, when it prints it.

    Returns:
        What it printed on stdout and stderr together.

    Raises:
        FlashError: It failed or did not end in time; the text has its own words.
    """
    name = Path(command[0]).name
    lines: list[str] = []
    late = threading.Event()
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Whatever it starts itself holds the pipe open, and goes with it.
        process_group=0,
    ) as child:
        assert child.stdout is not None

        def give_up() -> None:
            late.set()
            _kill(child)

        clock = threading.Timer(time_limit_s, give_up)
        clock.start()
        try:
            for line in child.stdout:
                lines.append(line)
                if on_line is not None and line.strip():
                    on_line(line.rstrip())
        except BaseException:
            _kill(child)
            raise
        finally:
            clock.cancel()
    said = re.sub(r"\x1b\[[0-9;]*m", "", "".join(lines))  # without colours
    if late.is_set():
        raise FlashError(f"{name} did not finish within {time_limit_s:.0f} s")
    if child.returncode:
        raise FlashError(f"{name} failed: {_reason(said) or f'exit status {child.returncode}'}")
    return said


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):  # It has just ended.
        os.killpg(child.pid, signal.SIGKILL)


def _reason(said: str) -> str:
    for pattern in REASONS:
        if found := pattern.search(said):
            return found[1]
    return (said.strip().splitlines() or [""])[-1]
