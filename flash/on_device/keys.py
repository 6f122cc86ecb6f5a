"""Files of public keys: OpenSSH's ``allowed_signers`` and ``authorized_keys``, line by line."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection
from datetime import UTC, datetime
from fnmatch import fnmatchcase

__all__ = ["fingerprint", "lets_sign", "with_line", "without_keys"]

# The Base64 of a key begins with the length of its type's name, which is below 2**16.
KEY = re.compile(r"AAAA[A-Za-z0-9+/]{36,}={0,2}")


def with_line(text: str, line: str, key: str, purpose: str | None = None) -> str:
    """A file of keys with a line in it.

    Args:
        text: The file.
        line: The line.
        key: The public key in it, as base64.
        purpose: The namespace that is signed in: then a line of somebody else's with that key is
            enough if it lets the key sign there now, and one that does not is left beside ours.
            None: other lines with that key are replaced.

    Returns:
        The file with the line; the lines of other keys stay.
    """
    lines = text.splitlines()
    of_key = [known for known in lines if key in known.split() and not known.startswith("#")]
    if purpose is None:
        if of_key == [line]:
            return text
        lines = [known for known in lines if known not in of_key]
    elif any(lets_sign(known, purpose) for known in of_key):
        return text
    return "".join(f"{known}\n" for known in [*lines, line])


def without_keys(text: str, fingerprints: Collection[str]) -> str:
    """A file of keys without some of them, whoever wrote their lines.

    Args:
        text: The file.
        fingerprints: The keys, as ``ssh-keygen -l`` names them.

    Returns:
        The file; comments stay.
    """
    kept = [
        line
        for line in text.splitlines()
        if line.startswith("#") or not set(map(fingerprint, line.split())) & set(fingerprints)
    ]
    return text if len(kept) == len(text.splitlines()) else "".join(f"{line}\n" for line in kept)


def fingerprint(key: str) -> str | None:
    """A key's name, as ``ssh-keygen -l`` writes it.

    Args:
        key: The public key as base64.

    Returns:
        "SHA256:…", or None for what is no key.
    """
    try:
        data = base64.b64decode(key, validate=True) if KEY.fullmatch(key) else b""
    except binascii.Error:
        return None
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"SHA256:{digest}" if data else None


def lets_sign(line: str, purpose: str, now: datetime | None = None) -> bool:
    """Whether a line of ``allowed_signers`` lets its key sign for a purpose (ssh-keygen(1)).

    Args:
        line: The line.
        purpose: The namespace.
        now: The time; by default that of this machine's clock.

    Returns:
        Whether it permits the namespace, and is neither over nor yet to come.
    """
    options = dict(re.findall(r'[ ,]([a-z-]+)="([^"]*)"', line.lower()))
    if re.search(r"[ ,]cert-authority[ ,]", line.lower()):
        return False
    spaces = options.get("namespaces", "*").split(",")
    if not any(fnmatchcase(purpose, space.strip()) for space in spaces):
        return False
    moment = now or datetime.now(UTC)
    return (
        _time(options.get("valid-after"), datetime.min)
        <= moment
        < _time(options.get("valid-before"), datetime.max)
    )


def _time(text: str | None, default: datetime) -> datetime:
    """YYYYMMDD[HHMM[SS]], in UTC with a Z behind it, else local time."""
    if text is None:
        return default.replace(tzinfo=UTC)
    digits = text.rstrip("z")
    pattern = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits))
    if pattern is None:
        return default.replace(tzinfo=UTC)
    found = datetime.strptime(digits, pattern)
    return found.replace(tzinfo=UTC) if text.endswith("z") else found.astimezone()
