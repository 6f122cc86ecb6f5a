"""OpenSSH signatures over a manifest, checked with the ``ssh-keygen`` that a Pi has anyway.

Whose signature counts stands in a file of allowed signers, one line a key (ssh-keygen(1), "ALLOWED
SIGNERS"), for example:

    anna@example.org namespaces="edge-model",valid-before="20280101Z" ssh-ed25519 AAAA…

`ssh-keygen` says little of why it refuses, so `verify` asks in steps, from "is this the signature
of these bytes" to "may this key sign today", and names the step that failed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import DeviceError, InputError
from .files import read_limited

__all__ = ["NAMESPACE", "SignatureError", "Signer", "fingerprint", "verify"]

NAMESPACE = "edge-model"
"""What these signatures are for; one made for e-mail or a git commit is none of ours."""

# It takes 8 ms on a desktop; a Pi's card may be asleep.
TIMEOUT_S = 30.0
# The armoured text of the largest RSA key has 6 KB, which a pipe takes at once (pipe(7): 16 pages).
MAX_SIGNATURE_BYTES = 2**14
# Ten thousand RSA keys have 8 MB.
MAX_LIST_BYTES = 2**23
KEY_KINDS = (b"ssh-", b"ecdsa-", b"sk-")
KRL_MAGIC = b"SSHKRL\n\0"  # OpenSSH's PROTOCOL.krl
# No bundle of this format is older than the format itself. A Pi without a battery starts in 1970,
# and ssh-keygen takes the first second of that year for no time at all.
EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)


class SignatureError(DeviceError):
    """A signature that does not count, or cannot be checked."""


@dataclass(frozen=True)
class Signer:
    """Who signed.

    Attributes:
        principal: The name that the file of allowed signers gives the key.
        key: Kind and fingerprint of the key, for example "ED25519 SHA256:…".
    """

    principal: str
    key: str


def fingerprint(data: bytes, signature: bytes) -> str:
    """Checks that a signature is one of these bytes, and says by which key, whoever owns it.

    Args:
        data: What was signed.
        signature: The armoured signature.

    Returns:
        Kind and fingerprint of the key, for example "ED25519 SHA256:…".

    Raises:
        SignatureError: It is no signature, one of other bytes, or one for another purpose.
    """
    done = _keygen("check-novalidate", signature, data)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        if "namespace does not match" in said:
            raise SignatureError(
                "the signature was made for another purpose",
                f"one in the namespace {NAMESPACE}",
                "sign it with python -m flash bundle",
            )
        if "No user exists for uid" in said:
            raise SignatureError(
                f"ssh-keygen does not work here ({_last_line(said)})",
                "a user whom this system knows",
                "run it as one that has an entry in /etc/passwd",
            )
        if "incorrect signature" in said:
            raise SignatureError(
                "the signature does not belong to this manifest: one of them was changed",
                "a bundle as it was signed",
                "send it again",
            )
        raise SignatureError(
            f"the signature cannot be read ({_last_line(said)})",
            "an OpenSSH signature",
            "make the bundle again with python -m flash bundle",
        )
    found = re.search(r" with (\S+) key (\S+)", done.stdout.decode("utf-8", "replace"))
    return f"{found[1]} {found[2]}" if found else "an unknown key"


def verify(
    data: bytes,
    signature: bytes,
    allowed_signers: Path,
    *,
    moment: datetime,
    revoked_keys: Path | None = None,
) -> Signer:
    """Checks that somebody who may do so signed these bytes.

    Args:
        data: What was signed.
        signature: The armoured signature.
        allowed_signers: The file of allowed signers.
        moment: The time at which the key must be valid; one before this format is set to its
            first day.
        revoked_keys: A file of revoked keys, as text or as a key revocation list, or None.

    Returns:
        Who it was.

    Raises:
        SignatureError: Nobody who may; the text says why.
    """
    lines = _read_list(allowed_signers, "a file of allowed signers")
    if revoked_keys is not None:
        # ssh-keygen reports a list that is missing, or none, as a wrong signature.
        _check_revocations(_read_list(revoked_keys, "a list of revoked keys"), revoked_keys)
    key = fingerprint(data, signature)
    when = f"-Overify-time={max(moment, EARLIEST).astimezone(UTC):%Y%m%d%H%M%S}Z"
    found = _keygen("find-principals", signature, data, "-f", str(allowed_signers), when)
    # A line may name several, divided by commas, and older versions print it as it stands.
    names = re.split(r"[,\n]", found.stdout.decode("utf-8", "replace"))
    # It stops at the first line with that key; another may allow what that one does not.
    names += _names_of(key, lines)
    principals = dict.fromkeys(filter(None, (name.strip() for name in names)))
    said = found.stderr
    revoked = [] if revoked_keys is None else ["-r", str(revoked_keys)]
    for principal in principals:
        rest = ("-f", str(allowed_signers), "-I", principal, when)
        if _keygen("verify", signature, data, *rest, *revoked).returncode == 0:
            return Signer(principal, key)
        # Of a revoked key nothing is said; but without the list it passes.
        done = _keygen("verify", signature, data, *rest)
        if done.returncode == 0:
            raise SignatureError(
                f"the key {key} of {principal} is revoked",
                "a key that is not",
                "sign the bundle with another key",
            )
        said = done.stderr
    raise _refusal(said.decode("utf-8", "replace"), key, allowed_signers)


def _read_list(path: Path, expected: str) -> bytes:
    """The content of one of the two lists, which nobody but its owner's group may write."""
    try:
        content = read_limited(path, MAX_LIST_BYTES)
        mode = path.stat().st_mode
    except (InputError, OSError):
        raise SignatureError(f"{path} cannot be read", expected, "put it there") from None
    if mode & 0o002:
        raise SignatureError(
            f"anybody may write {path}", "a file that only the operator writes", f"chmod o-w {path}"
        )
    return content


def _check_revocations(content: bytes, path: Path) -> None:
    """Refuses a list that ssh-keygen cannot read, of which it would say nothing."""
    if content.startswith(KRL_MAGIC):
        listed = _run(["ssh-keygen", "-Q", "-l", "-f", str(path)], b"")
        readable = listed.returncode == 0
    else:
        # Text is one public key a line (ssh-keygen(1), "KEY REVOCATION LISTS").
        lines = [line.strip() for line in content.splitlines()]
        readable = all(
            not line or line.startswith(b"#") or (line.startswith(KEY_KINDS) and _key_of(line))
            for line in lines
        )
    if not readable:
        raise SignatureError(
            f"{path} is no list of revoked keys",
            "public keys, one a line, or what ssh-keygen -k makes",
            "put a good one there",
        )


def _names_of(key: str, lines: bytes) -> list[str]:
    """The principals of every line of allowed signers that holds this key."""
    names: list[str] = []
    for line in lines.splitlines():
        if (held := _key_of(line)) and key.endswith(f" {held}"):
            principals = line.split(None, 1)[0].decode("utf-8", "replace").strip('"')
            names += principals.split(",")
    return [name for name in names if not name.startswith("!")]


def _key_of(line: bytes) -> str | None:
    """The fingerprint of the public key on a line, as ssh-keygen shows it; None without one."""
    found = re.search(rb"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-\S+)\s+(AAAA[A-Za-z0-9+/]+={0,2})", line)
    if found is None or line.lstrip().startswith(b"#"):
        return None
    with suppress(ValueError):
        digest = hashlib.sha256(base64.b64decode(found[2], validate=True)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
    return None


def _refusal(said: str, key: str, allowed_signers: Path) -> SignatureError:
    """Why a key does not count, from ssh-keygen's words; those of an unknown key say nothing."""
    if found := re.search(r"key has expired: verify time (\S+) > valid-before (\S+)", said):
        return SignatureError(
            f"the key {key} expired on {found[2]} and it is {found[1]}",
            "a key that is valid",
            "sign the bundle with a newer key, or check this device's clock",
        )
    if found := re.search(r"not yet valid: verify time (\S+) < valid-after (\S+)", said):
        return SignatureError(
            f"the key {key} is valid from {found[2]} and it is {found[1]} here",
            "a key that is valid",
            "check this device's clock",
        )
    if "not permitted for use in signature namespace" in said:
        return SignatureError(
            f"the key {key} may not sign models",
            f'namespaces="{NAMESPACE}" in {allowed_signers}',
            "sign the bundle with another key, or let this key do so",
        )
    if "no valid principals found" in said:
        return SignatureError(
            f"the certificate of the key {key} does not count now: it expired, is not valid "
            f"yet, or names nobody of {allowed_signers}",
            "a certificate that is valid",
            "have it made anew, or check this device's clock",
        )
    if "No principal matched" in said or not said.strip():
        return SignatureError(
            f"the bundle is signed with the key {key}, which {allowed_signers} does not name",
            "a signer that this device knows",
            "sign it with another key, or add this key there",
        )
    return SignatureError(
        f"the signature was not accepted ({_last_line(said)})",
        f"a line that ssh-keygen understands for the key {key} in {allowed_signers}",
    )


def _keygen(
    question: str, signature: bytes, data: bytes, *options: str
) -> subprocess.CompletedProcess[bytes]:
    """Asks ``ssh-keygen -Y``; the signature goes through a pipe, so no disk is written."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise SignatureError(
            f"the signature has {len(signature):,} bytes", f"at most {MAX_SIGNATURE_BYTES:,} bytes"
        )
    reader, writer = os.pipe()
    try:
        os.write(writer, signature)
        os.close(writer)
        writer = -1
        return _run(
            ["ssh-keygen", "-Y", question, "-n", NAMESPACE, "-s", f"/dev/fd/{reader}", *options],
            data,
            reader,
        )
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _run(
    command: Sequence[str], data: bytes, *descriptors: int
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            input=data,
            capture_output=True,
            pass_fds=descriptors,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise SignatureError(
            "the program ssh-keygen is missing", "OpenSSH", "apt-get install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise SignatureError(f"ssh-keygen did not answer within {TIMEOUT_S:.0f} s") from None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "ssh-keygen said nothing"
