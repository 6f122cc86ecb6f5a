"""Signing a manifest with an SSH key, by ``ssh-keygen -Y sign``.

The key is one that people have: a file, with a passphrase or without, or the public half of one
that the agent holds. `ssh-keygen` asks for a passphrase itself, at the terminal.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge_runtime.signature import NAMESPACE, fingerprint

from .errors import FlashError
from .keygen import TIMEOUT_S, ssh_keygen

__all__ = ["sign"]


def sign(data: bytes, key: Path) -> bytes:
    """Signs bytes with a key.

    Args:
        data: What to sign.
        key: A private key, or the ``.pub`` of a key that the SSH agent holds.

    Returns:
        The armoured OpenSSH signature, in the namespace "edge-model".

    Raises:
        FlashError: There is no such key, it could not be opened, or ``ssh-keygen`` is missing.
    """
    path = key.expanduser()
    if not path.is_file():
        raise FlashError(
            f"there is no key {key}",
            "a private SSH key, or the .pub of one that the agent holds",
            "make one with ssh-keygen -t ed25519",
        )
    late = FlashError(
        f"{key} did not sign within {TIMEOUT_S:.0f} s",
        "a passphrase, or a touch of the hardware key",
        "try again, or load the key with ssh-add",
    )
    command = ("-Y", "sign", "-n", NAMESPACE, "-f", str(path.absolute()))
    done = ssh_keygen(*command, late=late, data=data)
    if done.returncode == 0 and done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        # Where there is no terminal, ssh-keygen takes a line of the data for the passphrase.
        fingerprint(data, done.stdout)
        return done.stdout
    raise _explain(key, done.stderr.decode("utf-8", "replace"))


def _explain(key: Path, said: str) -> FlashError:
    """What ssh-keygen's own words mean."""
    if "incorrect passphrase" in said:
        return FlashError(
            f"the passphrase of {key} was not given, or is another one",
            "its passphrase at the terminal",
            f"load the key with ssh-add {key}, then sign with --key {key}.pub",
        )
    if "No private key found for public key" in said:
        return FlashError(
            f"the agent does not hold the key {key}", "", "load it with ssh-add, then try again"
        )
    if "bad permissions" in said or "UNPROTECTED PRIVATE KEY" in said:
        return FlashError(f"others may read {key}", "a key of your own", f"chmod 600 {key}")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = re.sub(r"\s+", " ", lines[-1]) if lines else "ssh-keygen said nothing"
    return FlashError(f"{key} cannot sign ({reason})", "an SSH key", "ssh-keygen -t ed25519")
