from __future__ import annotations

import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources.mjpeg import (
    MAX_HEADER_BYTES,
    ChunkDecoder,
    PartParser,
    find_boundary,
)


def part(body: bytes, *headers: bytes, boundary: bytes = b"--frame") -> bytes:
    return b"\r\n".join([boundary, *headers, b"", body]) + b"\r\n"


def counted(body: bytes, boundary: bytes = b"--frame") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return part(body, b"Content-Type: image/jpeg", length, boundary=boundary)


def parse(stream: bytes, step: int, parser: PartParser | None = None) -> list[bytes]:
    """The pictures of a stream that comes `step` bytes at a time."""
    parser = parser or PartParser(b"frame")
    found = []
    for start in range(0, len(stream), step):
        parser.feed(stream[start : start + step])
        while (picture := parser.next_picture()) is not None:
            found.append(picture)
    return found


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize("with_length", [True, False])
def test_pictures_are_cut_out_however_the_bytes_come(step: int, with_length: bool) -> None:
    bodies = [b"one", b"two\r\n--fram\r\n", b"\n\r\n\r" * 50, b"4--frame--"]
    make = counted if with_length else lambda body: part(body, b"Content-Type: image/jpeg")
    stream = b"preamble\r\n" + b"".join(map(make, bodies)) + b"--frame--\r\n"
    parser = PartParser(b"frame")
    assert parse(stream, step, parser) == bodies
    assert parser.ended


def test_lines_may_end_in_a_line_feed_alone() -> None:
    stream = (counted(b"one") + counted(b"two")).replace(b"\r\n", b"\n")
    assert parse(stream, 5) == [b"one", b"two"]


@pytest.mark.parametrize("with_length", [True, False])
def test_boundary_with_more_dashes_than_said(with_length: bool) -> None:
    body = [b"Content-Length: 3"] if with_length else []
    stream = part(b"one", *body, boundary=b"----frame") + part(b"two", boundary=b"----frame")
    assert parse(stream + b"----frame\r\n", 4)[0] == b"one"


def test_what_is_no_picture_is_passed_over() -> None:
    sound = part(b"tuut", b"Content-Type: audio/basic", b"Content-Length: 4")
    assert parse(sound + counted(b"one"), 9) == [b"one"]


@pytest.mark.parametrize(
    ("beginning", "endless"),
    [
        (b"", b"x" * 10),
        (b"", b"\r\n"),
        (b"", b"--other\r\n"),
        (b"--frame\r\n", b"A: b\r\n"),
        (b"--frame\r\nA: ", b"b" * 10),
        (b"", b"--frame\r\n\r\n\r\n"),
    ],
)
def test_endless_headers_are_refused_early(beginning: bytes, endless: bytes) -> None:
    parser = PartParser(b"frame")
    parser.feed(beginning)
    fed = 0
    with pytest.raises(SourceError, match="no picture in 16,384 bytes"):
        while fed < 10 * MAX_HEADER_BYTES:
            parser.feed(endless)
            fed += len(endless)
            parser.next_picture()
    assert fed <= 2 * MAX_HEADER_BYTES


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (b"1001", "1,001 bytes or more"),
        (b"999999999999", "999,999,999,999 bytes or more"),
        (b"9" * 5000, "without a sensible length"),
        (b"-1", "without a sensible length"),
        (b"many", "without a sensible length"),
        (b"", "without a sensible length"),
    ],
)
def test_length_that_cannot_be_is_refused_at_once(length: bytes, message: str) -> None:
    parser = PartParser(b"frame", max_frame_bytes=1000)
    parser.feed(b"--frame\r\nContent-Length: " + length + b"\r\n\r\n")
    with pytest.raises(SourceError, match=message):
        parser.next_picture()


def test_picture_without_end_is_refused_when_it_is_too_large() -> None:
    parser = PartParser(b"frame", max_frame_bytes=1000)
    parser.feed(b"--frame\r\n\r\n")
    with pytest.raises(SourceError, match="at most 1,000 bytes"):
        for _ in range(200):
            parser.feed(b"x" * 10)
            parser.next_picture()


def test_picture_of_the_largest_size_is_taken() -> None:
    body = b"x" * 1000
    assert parse(counted(body), 64, PartParser(b"frame", 1000)) == [body]


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", b"frame"),
        ('Multipart/X-Mixed-Replace;charset=x; BOUNDARY="--a b"', b"a b"),
        ("multipart/x-mixed-replace;boundary=--myboundary", b"myboundary"),
    ],
)
def test_boundary_is_found(header: str, boundary: bytes) -> None:
    assert find_boundary(header) == boundary


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image/jpeg", "answers with image/jpeg"),
        ("", "something of no kind"),
        ("multipart/x-mixed-replace", "what separates its pictures"),
        ("multipart/x-mixed-replace; boundary=", "what separates its pictures"),
        ("multipart/x-mixed-replace; boundary=--", "what separates its pictures"),
        (f"multipart/x-mixed-replace; boundary={'x' * 5000}", "what separates its pictures"),
    ],
)
def test_answer_that_is_no_stream_is_refused(header: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find_boundary(header)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_chunks_are_put_together(step: int) -> None:
    stream = b"4\r\nWiki\r\n6;a=b\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\n\r\n"
    chunks = ChunkDecoder()
    whole = b"".join(chunks.feed(stream[i : i + step]) for i in range(0, len(stream), step))
    assert whole == b"Wikipedia in \r\n\r\nchunks."
    assert chunks.ended


@pytest.mark.parametrize(
    "stream", [b"zz\r\n", b"-4\r\nWiki", b"\r\n", b"1" * 5000, b"123456789\r\n"]
)
def test_damaged_chunks_are_refused(stream: bytes) -> None:
    with pytest.raises(SourceError, match="chunks are damaged"):
        ChunkDecoder().feed(stream)
