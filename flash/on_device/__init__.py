"""What `flash.install` sends to a device and runs there; the standard library only."""

from __future__ import annotations

__all__: list[str] = []
