"""Addresses of network cameras: taken apart, and shown without what is secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from ..errors import InputError

__all__ = ["Address", "parse_address"]

DEFAULT_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}


@dataclass(frozen=True)
class Address:
    """An address taken apart.

    Attributes:
        scheme: "http", "https", "rtsp" or "rtsps".
        host: Name or number.
        port: The one given, or the scheme's own.
        target: Path and query.
        user: Name to log in with, None without.
        password: Its password.
        url: The address as it was given.
        shown: The address without user, password and query, which often holds a password.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    url: str = field(repr=False)
    shown: str


def parse_address(url: str) -> Address:
    """Takes an address apart.

    Args:
        url: For example ``http://user:password@192.168.1.7:8080/video``.

    Returns:
        Its parts.

    Raises:
        InputError: It makes no sense; the text does not repeat it, because of the password.

    >>> parse_address("rtsp://me:secret@cam.local/stream?pwd=x").shown
    'rtsp://cam.local/stream?…'
    """
    example = "SCHEME://[USER:PASSWORD@]HOST[:PORT]/PATH"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError("the camera's address makes no sense", example) from None
    if not url.isprintable() or " " in url:
        raise InputError("the camera's address has blanks or control characters", example)
    if not host or parts.scheme not in DEFAULT_PORTS:
        raise InputError("the camera's address names no host", example)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = quote(target, safe="%/:=&?~+!$,;'@()*[]")  # What is not ASCII has no place in HTTP.
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port is not None else ""
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or DEFAULT_PORTS[parts.scheme],
        target=target,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        url=url,
        shown=f"{parts.scheme}://{place}{parts.path}" + ("?…" if parts.query else ""),
    )
