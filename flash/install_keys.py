"""Public SSH keys: whose models a device takes, who may bring them, and whose do no more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .errors import FlashError
from .keygen import ssh_keygen
from .on_device.keys import fingerprint

__all__ = ["PublicKey", "fingerprint_of", "private_half", "public_key"]

# RFC 4253's names of key types, as OpenSSH writes them; those on hardware end in @openssh.com.
KEY = re.compile(r"((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]{40,}={0,2})(?: (.*))?")
PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True)
class PublicKey:
    """The public half of an SSH key.

    Attributes:
        kind: Its type, for example "ssh-ed25519".
        base64: The key itself.
        owner: Whose it is: its comment, where that can stand in a file of keys.
    """

    kind: str
    base64: str
    owner: str

    @property
    def fingerprint(self) -> str:
        """Its name, as ``ssh-keygen -l`` writes it."""
        return str(fingerprint(self.base64))


def public_key(path: Path) -> PublicKey:
    """The public half of a key.

    Args:
        path: The private key, or its ``.pub``.

    Returns:
        The key.

    Raises:
        FlashError: There is no such file, or it is no SSH key.
    """
    given = path.expanduser()
    beside = given if given.suffix == ".pub" else given.with_name(f"{given.name}.pub")
    try:
        text = (beside if beside.is_file() else given).read_text()
        if not beside.is_file():
            text = _derived(given)
    except (OSError, UnicodeDecodeError):
        raise FlashError(
            f"there is no key {path}", "an SSH key", "make one with ssh-keygen -t ed25519"
        ) from None
    found = KEY.fullmatch(text.strip())
    if found is None or "-cert-" in found[1]:
        raise FlashError(
            f"{beside if beside.is_file() else path} is no public SSH key",
            "one line such as ssh-ed25519 AAAA…",
            "make a key with ssh-keygen -t ed25519",
        )
    comment = (found[3] or "").strip()
    return PublicKey(found[1], found[2], comment if PRINCIPAL.fullmatch(comment) else "operator")


def fingerprint_of(text: str) -> str:
    """The name of a key that somebody names.

    Args:
        text: A fingerprint as ``ssh-keygen -l`` writes it, or the path of a key, whose private half
            may be lost.

    Returns:
        "SHA256:…".

    Raises:
        FlashError: It is neither.
    """
    return text if FINGERPRINT.fullmatch(text) else public_key(Path(text)).fingerprint


def private_half(path: Path) -> Path:
    """What ``ssh -i`` takes for a key.

    Args:
        path: The private key, or its ``.pub``.

    Returns:
        The private key; the ``.pub`` where the agent alone has the other half.
    """
    private = path.with_suffix("") if path.suffix == ".pub" else path
    return private if private.expanduser().is_file() else path


def _derived(key: Path) -> str:
    """The public half of a private key that has none beside it; asks for a passphrase itself."""
    late = FlashError(f"the passphrase of {key} was not given in time")
    done = ssh_keygen("-y", "-f", str(key.absolute()), late=late)
    return done.stdout.decode()
