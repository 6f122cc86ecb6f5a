"""Whose requests are answered: the token, the name the page was asked for by, the page asking."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from pathlib import Path
from typing import Protocol

from ..errors import InputError
from ..files import read_limited

__all__ = ["Access", "SupportsGet", "check_token", "is_loopback", "new_token", "read_token_file"]

# What may stand in a URL, a cookie and a header as it is; 16 characters of it have 95 bits.
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")
MAX_TOKEN_FILE_BYTES = 1024


def new_token() -> str:
    """A token that nobody can guess: 192 random bits."""
    return secrets.token_urlsafe(24)


def check_token(token: str) -> str:
    """The token itself, if it may be one.

    Args:
        token: The token.

    Raises:
        InputError: It is too short to be safe, or has other characters. The text does not repeat
            it.
    """
    if not TOKEN.fullmatch(token):
        raise InputError(
            f"the token has {len(token)} characters, or some that it may not have",
            "16 to 256 letters, digits or any of . _ ~ -",
        )
    return token


def read_token_file(path: Path) -> str:
    """The token that a file holds; a new one is written where there is no file.

    Args:
        path: The file, a line of text that its owner alone may read.

    Raises:
        InputError: It cannot be read or made, or holds no token.
    """
    try:
        # Made for the owner alone from its first moment on, and never in place of another's.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            token = new_token()
            file.write(token + "\n")
        return token
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        return check_token(
            read_limited(path, MAX_TOKEN_FILE_BYTES).decode("ascii", "replace").strip()
        )
    except InputError as error:
        raise InputError(f"{path}: {error}; remove the file, and a good one is made") from None


def is_loopback(host: str) -> bool:
    """Whether a name or address leads to this machine alone.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "pi.local")]
    [True, True, True, False, False]
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class SupportsGet(Protocol):
    """A request's headers, whatever kind of mapping they are."""

    def get(self, name: str, default: str, /) -> str:
        """A header's value, or the default."""


class Access:
    """Decides about requests.

    Attributes:
        token: What a client has to know; None: everybody on this machine is welcome.
        cookie: Name of the cookie that carries it. Cookies do not know ports, so the name does.
    """

    def __init__(self, token: str | None, port: int) -> None:
        self.token = token
        self.cookie = f"edge_token_{port}"
        # Compared as digests, which have one length whatever the client sends.
        self._digest = _digest(token) if token is not None else b""

    def knows(self, offered: str) -> bool:
        """Whether this is the token; takes as long for a wrong one as for the right one."""
        return self.token is None or hmac.compare_digest(_digest(offered), self._digest)

    def authorised(self, authorization: str, cookies: str) -> bool:
        """Whether a request shows the token.

        Args:
            authorization: Its ``Authorization`` header.
            cookies: Its ``Cookie`` header.
        """
        if self.token is None:
            return True
        scheme, _, offered = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.knows(offered.strip()):
            return True
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        return any(name == self.cookie and self.knows(value) for name, _, value in pairs)

    def host_allowed(self, host: str | None) -> bool:
        """Whether the page may be asked for by this name.

        Without a token it is this machine's own. A foreign page could otherwise give its name this
        machine's address (DNS rebinding) and then read what we answer. With one any name will
        do: such a page has no cookie of ours.

        Args:
            host: The ``Host`` header; browsers always send it.
        """
        if self.token is not None or host is None:
            return True
        name = re.sub(r":\d*$", "", host)
        return is_loopback(name.strip("[]").rstrip(".").lower())

    @staticmethod
    def origin_allowed(headers: SupportsGet) -> bool:
        """Whether a request comes from our page, from a person or from a program.

        Another page may link to ours, but not use it: show the stream, send pictures. Browsers say
        where a request comes from (Fetch Metadata); programs do not, and are welcome.

        Args:
            headers: The request's headers.
        """
        site = headers.get("Sec-Fetch-Site", "none")
        linked = (
            headers.get("Sec-Fetch-Mode", "") == "navigate"
            and headers.get("Sec-Fetch-Dest", "") == "document"
        )
        return site in ("none", "same-origin") or linked


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
