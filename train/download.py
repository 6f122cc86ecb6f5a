"""Fetching files over HTTP from mirrors of which any may be out of reach."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from .errors import DataError

__all__ = ["answering", "fetch"]

CHUNK_BYTES = 2**16
# How long a mirror may keep silent in the middle of a file.
STALL_S = 10.0


def answering(urls: Sequence[str], timeout_s: float) -> list[str]:
    """Those of `urls` that answer, asked all at once.

    Looking a name up has no timeout of its own and may hang for minutes on a machine whose name
    server is out of reach; a thread that hangs is left behind.

    Args:
        urls: One address for each mirror.
        timeout_s: How long to wait in all.

    Returns:
        The addresses that answered in time, in the order given.
    """
    alive: set[str] = set()

    def ask(url: str) -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=timeout_s):
                alive.add(url)
        except urllib.error.HTTPError as error:
            error.close()
        except (OSError, ValueError, http.client.HTTPException):
            pass

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [url for url in urls if url in alive]


def fetch(url: str, path: Path, limit_bytes: int) -> None:
    """Downloads a file, showing progress on stderr.

    Args:
        url: Where from.
        path: Where to; the caller checks the content and removes it if it is not what it should be.
        limit_bytes: A longer answer is refused.

    Raises:
        DataError: The mirror failed, fell silent, or sent too much or too little.
    """
    try:
        with urllib.request.urlopen(url, timeout=STALL_S) as answer, path.open("wb") as file:
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            name = url.rsplit("/", 1)[-1]
            received = 0
            with tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False) as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    received += len(chunk)
                    if received > limit_bytes:
                        raise DataError(f"{url} sent more than {limit_bytes:,} bytes")
                    file.write(chunk)
                    bar.update(len(chunk))
    except (http.client.HTTPException, ValueError, OSError) as error:
        if isinstance(error, DataError):
            raise
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        # A URLError that is no HTTPError wraps what really happened.
        reason = error.reason if type(error) is urllib.error.URLError else error
        raise DataError(f"{url} could not be downloaded: {reason}") from None
    if total is not None and received < total:
        raise DataError(f"{url} broke off after {received:,} of {total:,} bytes")
