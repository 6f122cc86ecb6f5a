"""A network camera that sends motion JPEG over HTTP.

A client of our own, because a camera in the attic is not to be trusted with our time and memory:
each wait has a deadline that dripping bytes do not move, each size a bound.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin

from ..errors import EdgeRuntimeError, ImageError, InputError, SourceError
from ..images import decode_image
from .address import Address, parse_address
from .base import READ_TIMEOUT_S, DeviceSource, FrameData, FrameSource, Wanted
from .login import answer_challenge
from .mjpeg import ChunkDecoder, PartParser, find_boundary, first_boundary, is_unnamed

__all__ = ["MjpegStream"]

MAX_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))
MAX_FRAME_PIXELS = 32_000_000
"""8K has 33 million; a JPEG of a few bytes can claim to have a hundred million."""
MAX_BAD_FRAMES = 10
RECEIVE_BYTES = 2**16
# Older pictures that came while the last one was decoded are dropped, but not for ever.
MAX_SKIPPED = 100


class MjpegStream(DeviceSource):
    """A motion-JPEG stream over HTTP or HTTPS.

    Args:
        address: Where it is, with user and password if it wants them.
        wanted: Nothing can be set.
        timeout_s: Seconds in which it must answer, and in which each frame must come.
    """

    def __init__(
        self, address: Address, wanted: Wanted | None = None, timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        wanted = (wanted or Wanted()).only("a network stream, which is set up in the camera")
        super().__init__(address.shown, wanted)
        self._address = address
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._reader: _DeadlineReader | None = None
        self._chunks: ChunkDecoder | None = None
        self._parser: PartParser | None = None
        self._ended = False
        self._bad = 0

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return MjpegStream(self._address, self._wanted, self._timeout_s)

    def _open(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout_s
        try:
            self._accept(self._answer(deadline), deadline)
        except (TimeoutError, OSError, http.client.HTTPException) as error:
            raise SourceError(*self._trouble(error)) from None
        return {"format": "MJPG"}

    def _answer(self, deadline: float) -> http.client.HTTPResponse:
        """The answer after all redirects, logged in if the camera asks for it."""
        address, login, redirects = self._address, None, 0
        while True:
            response = self._request(address, login, deadline)
            if response.status in REDIRECTS:
                redirects += 1
                if redirects > MAX_REDIRECTS:
                    raise SourceError(f"{self.name} redirects more than {MAX_REDIRECTS} times")
                address = self._redirected(address, response.headers.get("Location", ""))
                login = None
            elif response.status == http.client.UNAUTHORIZED and login is None:
                challenges = response.headers.get_all("WWW-Authenticate") or []
                login = answer_challenge(address, challenges)
                if login is None:
                    return response
            else:
                return response
            self._release()

    def _request(
        self, address: Address, login: str | None, deadline: float
    ) -> http.client.HTTPResponse:
        plain = socket.create_connection(
            (address.host, address.port), timeout=max(0.1, deadline - time.monotonic())
        )
        self._socket = plain
        if address.scheme == "https":
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(plain, server_hostname=address.host)
        self._reader = _DeadlineReader(self._socket, deadline)
        connection = http.client.HTTPConnection(address.host, address.port)
        connection.sock = _Wire(self._socket, self._reader)
        headers = {"Accept": "multipart/x-mixed-replace, image/jpeg", "Connection": "close"}
        if login is not None:
            headers["Authorization"] = login
        connection.request("GET", address.target, headers=headers)
        return connection.getresponse()

    def _redirected(self, old: Address, location: str) -> Address:
        """Where a redirect leads. A login goes along only to the same place."""
        try:
            new = parse_address(
                urljoin(f"{old.scheme}://{old.host}:{old.port}{old.target}", location)
            )
        except (InputError, ValueError):
            raise SourceError(f"{self.name} redirects to no address") from None
        if new.scheme not in ("http", "https"):
            raise SourceError(f"{self.name} redirects to {new.scheme}", "http or https")
        # Not to another host, and not from encrypted to plain.
        if (new.scheme, new.host, new.port) == (old.scheme, old.host, old.port):
            return Address(**{**vars(new), "user": old.user, "password": old.password})
        return new

    def _accept(self, response: http.client.HTTPResponse, deadline: float) -> None:
        if response.status == http.client.UNAUTHORIZED:
            raise SourceError(
                f"{self.name} does not let this user in",
                "its user and password",
                "give them as http://USER:PASSWORD@HOST/…",
            )
        if response.status != http.client.OK:
            raise SourceError(
                f"{self.name} answers with status {response.status}",
                "a stream",
                "look the stream's address up in the camera's manual",
            )
        try:
            self._chunks = ChunkDecoder() if response.chunked else None
            # What came together with the headers; from here on the socket is read directly.
            assert self._reader is not None
            self._reader.exhausted = True
            self._ended = response.fp is None  # An answer of no bytes.
            data = self._body(b"" if response.fp is None else response.fp.read())
            content_type = response.headers.get("Content-Type", "")
            boundary = b""
            if is_unnamed(content_type):
                boundary, data = self._first_boundary(data, deadline)
            self._parser = PartParser(boundary or find_boundary(content_type))
            self._feed(data)
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}") from None

    def _first_boundary(self, data: bytes, deadline: float) -> tuple[bytes, bytes]:
        """The boundary that a body begins with, empty for none, and the bytes it was found in."""
        while (boundary := first_boundary(data)) is None and not self._ended:
            data += self._receive(deadline)
        return boundary or b"", data

    def _read(self) -> FrameData | None:
        try:
            picture, skipped = self._newest_picture()
            while picture is not None:
                began = time.perf_counter()
                try:
                    pixels = decode_image(picture, "a frame", MAX_FRAME_PIXELS)
                except ImageError as error:
                    self._bad += 1
                    if self._bad >= MAX_BAD_FRAMES:
                        raise SourceError(
                            f"{self.name} sent {self._bad} pictures one after another that cannot "
                            f"be decoded; {error}"
                        ) from None
                    picture, skipped = self._newest_picture()
                    continue
                self._bad = 0
                return FrameData(pixels, (time.perf_counter() - began) * 1000, None, skipped)
        except EdgeRuntimeError as error:
            text = str(error)
            prefix = "" if text.startswith(self.name) else f"{self.name}: "
            raise type(error)(prefix + text) from None
        except (TimeoutError, OSError) as error:
            raise SourceError(*self._trouble(error)) from None
        return None

    def _newest_picture(self) -> tuple[bytes | None, int]:
        """The newest picture that has come whole, and how many older ones it leaves behind."""
        assert self._parser is not None
        deadline = time.monotonic() + self._timeout_s
        newest, skipped = self._parser.next_picture(), 0
        while not self._ended and not self._closing.is_set() and skipped < MAX_SKIPPED:
            if newest is not None and not self._waiting():
                break
            self._feed(self._receive(deadline))
            while (picture := self._parser.next_picture()) is not None:
                skipped += newest is not None
                newest = picture
        return newest, skipped

    def _waiting(self) -> bool:
        """Whether bytes are there already."""
        assert self._socket is not None
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def _receive(self, deadline: float) -> bytes:
        """The next bytes of the body."""
        assert self._socket is not None
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            self._ended = True
        return self._body(data)

    def _body(self, data: bytes) -> bytes:
        """What came on the wire, without the sizes of chunks."""
        if self._chunks is not None:
            data = self._chunks.feed(data)
            self._ended = self._ended or self._chunks.ended
        return data

    def _feed(self, data: bytes) -> None:
        assert self._parser is not None
        self._parser.feed(data)
        self._ended = self._ended or self._parser.ended

    def _trouble(self, error: Exception) -> tuple[str, str, str]:
        """The parts of an error for what went wrong on the network; never the address itself."""
        host, check = self._address.host, "check that the camera is switched on and its address"
        if isinstance(error, TimeoutError):
            return f"{self.name} sent no whole picture for {self._timeout_s:g} s", "", check
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"{self.name} has a certificate that cannot be verified",
                "one by a known authority",
                "use http in a network that you trust, or install the camera's certificate",
            )
        if isinstance(error, socket.gaierror):
            return f"{self.name}: the host {host} is not known", "", check
        if isinstance(error, ConnectionRefusedError):
            return f"{self.name}: {host} refuses the connection", "", check
        if isinstance(error, http.client.HTTPException):
            return f"{self.name} does not answer as HTTP ({type(error).__name__})", "", check
        return f"{self.name}: {error.__class__.__name__}", "", check

    def _interrupt(self) -> None:
        wire = self._socket
        if wire is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        wire, self._socket = self._socket, None
        if wire is not None:
            wire.close()


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a moment, however slowly its bytes drip."""

    def __init__(self, wire: socket.socket, deadline: float) -> None:
        self._wire = wire
        self._deadline = deadline
        # From now on only what a buffer above holds is wanted.
        self.exhausted = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.exhausted:
            return 0
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._wire.settimeout(remaining)
        return self._wire.recv_into(buffer)


class _Wire:
    """As much of a socket as `http.client` uses, read with a deadline."""

    def __init__(self, wire: socket.socket, reader: _DeadlineReader) -> None:
        self._wire = wire
        self._reader = reader

    def sendall(self, data: Any) -> None:
        self._wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)

    def close(self) -> None:
        """The stream goes on after `http.client` is through with its headers."""
