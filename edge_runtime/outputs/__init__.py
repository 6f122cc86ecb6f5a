"""Where the camera loop's results go: one seam, an implementation a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import EdgeRuntimeError, OutputError
from ..frames import LiveReading, SourceStatus
from ..health import Health

__all__ = ["Output", "Outputs"]


class Output(Protocol):
    """One place where results go. Its methods are called from the loop's thread alone.

    A method raises `OutputError` or `OSError` where the place takes no more, and is then not called
    again but for `close`.
    """

    def reading(self, reading: LiveReading) -> None:
        """Hands a result on."""
        ...

    def status(self, status: SourceStatus, health: Health) -> None:
        """Hands on that the camera's state or the machine's health is another one."""
        ...

    def close(self) -> None:
        """Finishes what was begun."""
        ...


class Outputs:
    """Hands everything to several outputs, and goes on without one that fails.

    Attributes:
        failed: An output failed and was given up.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        """Begins with none.

        Args:
            complain: Gets one line for each output that fails.
        """
        self._outputs: list[Output] = []
        self._complain = complain
        self.failed = False

    def add(self, output: Output) -> None:
        """Takes an output over, to be closed with the others."""
        self._outputs.append(output)

    def reading(self, reading: LiveReading) -> None:
        """Hands a result to all.

        Raises:
            BrokenPipeError: Whoever reads our standard output has gone.
            OutputError: The last output failed: nobody is left to do this for.
        """
        self._all(lambda output: output.reading(reading))

    def status(self, status: SourceStatus, health: Health) -> None:
        """Hands a state to all; raises as `reading`."""
        self._all(lambda output: output.status(status, health))

    def close(self) -> None:
        """Closes all, whatever one of them says."""
        for output in self._outputs:
            self._close(output)
        self._outputs.clear()

    def _all(self, act: Callable[[Output], None]) -> None:
        for output in tuple(self._outputs):
            try:
                act(output)
            except BrokenPipeError:
                raise
            except (EdgeRuntimeError, OSError) as error:
                self.failed = True
                self._outputs.remove(output)
                self._close(output)
                if not self._outputs:
                    raise
                self._complain(f"{_line(error)}; the loop goes on without it")

    def _close(self, output: Output) -> None:
        try:
            output.close()
        except BrokenPipeError:
            pass  # Whoever read it knows.
        except (EdgeRuntimeError, OSError) as error:
            self.failed = True
            self._complain(_line(error))


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, OutputError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)
