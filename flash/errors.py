"""The error of this room."""

from __future__ import annotations

from edge_runtime.errors import DeviceError

__all__ = ["FlashError"]


class FlashError(DeviceError):
    """A model could not be put on a device, or not be made ready for one."""
