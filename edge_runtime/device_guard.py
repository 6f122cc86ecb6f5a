"""A second process beside the one that switches: should that one be killed, it takes it back.

Against SIGKILL, be it an impatient person's or the kernel's that is short of memory, a process can
do nothing. Until the next transfer or the next boot the device would then run a release that was
never confirmed. So `guarded` starts this module as a child that waits for one byte; where the pipe
ends without it, the child takes the release back and restarts the service.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .child import child_environment, python_command
from .device_signals import WATCHED

__all__ = ["guarded", "main"]

DONE = b"."
# The kernel ends a killed process's pipe and its lock in no order that is promised.
LOCK_PATIENCE_S = 10.0


@contextmanager
def guarded(directory: Path) -> Iterator[None]:
    """Runs the block; should this process be killed in it, what is not confirmed is taken back.

    Args:
        directory: The device's folder, locked.

    Raises:
        OSError: The child cannot be started.
    """
    with subprocess.Popen(
        python_command(f"{__package__}.device_guard", str(directory)),
        bufsize=0,
        stdin=subprocess.PIPE,
        # Whoever sent the model waits for the end of our output: not for that of the child's.
        stdout=subprocess.DEVNULL,
        env=child_environment(),
        # A hang-up or Ctrl-C that reaches the whole group must not reach it.
        start_new_session=True,
    ) as child:
        assert child.stdin is not None
        try:
            yield
        finally:
            try:
                child.stdin.write(DONE)
            except OSError:  # It cannot be told, or was killed, too.
                child.kill()


def main() -> int:
    """The child: waits for the byte, else takes back; 0 where all is well then."""
    for number in WATCHED:
        # Not SIG_IGN, which the restarted service would inherit.
        signal.signal(number, lambda *_: None)
    if sys.stdin.buffer.read(1) == DONE:
        return 0
    from .cli.receive import say
    from .device import recover
    from .errors import EdgeRuntimeError

    try:
        recover(Path(sys.argv[1]), say, restarts=True, patience_s=LOCK_PATIENCE_S)
    except EdgeRuntimeError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
