"""Waitress, with what it leaves to us.

Waitress reads requests and sends answers in one thread that never blocks, and runs the application
in a few others; a slow client costs it a connection and no thread. Added here: a deadline for
sending a request, room for new connections when slow ones hold all, a look at the headers before a
large body is taken in, errors as JSON, and handing a connection over to a thread of its own.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error

from ..errors import InputError
from .limits import Limits

__all__ = ["TAKE_SOCKET", "Gate", "Refusal", "Server", "listen"]

TAKE_SOCKET = "edge_runtime.take_socket"
"""Name in the WSGI environment: a function that gives the connection's socket to its caller, who
then sends the whole answer; what the application returns is not sent."""

# Threads beyond those that wait for the classifier: they answer /healthz while all of those wait.
SPARE_THREADS = 4
# Of a request: a cookie and some headers have less.
MAX_HEADER_BYTES = 16 * 2**10
# Bodies beyond this go to a temporary file while they arrive.
MEMORY_BODY_BYTES = 2**18
# A multipart body is so much longer than its picture, at most.
MULTIPART_BYTES = 2**16
# How often deadlines are looked at.
PATROL_S = 1
# Seconds for which a kept-alive connection may be idle.
IDLE_S = 60
# After a refusal a client goes on sending what it began; closing at once would make its system
# throw our answer away. So much more is read and forgotten, for so long.
DRAIN_BYTES, DRAIN_S = 2**27, 10.0


@dataclass(frozen=True)
class Refusal:
    """Why a request is answered before its body is read."""

    code: int
    reason: str
    message: str


Gate = Callable[[str, str, dict[str, str], int], Refusal | None]
"""Asked with method, path, headers (``CONTENT_TYPE`` …) and the length of the body that is to come
(-1: not said, because it comes in chunks)."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, or the reason why not.

    Args:
        host: A name or an address of this machine; "0.0.0.0" or "::" for all.
        port: The port; 0 for any that is free.

    Raises:
        InputError: It cannot be listened on.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind)
    except OSError as error:
        raise InputError(
            f"{host} is no address of this machine: {error.strerror or error}",
            "a name or an IP address",
            "take 127.0.0.1 for this machine alone, 0.0.0.0 for the network",
        ) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise InputError(
            f"port {port} of {host} cannot be used: {error.strerror or error}",
            "a free port above 1023",
            "choose another, or end the program that has it",
        ) from None
    return listening


class Server:
    """A WSGI application behind a listening socket, served by threads of its own."""

    def __init__(
        self, application: Callable[..., Any], listening: socket.socket, limits: Limits, gate: Gate
    ) -> None:
        adjustments = Adjustments(
            sockets=[listening],
            threads=limits.waiting + SPARE_THREADS,
            connection_limit=limits.connections * 4,  # Ours is kept by making room.
            channel_timeout=IDLE_S,
            cleanup_interval=PATROL_S,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=limits.body_bytes + MULTIPART_BYTES,
            inbuf_overflow=MEMORY_BODY_BYTES,
            ident=None,
            asyncore_use_poll=True,
            log_socket_errors=False,  # A client that goes is no error.
        )
        self._map: dict[int, Any] = {}
        self._dispatcher = ThreadedTaskDispatcher()
        # Its only word is that tasks wait, which is what a queue is for.
        self._dispatcher.queue_logger = _Silent()
        self._closing = False
        self._server = _Listener(
            application,
            self._map,
            _sock=listening,
            dispatcher=self._dispatcher,
            adj=adjustments,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            bind_socket=False,
        )
        self._server.limits, self._server.gate = limits, gate
        self._threads = adjustments.threads
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def connections(self) -> int:
        """Open connections, without those of viewers."""
        return len(self._server.active_channels)

    def start(self) -> None:
        """Begins to answer."""
        self._dispatcher.set_thread_count(self._threads)
        self._thread.start()

    def close(self) -> None:
        """Stops listening and closes all connections; requests at work are not waited for."""
        self._closing = True
        if self._thread.ident is None:
            self._server.close()
            return
        self._server.pull_trigger()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._closing:
            wasyncore.loop(timeout=PATROL_S, use_poll=True, map=self._map, count=1)
        self._dispatcher.shutdown(timeout=0.5)
        wasyncore.close_all(self._map, ignore_all=True)


class _Silent:
    def warning(self, *_: object) -> None:
        """Says nothing."""


class _Error(Error):
    """What waitress calls the reason for an `ErrorTask`."""

    def __init__(self, refusal: Refusal) -> None:
        self.code, self.reason, self.body = refusal.code, refusal.reason, refusal.message


class _Parser(HTTPRequestParser):
    """Reads a request; asks the gate when it knows the headers."""

    gate: Gate
    error: Error | None
    asked = False

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if self.headers_finished and not self.asked and not self.error:
            self.asked = True
            length = -1 if self.chunked else self.content_length
            refusal = self.gate(self.command, self.path, self.headers, length)
            if refusal is not None:
                self.error = _Error(refusal)
                self.completed = True
                # Who waits to be told to go on would be told so, and send all of it.
                self.expect_continue = False
        return consumed


class _ErrorTask(ErrorTask):
    """Answers what never became a request."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps({"error": " ".join(str(error.body).split())}).encode() + b"\n"
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "application/json"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
        ]
        if error.code == 401:
            self.response_headers.append(("WWW-Authenticate", "Bearer"))
        self.channel.body_unread = True
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Task(WSGITask):
    """Answers a request, or lets the application have the connection."""

    taken = False

    def execute(self) -> None:
        self.get_environment()[TAKE_SOCKET] = self.take_socket
        super().execute()

    def take_socket(self) -> socket.socket:
        # A copy: waitress closes its own as after any last answer, and the connection lives on.
        if not self.channel.connected or self.channel.total_outbufs_len:
            raise ConnectionError("the connection is closed, or an earlier answer is on its way")
        self.taken = True
        copy: socket.socket = self.channel.socket.dup()
        return copy

    def finish(self) -> None:
        if self.taken:
            self.close_on_finish = True
        else:
            super().finish()


class _Channel(HTTPChannel):
    """A connection."""

    task_class = _Task
    error_task_class = _ErrorTask
    # The answer goes out although the request has not been read to its end.
    body_unread = False
    close_when_flushed: bool
    draining_since: float | None = None
    drained = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle_since = self.request_since = time.monotonic()

    def parser_class(self, adjustments: Adjustments) -> _Parser:
        """Called for each request with its first bytes."""
        self.request_since = time.monotonic()
        parser = _Parser(adjustments)
        parser.gate = self.server.gate
        return parser

    def service(self) -> None:
        super().service()
        self.idle_since = time.monotonic()

    def readable(self) -> bool:
        return self.draining_since is not None or bool(super().readable())

    def writable(self) -> bool:
        if self.draining_since is not None:
            return bool(self.will_close)
        return bool(super().writable())

    def handle_read(self) -> None:
        if self.draining_since is None:
            super().handle_read()
            return
        data = self.recv(self.adj.recv_bytes)  # Closes the channel at the end.
        self.drained += len(data)
        if self.drained > DRAIN_BYTES:
            self.handle_close()

    def handle_write(self) -> None:
        if self.close_when_flushed and self.body_unread:
            self._flush_exception(self._flush_some)
            if self.total_outbufs_len or self.will_close or not self.connected:
                return
            self.close_when_flushed = False
            self.draining_since = time.monotonic()
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()
        else:
            super().handle_write()

    def overdue(self, now: float, request_s: float) -> bool:
        """Whether it has had its time."""
        if self.draining_since is not None:
            return now - self.draining_since > DRAIN_S
        if self.requests:
            return False
        partial = self.request is not None or self.idle_since == self.request_since
        return partial and now - self.request_since > request_s


class _Listener(TcpWSGIServer):
    """Accepts connections."""

    channel_class = _Channel
    limits = Limits()
    gate: Gate

    def handle_accept(self) -> None:
        super().handle_accept()
        if len(self.active_channels) <= self.limits.connections:
            return
        # Slow or idle clients must not keep others out: who has been served no longer than all
        # others makes room, whatever it sends meanwhile.
        waiting: Iterable[_Channel] = (c for c in self.active_channels.values() if not c.requests)
        oldest = min(waiting, key=lambda channel: channel.idle_since, default=None)
        if oldest is not None:
            oldest.handle_close()

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        clock = time.monotonic()
        for channel in self.active_channels.values():
            if channel.overdue(clock, self.limits.request_s):
                channel.will_close = True
