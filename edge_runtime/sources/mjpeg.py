"""The bytes of a motion-JPEG stream, cut into pictures: no sockets, and bounds on everything.

A camera's stream is ``multipart/x-mixed-replace`` (RFC 2046, section 5.1, as browsers have taken
it since 1995), often in chunks (RFC 9112, section 7.1). Both are fed as they come.
"""

from __future__ import annotations

import re

from ..errors import SourceError

__all__ = [
    "MAX_FRAME_BYTES",
    "ChunkDecoder",
    "PartParser",
    "find_boundary",
    "first_boundary",
    "is_unnamed",
]

MAX_FRAME_BYTES = 16 * 2**20
"""The largest picture of a stream; 8 megapixels of noise have some 10 MB as JPEG."""
MAX_HEADER_BYTES = 16 * 2**10
MAX_CHUNK_LINE_BYTES = 1024
MAX_FIRST_LINE_BYTES = 256
"""Room for a boundary of 70 characters, as RFC 2046 has them, and then some."""

REMEDY = "look the stream's address up in the camera's manual"
REMEDY_FOR_UNNAMED = (
    "of ffmpeg, ask for it with -f mpjpeg -content_type 'multipart/x-mixed-replace;boundary=ffmpeg'"
)


def is_unnamed(content_type: str) -> bool:
    """Whether a server says no more than that it sends bytes, as ffmpeg does by itself."""
    return content_type.split(";")[0].strip().lower() == "application/octet-stream"


def first_boundary(start: bytes) -> bytes | None:
    r"""The boundary in the first line of a body whose kind was not named.

    Args:
        start: The body's first bytes.

    Returns:
        The boundary without the dashes before it; empty if the body begins with none; None while
        its first line is not whole.

    >>> first_boundary(b"--ffmpeg\r\nContent-type: image/jpeg\r\n")
    b'ffmpeg'
    """
    looked_at = start[:MAX_FIRST_LINE_BYTES]
    line, end, _ = looked_at.lstrip(b"\r\n").partition(b"\n")
    if not b"--".startswith(line[:2]):
        return b""
    if not end and len(looked_at) < MAX_FIRST_LINE_BYTES:
        return None
    # The characters of a boundary; source: RFC 2046, section 5.1.1.
    found = re.fullmatch(rb"--([0-9A-Za-z'()+_,./:=? -]+?)\s*", line)
    return found[1].strip(b"-") if end and found else b""


def find_boundary(content_type: str) -> bytes:
    """What separates a stream's pictures, without the dashes before it.

    Args:
        content_type: The header of that name.

    Returns:
        The boundary. Some cameras put the dashes in, some do not.

    Raises:
        SourceError: It is no stream of pictures, or names no boundary.

    >>> find_boundary('multipart/x-mixed-replace; boundary="--frame"')
    b'frame'
    """
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    if not kind.lower().startswith("multipart/"):
        shown = "".join(c if c.isprintable() else "?" for c in kind[:60])
        raise SourceError(
            f"the address answers with {shown or 'something of no kind'}",
            "a motion-JPEG stream (multipart/x-mixed-replace)",
            REMEDY_FOR_UNNAMED if is_unnamed(content_type) else REMEDY,
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "boundary":
            boundary = value.strip().strip('"').encode("latin-1", "replace").strip(b"-")
            if 0 < len(boundary) <= 200:
                return boundary
    raise SourceError("the stream does not say what separates its pictures", "a boundary")


class ChunkDecoder:
    """Takes the sizes out of a body sent in chunks."""

    def __init__(self) -> None:
        self._line = bytearray()
        # Bytes of the chunk still to come; None while a line with a size is awaited.
        self._left: int | None = None
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """What is left of `data` without the sizes.

        Raises:
            SourceError: A size that is none.
        """
        out = bytearray()
        place = 0
        while place < len(data) and not self.ended:
            if self._left:
                piece = data[place : place + self._left]
                out += piece
                place += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\n", place)
            self._line += data[place : end if end >= 0 else len(data)]
            if len(self._line) > MAX_CHUNK_LINE_BYTES:
                raise SourceError("the stream's chunks are damaged", "sizes between them")
            if end < 0:
                break
            place = end + 1
            line, self._line = bytes(self._line).strip(), bytearray()
            if self._left == 0 and not line:  # The end of the line after a chunk.
                self._left = None
                continue
            self._left = self._size(line)
            self.ended = self._left == 0
        return bytes(out)

    @staticmethod
    def _size(line: bytes) -> int:
        digits = line.split(b";")[0].strip()
        if not digits or len(digits) > 8 or digits.strip(b"0123456789abcdefABCDEF"):
            raise SourceError("the stream's chunks are damaged", "sizes between them")
        return int(digits, 16)


class PartParser:
    """Cuts a multipart body into the pictures in it.

    Args:
        boundary: What separates them, without dashes.
        max_frame_bytes: The largest picture accepted; the parser never holds much more.
    """

    def __init__(self, boundary: bytes, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._boundary = boundary
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._mark = b"\n--" + boundary
        self._fields: dict[bytes, bytes] = {}
        self._header: dict[bytes, bytes] | None = None
        self._header_bytes = 0
        self._between = True
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Takes more of the body; `next_picture` must have been called until it gave None."""
        self._buffer += data

    def next_picture(self) -> bytes | None:
        """The next whole picture, None until more was fed.

        Raises:
            SourceError: The stream breaks a bound or the format.
        """
        while not self.ended:
            if self._header is None:
                if not self._take_header():
                    return None
            else:
                body = self._take_body(self._header)
                if body is None:
                    return None
                kind = self._header.get(b"content-type", b"image/jpeg")
                self._header = None
                if body and kind.lower().startswith(b"image/"):
                    self._header_bytes = 0
                    return body
        return None

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            self._bound_header(len(self._buffer))
            return None
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        self._header_bytes += end + 1
        self._bound_header(0)
        return line

    def _bound_header(self, more: int) -> None:
        if self._header_bytes + more > MAX_HEADER_BYTES:
            raise SourceError(
                f"the stream has no picture in {MAX_HEADER_BYTES:,} bytes",
                "pictures with short headers between them",
            )

    def _take_header(self) -> bool:
        """Reads up to the blank line before a picture; all before the boundary is dropped."""
        while (line := self._take_line()) is not None:
            if self._between:
                line = line.strip()
                if line.startswith(b"--") and line.strip(b"-") == self._boundary:
                    if line.endswith(b"--"):
                        self.ended = True
                        return False
                    # As this camera writes it, with two dashes or with more.
                    self._mark = b"\n" + line
                    self._between, self._fields = False, {}
            elif line.strip():
                name, _, value = line.partition(b":")
                self._fields[name.strip().lower()] = value.strip()
            else:
                self._header, self._between = self._fields, True
                return True
        return False

    def _take_body(self, header: dict[bytes, bytes]) -> bytes | None:
        said = header.get(b"content-length")
        if said is not None:
            return self._take_counted(said)
        # Without a length the next boundary ends it. Bytes already searched are not searched again.
        end = self._buffer.find(self._mark, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(self._mark))
            self._bound_body(len(self._buffer))
            return None
        self._bound_body(end)
        body = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        return body

    def _take_counted(self, said: bytes) -> bytes | None:
        if not said.isdigit() or len(said) > 12:
            raise SourceError("the stream has a picture without a sensible length", "a number")
        size = int(said)
        self._bound_body(size)
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    def _bound_body(self, size: int) -> None:
        if size > self._max:
            raise SourceError(
                f"the stream has a picture of {size:,} bytes or more",
                f"at most {self._max:,} bytes",
                "set the camera to a smaller picture",
            )
