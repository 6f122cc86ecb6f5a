"""The errors that this package raises on purpose.

    EdgeRuntimeError
    ├── ModelError (ValueError)                  a model file that cannot be used
    │   ├── DamagedModelError                    its bytes are not those that were sealed
    │   └── ContractError                        its contract is missing or impossible
    ├── ImageError (ValueError)                  a picture that cannot be read
    ├── InputError (ValueError)                  an argument, array or option of the wrong kind
    ├── InterpreterError (RuntimeError)          a model was refused, or failed while running
    │   └── InterpreterUnavailableError (ImportError)      there is no interpreter
    ├── MissingDependencyError (ImportError)     an optional package; the text names the extra
    ├── DeviceError (RuntimeError)               a model could not be put on a device
    ├── OutputError (RuntimeError)               a result could not be handed on
    └── SourceError (RuntimeError)               a camera, a stream or a file gives no frames

Each inherits the project's base and the fitting builtin, so both ``except EdgeRuntimeError`` and
``except ValueError`` do what their reader expects. The other rooms add their own below this base.
"""

from __future__ import annotations

__all__ = [
    "ContractError",
    "DamagedModelError",
    "DeviceError",
    "EdgeRuntimeError",
    "ImageError",
    "InputError",
    "InterpreterError",
    "InterpreterUnavailableError",
    "MissingDependencyError",
    "ModelError",
    "OutputError",
    "SourceError",
]


class EdgeRuntimeError(Exception):
    """Base of every error that is meant for the person using the toolkit.

    The message is one line in the order of what a reader asks: what happened, what was expected
    instead, what to do about it.

    Args:
        happened: What happened, naming the file or the argument.
        expected: What was expected; may be empty when `happened` already says it.
        remedy: What to do, if possible a command.

    >>> str(EdgeRuntimeError("a.png is empty", "a picture", "save it again"))
    'a.png is empty; a picture was expected; save it again'
    """

    def __init__(self, happened: str, expected: str = "", remedy: str = "") -> None:
        parts = [happened]
        if expected:
            parts.append(f"{expected} was expected")
        if remedy:
            parts.append(remedy)
        # A file name or a library's text may carry line breaks; the promise is one line.
        super().__init__("; ".join(" ".join(part.split()) for part in parts))


class ModelError(EdgeRuntimeError, ValueError):
    """A model file that cannot be used."""


class DamagedModelError(ModelError):
    """The bytes of a model are not the bytes that were sealed."""


class ContractError(ModelError):
    """A model's contract is missing, or says something that cannot be."""


class ImageError(EdgeRuntimeError, ValueError):
    """A picture that cannot be read."""


class InputError(EdgeRuntimeError, ValueError):
    """An argument, an array or an option of the wrong kind."""


class InterpreterError(EdgeRuntimeError, RuntimeError):
    """An interpreter refused a model, or failed while running it."""


class InterpreterUnavailableError(InterpreterError, ImportError):
    """No interpreter, or not the one asked for, can be imported."""


class MissingDependencyError(EdgeRuntimeError, ImportError):
    """An optional package is needed and not installed."""


class DeviceError(EdgeRuntimeError, RuntimeError):
    """A model could not be put on a device."""


class OutputError(EdgeRuntimeError, RuntimeError):
    """A result could not be handed on: to a file, a window, a broker."""


class SourceError(EdgeRuntimeError, RuntimeError):
    """A camera, a stream or a file gives no frames."""
