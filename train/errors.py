"""The errors of this room, below the base of all: one line for the person who gave the input."""

from __future__ import annotations

from edge_runtime.errors import EdgeRuntimeError

__all__ = ["ConfigError", "DataError", "WorkerError"]


class DataError(EdgeRuntimeError, ValueError):
    """A data set that cannot be used; the message names the file."""


class ConfigError(EdgeRuntimeError, ValueError):
    """A training configuration that says something impossible."""


class WorkerError(EdgeRuntimeError, RuntimeError):
    """One of several processes that train together is missing or was lost."""
