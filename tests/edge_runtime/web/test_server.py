"""Slow, large, broken and many connections; and what remains of them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from edge_runtime import Classifier
from edge_runtime.frames import LiveReading
from edge_runtime.web.limits import Limits


@pytest.fixture
def connect() -> Iterator[Callable[..., socket.socket]]:
    """``connect(client, data)`` opens a connection and sends this much; closed with the test."""
    with ExitStack() as stack:

        def opened(client: Any, data: bytes = b"") -> socket.socket:
            connection = socket.create_connection(client.address, timeout=30)
            connection.sendall(data)
            return stack.enter_context(connection)

        yield opened


def everything(connection: socket.socket) -> bytes:
    seen = b""
    while part := connection.recv(2**16):
        seen += part
    return seen


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    head, _, body = everything(connection).partition(b"\r\n\r\n")
    assert b"application/json" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /api/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nsome",
        b"POST /api/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=["silent", "headers", "body", "chunks"],
)
def test_slow_clients_do_not_keep_others_out(
    open_page: Callable[..., Any],
    connect: Callable[..., socket.socket],
    seven_png: bytes,
    begun: bytes,
) -> None:
    with open_page(camera=False, limits=Limits(connections=20)) as client:
        for _ in range(60):
            connect(client, begun)
            assert client("GET", "/healthz").status == 200
        assert client("POST", "/api/classify", seven_png).json["label"] == "7"
        assert client.preview._server.connections <= 21


def test_request_that_trickles_in_is_given_up(
    open_page: Callable[..., Any], connect: Callable[..., socket.socket]
) -> None:
    with open_page(camera=False, limits=Limits(request_s=1.0)) as client:
        slow = connect(client, b"GET / HTTP/1.1\r\n")
        slow.settimeout(0.2)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                slow.sendall(b"x")
                if slow.recv(100) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("it was never closed")


@pytest.mark.parametrize("said", [True, False], ids=["length said", "in chunks"])
def test_body_that_is_too_large_gets_its_answer(
    open_page: Callable[..., Any], connect: Callable[..., socket.socket], said: bool
) -> None:
    size = 4 * 2**20
    with open_page(camera=False, limits=Limits(body_bytes=2**20)) as client:
        length = f"Content-Length: {size}" if said else "Transfer-Encoding: chunked"
        connection = connect(
            client, f"POST /api/read HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
        )
        # A client sends everything before it listens.
        connection.sendall(b"" if said else f"{size:x}\r\n".encode())
        connection.sendall(bytes(size))
        status, told = answer_of(connection)
        assert status == 413
        assert "error" in told


def test_picture_between_the_limit_and_that_of_a_form_is_refused(
    open_page: Callable[..., Any],
) -> None:
    with open_page(camera=False, limits=Limits(body_bytes=1000)) as client:
        answer = client("POST", "/api/read", bytes(1001))
        assert answer.status == 413
        assert "1,001 bytes; at most 1,000" in answer.error
        assert client("POST", "/api/read", bytes(1000)).status == 400


def test_body_is_not_taken_from_whoever_has_no_token(
    open_page: Callable[..., Any], connect: Callable[..., socket.socket]
) -> None:
    with open_page(camera=False, token="a-token-of-some-length") as client:
        head = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"
        connection = connect(client, head)
        connection.shutdown(socket.SHUT_WR)
        assert answer_of(connection)[0] == 401


def test_whoever_is_refused_is_not_told_to_go_on(
    open_page: Callable[..., Any], connect: Callable[..., socket.socket]
) -> None:
    with open_page(camera=False, token="a-token-of-some-length") as client:
        head = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        connection = connect(client, head + b"Content-Length: 9999999\r\n\r\n")
        assert answer_of(connection)[0] == 401


def test_whoever_is_let_in_is_told_to_go_on(
    client: Any, connect: Callable[..., socket.socket], seven_png: bytes
) -> None:
    length = f"Connection: close\r\nContent-Length: {len(seven_png)}\r\n\r\n".encode()
    head = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    connection = connect(client, head + length)
    assert b"100 Continue" in connection.recv(4096)
    connection.sendall(seven_png)
    status, told = answer_of(connection)
    assert (status, told["text"]) == (200, "7")


def test_body_goes_to_nothing_but_the_api(client: Any) -> None:
    for path in ("/", "/api/status", "/static/app.js", "/none"):
        assert client("POST", path, bytes(5000)).status == 413


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nNo colon here\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_gets_one_line_of_json(
    client: Any, connect: Callable[..., socket.socket], data: bytes, status: int
) -> None:
    connection = connect(client, data)
    connection.shutdown(socket.SHUT_WR)
    code, told = answer_of(connection)
    assert code == status
    assert list(told) == ["error"]
    assert "\n" not in told["error"]
    assert client("GET", "/healthz").status == 200


def test_client_that_goes_before_its_answer_harms_nobody(
    client: Any, connect: Callable[..., socket.socket], seven_png: bytes
) -> None:
    head = f"POST /api/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(seven_png)}\r\n\r\n"
    for _ in range(20):
        connect(client, head.encode() + seven_png).close()
    end = time.monotonic() + 30
    while (answer := client("POST", "/api/classify", seven_png)).status == 503:
        assert time.monotonic() < end
    assert answer.json["label"] == "7"


def test_connection_is_kept_for_the_next_request(
    client: Any, connect: Callable[..., socket.socket]
) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection = connect(client, ask)
    for _ in range(3):
        seen = b""
        while not seen.endswith(b'{"status":"ok"}\n'):
            seen += connection.recv(4096)
        assert seen.startswith(b"HTTP/1.1 200")
        connection.sendall(ask)


def test_health_is_told_while_all_places_for_pictures_are_taken(
    open_page: Callable[..., Any], seven_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    predict = Classifier.predict

    def slow(self: Classifier, *args: Any, **kwargs: Any) -> Any:
        go_on.wait(60)
        return predict(self, *args, **kwargs)

    monkeypatch.setattr(Classifier, "predict", slow)
    with open_page(camera=False, limits=Limits(waiting=3)) as client:
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(client("POST", "/api/classify", seven_png).status)
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 30
        refused = None
        while time.monotonic() < end:
            if client.preview._inference._room._value == 0:
                refused = client("POST", "/api/classify", seven_png)
                break
        assert client("GET", "/healthz").status == 200
        assert client("GET", "/api/status").status == 200
        go_on.set()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 3
        assert refused is not None
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "1"
        assert "too many pictures at once" in refused.error


def test_viewers_take_no_thread_from_the_api(
    open_page: Callable[..., Any],
    connect: Callable[..., socket.socket],
    make_reading: Callable[..., LiveReading],
    seven_png: bytes,
) -> None:
    ask = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with open_page(max_viewers=30) as client:
        noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        # They never read: each is stuck in the middle of a frame.
        for _ in range(30):
            connect(client, ask)
        end = time.monotonic() + 30
        while client.preview._stream.viewers < 30:
            assert time.monotonic() < end
        client.preview.publish(make_reading(0, noise))
        for _ in range(5):
            assert client("POST", "/api/classify", seven_png).json["label"] == "7"
            assert client("GET", "/healthz").status == 200


def test_closing_ends_threads_and_connections(
    open_page: Callable[..., Any],
    connect: Callable[..., socket.socket],
    make_reading: Callable[..., LiveReading],
) -> None:
    before = set(threading.enumerate())
    with open_page() as client:
        client.preview.publish(make_reading())
        viewer = connect(client, b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        viewer.recv(100)
        idle = connect(client)
        address = client.address
    assert everything(idle) == b""
    everything(viewer)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    end = time.monotonic() + 30
    while set(threading.enumerate()) - before:
        assert time.monotonic() < end, set(threading.enumerate()) - before
        time.sleep(0.01)
