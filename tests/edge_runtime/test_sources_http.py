from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.capture import Capture
from edge_runtime.errors import SourceError
from edge_runtime.frames import CameraState
from edge_runtime.machine import peak_memory_bytes
from edge_runtime.sources import FrameSource, open_source
from edge_runtime.sources.address import parse_address
from edge_runtime.sources.http import MAX_BAD_FRAMES, MjpegStream
from edge_runtime.sources.mjpeg import MAX_FRAME_BYTES

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")

LONG_ENOUGH_S = 60.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
Handler = Callable[[socket.socket, bytes], None]


def jpeg(value: int) -> bytes:
    done, data = cv2.imencode(".jpg", np.full((24, 32, 3), value, np.uint8))
    assert done
    return data.tobytes()


def part(body: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (
        len(body),
        body,
    )


@contextmanager
def serve(handle: Handler) -> Iterator[int]:
    """A server on a free port of this machine that hands each connection and request over."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        request = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in request:
                if not (more := connection.recv(4096)):
                    break
                request += more
            handle(connection, request)
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            connection.close()


def stream(port: int, path: str = "/", timeout_s: float = LONG_ENOUGH_S) -> FrameSource:
    return MjpegStream(parse_address(f"http://127.0.0.1:{port}{path}"), timeout_s=timeout_s)


def test_frames_come_as_rgb_and_then_the_stream_ends() -> None:
    red = np.zeros((24, 32, 3), np.uint8)
    red[:, :, 2] = 255  # OpenCV writes BGR.
    done, data = cv2.imencode(".jpg", red)
    assert done

    def handle(connection: socket.socket, request: bytes) -> None:
        assert request.startswith(b"GET /video?x=1 HTTP/1.1\r\n")
        connection.sendall(OK + part(data.tobytes()) + b"--frame--\r\n")

    with serve(handle) as port:
        source = stream(port, "/video?x=1")
        assert source.live
        assert source.open() == {"format": "MJPG"}
        frame = source.read()
        assert frame is not None
        assert frame.pixels.shape == (24, 32, 3)
        assert frame.pixels[12, 16, 0] > 200
        assert frame.pixels[12, 16, 2] < 60
        assert source.read() is None
        source.close()


def test_stream_in_chunks_is_read() -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        body = b"".join(part(jpeg(value)) for value in (40, 200))
        for start in range(0, len(body), 100):
            piece = body[start : start + 100]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.002)
        connection.sendall(b"0\r\n\r\n")

    with serve(handle) as port:
        source = stream(port)
        source.open()
        seen = []
        while (frame := source.read()) is not None:
            seen.append(int(frame.pixels.mean()))
        assert seen[-1] == pytest.approx(200, abs=3)
        source.close()


UNNAMED = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


@pytest.mark.parametrize("start", [b"", b"\r\n"])
@pytest.mark.parametrize("chunked", [False, True])
def test_stream_whose_kind_is_not_named_is_known_by_how_it_begins(
    start: bytes, chunked: bool
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(
            UNNAMED + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n")
        )
        body = start + part(jpeg(200)) + b"--frame--\r\n"
        for piece in (body[:1], body[1:4], body[4:9], body[9:]):  # The boundary comes in pieces.
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            time.sleep(0.05)

    with serve(handle) as port:
        source = stream(port)
        assert source.open() == {"format": "MJPG"}
        frame = source.read()
        assert frame is not None
        assert frame.pixels.mean() == pytest.approx(200, abs=3)
        assert source.read() is None
        source.close()


@pytest.mark.parametrize(
    "send",
    [
        lambda c: c.sendall(b"PK\x03\x04" + bytes(100)),
        lambda c: c.sendall(b"----\r\n\r\n"),
        lambda c: c.sendall(b"--\xff\xfe\r\n\r\n"),
        lambda c: c.sendall(b"--" + b"x" * 10**6),
        lambda c: c.sendall(b"\r\n" * 10**8),
        lambda c: None,
    ],
)
def test_bytes_of_no_kind_that_are_no_stream_are_refused_with_what_to_do(
    send: Callable[[socket.socket], None],
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(UNNAMED + b"\r\n")
        send(connection)

    with serve(handle) as port, pytest.raises(SourceError) as caught:
        stream(port).open()
    text = str(caught.value)
    assert "answers with application/octet-stream; a motion-JPEG stream (multipart/x-mixed" in text
    assert "-content_type 'multipart/x-mixed-replace;boundary=ffmpeg'" in text


@pytest.mark.parametrize("start", [b"", b"--fra"])
def test_stream_of_no_kind_that_says_nothing_is_an_error_in_time(start: bytes) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(UNNAMED + b"\r\n" + start)
        time.sleep(LONG_ENOUGH_S)

    with serve(handle) as port, pytest.raises(SourceError, match="no whole picture for 0.5 s"):
        stream(port, timeout_s=0.5).open()


def test_older_frames_that_have_piled_up_are_skipped_and_counted() -> None:
    sent = threading.Event()
    # Noise is large as JPEG: no single look into the socket has them all.
    noise = np.random.default_rng(0).integers(-20, 20, (160, 160, 3))

    def large(value: int) -> bytes:
        done, data = cv2.imencode(".jpg", (value + noise).astype(np.uint8))
        assert done
        return data.tobytes()

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK + part(jpeg(0)))
        sent.wait(LONG_ENOUGH_S)
        connection.sendall(b"".join(part(large(10 * value)) for value in range(3, 21)))
        time.sleep(LONG_ENOUGH_S)

    with serve(handle) as port:
        source = stream(port)
        source.open()
        source.read()
        sent.set()
        time.sleep(0.5)  # While we were busy with the first.
        frame = source.read()
        assert frame is not None
        assert frame.pixels.mean() == pytest.approx(200, abs=5)
        assert frame.skipped == 17
        source.close()


BASIC = b'WWW-Authenticate: Basic realm="cam"\r\n'
DIGEST = b'WWW-Authenticate: Digest realm="cam", qop="auth", nonce="n0", opaque="o"\r\n'


def locked(challenges: bytes, wanted: Callable[[bytes], bool], seen: list[bytes]) -> Handler:
    """A camera that lets in who says what is wanted."""

    def handle(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        (login,) = re.findall(rb"^Authorization: (.*)\r$", request, re.MULTILINE) or [b""]
        if wanted(login):
            connection.sendall(OK + part(jpeg(90)))
        else:
            refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"
            connection.sendall(refusal + challenges + b"\r\n")

    return handle


def digest_is_right(login: bytes) -> bool:
    """RFC 7616, section 3.4, worked out a second time."""
    if not login.startswith(b"Digest "):
        return False
    said = dict(re.findall(r'(\w+)="?([^",]*)', login.decode()))

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    who, what = md5("me", "cam", "s:cret"), md5("GET", said["uri"])
    expected = md5(who, "n0", said["nc"], said["cnonce"], "auth", what)
    return said["response"] == expected and said["uri"] == "/v?token=hidden"


def basic_is_right(login: bytes) -> bool:
    return login == b"Basic " + base64.b64encode(b"me:s:cret")


@pytest.mark.parametrize(
    ("challenges", "wanted"),
    [
        (BASIC, basic_is_right),
        (b"", basic_is_right),
        (DIGEST, digest_is_right),
        (BASIC + DIGEST, digest_is_right),
        (b'WWW-Authenticate: Digest realm="cam", algorithm=ROT13\r\n' + BASIC, basic_is_right),
    ],
)
def test_login_is_the_safest_that_the_camera_offers(
    challenges: bytes, wanted: Callable[[bytes], bool]
) -> None:
    seen: list[bytes] = []
    with serve(locked(challenges, wanted, seen)) as port:
        source = open_source(f"http://me:s%3Acret@127.0.0.1:{port}/v?token=hidden")
        source.open()
        assert source.read() is not None
        source.close()
    assert len(seen) == 2
    assert b"Authorization" not in seen[0]  # Nothing is said before it is asked.


@pytest.mark.parametrize(
    "challenges", [BASIC, DIGEST, b"", b"WWW-Authenticate: Negotiate\r\n", DIGEST[:30] + b"\r\n"]
)
def test_wrong_login_is_an_error_that_shows_no_secret(challenges: bytes) -> None:
    seen: list[bytes] = []
    with serve(locked(challenges, lambda login: False, seen)) as port:
        url = f"http://me:s%3Acret@127.0.0.1:{port}/v?token=hidden"
        source = open_source(url)
        with pytest.raises(SourceError, match="does not let this user in") as caught:
            source.open()
    assert len(seen) <= 2
    for text in (str(caught.value), source.name, repr(parse_address(url))):
        for secret in ("cret", "hidden", "me:"):
            assert secret not in text


def test_redirect_is_followed_and_the_login_stays_at_home() -> None:
    target: list[bytes] = []
    with serve(locked(BASIC, lambda login: False, target)) as other:
        asked: list[bytes] = []

        def handle(connection: socket.socket, request: bytes) -> None:
            asked.append(request)
            if request.startswith(b"GET /old"):
                connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /new\r\n\r\n")
            elif b"Authorization" not in request:
                connection.sendall(b"HTTP/1.1 401 No\r\n" + BASIC + b"\r\n")
            else:
                where = b"http://127.0.0.1:%d/v" % other
                connection.sendall(b"HTTP/1.1 307 Go\r\nLocation: " + where + b"\r\n\r\n")

        with serve(handle) as port, pytest.raises(SourceError, match="does not let this user in"):
            open_source(f"http://me:secret@127.0.0.1:{port}/old").open()
    assert [request.split()[1] for request in asked] == [b"/old", b"/new", b"/new"]
    assert b"Authorization" in asked[2]
    assert len(target) == 1
    assert b"Authorization" not in target[0]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (b"/again", "redirects more than 5 times"),
        (b"file:///etc/passwd", "redirects to no address"),
        (b"rtsp://127.0.0.1/", "redirects to rtsp"),
        (b"http://[", "redirects to no address"),
    ],
)
def test_redirect_that_leads_nowhere_is_refused(location: bytes, message: str) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n\r\n")

    with serve(handle) as port, pytest.raises(SourceError, match=message):
        stream(port).open()


def drip(connection: socket.socket, data: bytes) -> None:
    """A byte now and then, so that no single wait is ever long."""
    for value in data * 10_000:
        connection.sendall(bytes([value]))
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda c: c.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n"), "status 404"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "of no kind"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"), "text/html"),
        (lambda c: c.sendall(OK.replace(b"; boundary=frame", b"")), "what separates"),
        (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not answer as HTTP"),
        (lambda c: c.close(), "does not answer as HTTP"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000), "as HTTP"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**6), "as HTTP"),
        (lambda c: time.sleep(LONG_ENOUGH_S), "no whole picture for 0.5 s"),
        (lambda c: drip(c, b"HTTP/1.1 200 OK\r\nX: "), "no whole picture for 0.5 s"),
    ],
)
def test_server_that_sends_no_stream_is_an_error_in_time(
    answer: Callable[[socket.socket], None], message: str
) -> None:
    with serve(lambda connection, _: answer(connection)) as port:
        source = stream(port, timeout_s=0.5)
        with pytest.raises(SourceError, match=message) as caught:
            source.open()
        assert f"http://127.0.0.1:{port}" in str(caught.value)
        source.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda c: c.sendall(b"no boundary at all " * 10_000), "no picture in"),
        (lambda c: c.sendall(b"--frame\r\n" + b"X: y\r\n" * 100_000), "no picture in"),
        (lambda c: c.sendall(b"--frame\r\nContent-Length: 99999999999\r\n\r\n"), "at most"),
        (lambda c: c.sendall(b"--frame\r\n\r\n" + b"x" * (MAX_FRAME_BYTES + 2**20)), "at most"),
        (lambda c: time.sleep(LONG_ENOUGH_S), "no whole picture for 1 s"),
        (lambda c: drip(c, b"--frame\r\n\r\nx"), "no whole picture for 1 s"),
    ],
)
def test_hostile_stream_is_an_error_and_takes_no_memory(
    answer: Callable[[socket.socket], None], message: str
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK)
        answer(connection)

    before = peak_memory_bytes() or 0
    slow = "1 s" in message
    with serve(handle) as port:
        source = stream(port, timeout_s=1.0 if slow else LONG_ENOUGH_S)
        source.open()
        with pytest.raises(SourceError, match=message) as caught:
            source.read()
        assert str(caught.value).startswith(f"http://127.0.0.1:{port}")
        source.close()
    # The picture's bound, and what the server of this test holds itself.
    assert (peak_memory_bytes() or 0) - before < 6 * MAX_FRAME_BYTES


def test_few_damaged_pictures_are_passed_over_many_are_an_error() -> None:
    broken = jpeg(50)[:-20]

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK)
        for body in (broken, b"garbage", jpeg(120), *[broken] * (2 * MAX_BAD_FRAMES)):
            connection.sendall(part(body))
            time.sleep(0.05)
        time.sleep(LONG_ENOUGH_S)

    with serve(handle) as port:
        source = stream(port)
        source.open()
        frame = source.read()
        assert frame is not None
        assert frame.pixels.mean() == pytest.approx(120, abs=3)
        with pytest.raises(SourceError, match="10 pictures one after another"):
            source.read()
        source.close()


def test_picture_that_claims_to_be_huge_is_not_decoded() -> None:
    claim = bytearray(jpeg(50))
    place = claim.index(b"\xff\xc0") + 5
    claim[place : place + 4] = b"\x27\x10\x27\x10"  # 10,000 by 10,000: 300 MB.

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK)
        while True:
            connection.sendall(part(bytes(claim)))
            time.sleep(0.01)

    before = peak_memory_bytes() or 0
    with serve(handle) as port:
        source = stream(port)
        source.open()
        with pytest.raises(SourceError, match="10000 x 10000 pixels"):
            source.read()
        source.close()
    assert (peak_memory_bytes() or 0) - before < 100 * 2**20


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match="127.0.0.1 refuses the connection"):
        stream(port).open()


def test_https_with_a_server_that_speaks_none() -> None:
    with serve(lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        source = open_source(f"https://127.0.0.1:{port}/")
        with pytest.raises(SourceError, match="https://127.0.0.1"):
            source.open()


def test_close_wakes_a_read_in_another_thread() -> None:
    with serve(lambda c, _: (c.sendall(OK), time.sleep(LONG_ENOUGH_S))) as port:
        source = stream(port)
        source.open()
        ended = threading.Event()

        def read() -> None:
            with suppress(SourceError):
                source.read()
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.2)
        source.close()
        assert ended.wait(LONG_ENOUGH_S / 2)
        with pytest.raises(SourceError, match="was closed"):
            source.read()


def test_capture_closes_a_stream_that_gives_nothing_and_leaves_no_thread() -> None:
    asked = threading.Event()

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK)
        asked.set()
        time.sleep(LONG_ENOUGH_S)

    with serve(handle) as port:
        capture = Capture(stream(port, timeout_s=10 * LONG_ENOUGH_S))
        capture.start()
        assert asked.wait(LONG_ENOUGH_S)
        time.sleep(0.2)
        capture.close()
        deadline = time.monotonic() + LONG_ENOUGH_S / 2
        while any(thread.name.startswith("capture") for thread in threading.enumerate()):
            assert time.monotonic() < deadline, threading.enumerate()
            time.sleep(0.05)


class FFmpegCamera:
    """ffmpeg as a network camera: it serves one viewer and ends with it, so it is started anew."""

    def __init__(self, program: str, port: int, *options: str) -> None:
        self.command = [
            program, "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi",
            "-i", "testsrc=size=320x240:rate=25", "-c:v", "mjpeg", "-f", "mpjpeg",
            "-listen", "1", *options,
            f"http://127.0.0.1:{port}/video",
        ]  # fmt: skip
        self.process = subprocess.Popen(self.command)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command)


@pytest.fixture
def ffmpeg_camera(require_tool: Callable[[str], str]) -> Iterator[tuple[FFmpegCamera, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = "-content_type", "multipart/x-mixed-replace;boundary=ffmpeg"
    camera = FFmpegCamera(require_tool("ffmpeg"), port, *options)
    yield camera, port
    camera.kill()


def test_ffmpeg_killed_and_started_again_is_recovered_from(
    ffmpeg_camera: tuple[FFmpegCamera, int],
) -> None:
    camera, port = ffmpeg_camera
    descriptors = Path("/proc/self/fd")
    with Capture(open_source(f"http://127.0.0.1:{port}/video")) as capture:

        def frames(count: int) -> list[int]:
            numbers: list[int] = []
            deadline = time.monotonic() + LONG_ENOUGH_S
            while len(numbers) < count:
                assert time.monotonic() < deadline, capture.status
                if (frame := capture.newest(1.0)) is not None:
                    assert frame.pixels.shape == (240, 320, 3)
                    numbers.append(frame.number)
            return numbers

        before = frames(5)
        open_before = len(os.listdir(descriptors))
        camera.kill()
        deadline = time.monotonic() + 20
        while capture.status.state is not CameraState.ABSENT:
            assert time.monotonic() < deadline, capture.status
            time.sleep(0.05)
        assert str(port) in capture.status.reason
        camera.start()
        while capture.newest(0) is not None:
            pass
        after = frames(5)
        assert after[0] > before[-1]
        assert capture.status.reconnections == 1
        assert capture.status.state is CameraState.RUNNING
        assert len(os.listdir(descriptors)) <= open_before + 1


def test_ffmpeg_that_is_not_told_what_to_call_its_stream_is_read(
    require_tool: Callable[[str], str],
    wait_until: Callable[..., None],
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    camera = FFmpegCamera(require_tool("ffmpeg"), port)
    try:
        with Capture(open_source(f"http://127.0.0.1:{port}/video")) as capture:
            wait_until(lambda: capture.newest(1.0), "a frame")
            assert capture.status.state is CameraState.RUNNING
    finally:
        camera.kill()
