"""Logging in to a network camera over HTTP (RFC 7617 basic, RFC 7616 digest)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.request import (
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    parse_http_list,
    parse_keqv_list,
)

from .address import Address

__all__ = ["answer_challenge"]


def answer_challenge(address: Address, challenges: Sequence[str]) -> str | None:
    """What to say when a camera asks who is there.

    Digest is preferred, because it does not send the password; most cameras offer it.

    Args:
        address: The camera's, with the user's name.
        challenges: The headers ``WWW-Authenticate`` of its answer.

    Returns:
        The header ``Authorization``; None without a user, or if it wants something else.
    """
    if address.user is None:
        return None
    kinds = [challenge.strip().partition(" ") for challenge in challenges]
    for kind, _, fields in kinds:
        if kind.lower() == "digest" and (answer := _digest(address, fields)):
            return f"Digest {answer}"
    # Some ask for nothing by name and mean this.
    if not kinds or any(kind.lower() == "basic" for kind, _, _ in kinds):
        login = f"{address.user}:{address.password or ''}".encode()
        return f"Basic {base64.b64encode(login).decode()}"
    return None


def _digest(address: Address, fields: str) -> str | None:
    """Python's own answer, or None if the challenge is damaged or of an unknown algorithm."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    request = Request(f"http://{host}:{address.port}{address.target}")
    known = HTTPPasswordMgrWithDefaultRealm()
    known.add_password(None, request.full_url, address.user or "", address.password or "")
    try:
        challenge = parse_keqv_list(list(filter(None, parse_http_list(fields))))
        return HTTPDigestAuthHandler(known).get_authorization(request, challenge)
    except (ValueError, KeyError, IndexError):
        return None
