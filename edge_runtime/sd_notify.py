"""Tells systemd how a service is, without its library; source of the protocol: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["notify"]


def notify(**fields: str) -> bool:
    """Sends fields such as ``READY="1"``; whether there is a service manager that took them."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    message = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # A manager that does not listen must not hold up the service.
        sender.sendto(
            message.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address
        )
        return True
    return False
