from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.frames import LiveReading
from edge_runtime.web.limits import Limits
from edge_runtime.web.stream import BOUNDARY, Stream, draw_jpeg

cv2 = pytest.importorskip("cv2")

Make = Callable[..., LiveReading]
Watch = Callable[[Stream], socket.socket]


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def frame_number(reading: LiveReading, _: int) -> bytes:
    return f"<{reading.frame.number}>".encode()


@contextmanager
def opened(encode: Callable[[LiveReading, int], bytes], **limits: float) -> Iterator[Stream]:
    stream = Stream(replace(Limits(stream_fps=1000), **limits), 2, encode)  # type: ignore[arg-type]
    stream.start()
    try:
        yield stream
    finally:
        stream.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """``watch(stream)`` is a viewer's end of a connection, closed with the test."""
    with ExitStack() as viewers:

        def connect(stream: Stream) -> socket.socket:
            ours, theirs = socket.socketpair()
            assert stream.admit()
            stream.show(theirs, b"HEAD\r\n\r\n")
            ours.settimeout(30)
            return viewers.enter_context(ours)

        yield connect


def read_until(viewer: socket.socket, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        part = viewer.recv(2**16)
        assert part, f"the stream ended with {seen[-200:]!r}"
        seen = seen[-100:] + part if len(seen) > 2**17 else seen + part
    return seen


def test_parts_are_what_a_browser_shows(make_reading: Make, watch: Watch) -> None:
    with opened(frame_number) as stream:
        viewer = watch(stream)
        stream.publish(make_reading(7))
        seen = read_until(viewer, b"<7>\r\n--" + BOUNDARY.encode() + b"\r\n")
    part = b"--" + BOUNDARY.encode() + b"\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\n"
    assert seen.startswith(b"HEAD\r\n\r\n" + part)


def test_nothing_is_encoded_while_nobody_watches(make_reading: Make, watch: Watch) -> None:
    with opened(frame_number) as stream:
        for number in range(50):
            stream.publish(make_reading(number))
        time.sleep(0.1)
        assert stream.encoded == 0
        viewer = watch(stream)
        assert b"<49>" in read_until(viewer, b">")
        viewer.close()
        until(lambda: stream.viewers == 0)
        before = stream.encoded
        stream.publish(make_reading(50))
        time.sleep(0.1)
        assert stream.encoded == before


def test_who_comes_late_sees_the_picture_that_stands(make_reading: Make, watch: Watch) -> None:
    with opened(frame_number) as stream:
        stream.publish(make_reading(1))
        first = watch(stream)
        read_until(first, b"<1>")
        second = watch(stream)
        read_until(second, b"<1>")
        for viewer in (first, second):
            viewer.close()
        until(lambda: stream.viewers == 0)
        read_until(watch(stream), b"<1>")


def test_one_viewer_more_than_there_are_places_is_refused_until_one_goes(watch: Watch) -> None:
    with opened(frame_number) as stream:
        first, _second = watch(stream), watch(stream)
        assert not stream.admit()
        first.close()
        until(stream.admit)


def test_slow_viewer_skips_frames_and_holds_nobody_up(make_reading: Make, watch: Watch) -> None:
    def encode(reading: LiveReading, _: int) -> bytes:
        return frame_number(reading, 0) + bytes(2**19)

    with opened(encode, send_s=300) as stream:
        slow, quick = watch(stream), watch(stream)
        for number in range(30):
            stream.publish(make_reading(number))
            read_until(quick, b"<%d>" % number)
        assert stream.viewers == 2
        seen = b""
        while b"<29>" not in seen:
            seen += slow.recv(2**20)
        # The first frame, perhaps one that was on its way, and the newest.
        assert seen.count(b"Content-Type") <= 3


def test_viewer_that_takes_nothing_is_sent_away(make_reading: Make, watch: Watch) -> None:
    with opened(lambda *_: bytes(2**22), send_s=0.2) as stream:
        _viewer = watch(stream)
        stream.publish(make_reading())
        until(lambda: stream.viewers == 0)


def test_frame_that_cannot_be_drawn_is_logged_once_and_the_next_is_shown(
    make_reading: Make,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
) -> None:
    monkeypatch.setattr("edge_runtime.web.stream.PATROL_S", 0.01)

    def encode(reading: LiveReading, _: int) -> bytes:
        if reading.frame.number < 2:
            raise ValueError("no such colour")
        return frame_number(reading, 0)

    with opened(encode) as stream, caplog.at_level(logging.ERROR):
        viewer = watch(stream)
        for number in range(3):
            stream.publish(make_reading(number))
            time.sleep(0.1)
        read_until(viewer, b"<2>")
    assert len(caplog.records) == 1


def test_closing_sends_everybody_away(watch: Watch) -> None:
    with opened(frame_number) as stream:
        viewers = [watch(stream), watch(stream)]
    for viewer in viewers:
        while viewer.recv(4096):
            pass
    assert not stream.admit()
    until(lambda: stream.viewers == 0)


@pytest.mark.parametrize("shape", [(120, 160, 3), (120, 160)])
def test_frame_becomes_a_jpeg_with_its_boxes(make_reading: Make, shape: tuple[int, ...]) -> None:
    reading = make_reading(0, np.full(shape, 200, np.uint8))
    jpeg = draw_jpeg(reading, 1280)
    drawn = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (120, 160, 3)
    assert (np.abs(drawn.astype(int) - 200) > 40).any()


def test_colours_are_not_exchanged_and_large_frames_are_made_smaller(make_reading: Make) -> None:
    red = np.zeros((300, 600, 3), np.uint8)
    red[:, :, 0] = 255
    drawn = cv2.imdecode(np.frombuffer(draw_jpeg(make_reading(0, red), 200), np.uint8), 1)
    assert drawn.shape == (100, 200, 3)
    blue, green, red_again = drawn[90, 190]
    assert red_again > 200
    assert max(blue, green) < 60
