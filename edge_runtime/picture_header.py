"""What a picture file says of itself, read before a decoder may touch it.

A decoder believes the header: a file of a few bytes can ask it for gigabytes, and half a JPEG comes
back half grey without a word. So the kind, the size and the end of a file are checked here first.
Formats as in ISO/IEC 15948 (PNG), ITU-T T.81 (JPEG), TIFF 6.0, Exif 2.3, RFC 9649 (WebP), the
Windows bitmap headers, GIF89a and the Netpbm manual.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BrokenPictureError", "PictureHeader", "read_header"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The chunks that change pixels; the rest is text, colour profiles and dates.
PNG_PIXEL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))

JPEG_END, JPEG_SCAN, JPEG_EXIF = 0xD9, 0xDA, 0xE1
# Start-of-frame markers: C0 to CF without the tables DHT, JPG and DAC.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# In compressed data, FF is followed by 00 (a plain FF), a restart marker, or fill bytes.
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")

EXIF_PREFIX = b"Exif\0\0"
ORIENTATION_TAG, WIDTH_TAG, HEIGHT_TAG = 0x0112, 0x0100, 0x0101

NETPBM = re.compile(rb"P([1-6])(?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")


class BrokenPictureError(Exception):
    """The text says what is wrong, as in "FILE is …"; the caller knows the file's name."""


@dataclass(frozen=True)
class PictureHeader:
    """What a picture file says of itself.

    Attributes:
        kind: "PNG", "JPEG", "BMP", "WebP", "TIFF", "GIF" or "Netpbm".
        width: Stored width in pixels.
        height: Stored height in pixels.
        orientation: Exif orientation, 1 (as stored) to 8; 1 for TIFF, which decoders turn.
        data: The file, or as much of it as a decoder needs.
    """

    kind: str
    width: int
    height: int
    orientation: int
    data: bytes


def read_header(data: bytes) -> PictureHeader:
    """Reads the header of a picture file, and checks as far as the format allows that it is whole.

    Args:
        data: The whole file.

    Returns:
        What the file says of itself.

    Raises:
        BrokenPictureError: Not a picture in a known format, truncated, or damaged.
    """
    for signature, reader in READERS:
        if signature.match(data):
            try:
                return reader(data)
            except (struct.error, IndexError):
                raise BrokenPictureError("truncated within its header") from None
    raise BrokenPictureError("not a picture in a known format")


def _read_png(data: bytes) -> PictureHeader:
    width, height = struct.unpack_from(">II", data, 16)
    place, orientation, kept = len(PNG_SIGNATURE), 1, [PNG_SIGNATURE]
    while True:
        size, name = struct.unpack_from(">I4s", data, place)
        end = place + size + 12
        if end > len(data):
            raise BrokenPictureError("truncated")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if checksum != zlib.crc32(memoryview(data)[place + 4 : end - 4]):
            raise BrokenPictureError("damaged (a PNG checksum is wrong)")
        if name == b"eXIf":
            orientation = _orientation(data[place + 8 : end - 4])
        # What is left out cannot make the decoder complain on standard error, or unpack a bomb.
        if name in PNG_PIXEL_CHUNKS:
            kept.append(data[place:end])
        if name == b"IEND":
            return PictureHeader("PNG", width, height, orientation, b"".join(kept))
        place = end
        if place + 8 > len(data):
            raise BrokenPictureError("truncated")


def _read_jpeg(data: bytes) -> PictureHeader:
    place, orientation, size = 2, 1, (0, 0)
    while match := JPEG_MARKER.search(data, place):
        marker, place = match[1][0], match.end()
        if marker == JPEG_END:
            return PictureHeader("JPEG", size[1], size[0], orientation, data)
        (length,) = struct.unpack_from(">H", data, place)
        if marker in JPEG_FRAMES:
            size = struct.unpack_from(">HH", data, place + 3)
        elif marker == JPEG_EXIF and data.startswith(EXIF_PREFIX, place + 2):
            orientation = _orientation(data[place + 8 : place + length])
        place += length
    raise BrokenPictureError("truncated")


def _read_bmp(data: bytes) -> PictureHeader:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    # A negative height means that the rows are stored from the top.
    return PictureHeader("BMP", width, abs(height), 1, data)


def _read_webp(data: bytes) -> PictureHeader:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise BrokenPictureError("truncated")
    first = data[12:16]
    if first == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif first == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    place, orientation = 12, 1
    while place + 8 <= size + 8:
        name, length = struct.unpack_from("<4sI", data, place)
        if name == b"EXIF":
            orientation = _orientation(data[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    return PictureHeader("WebP", width, height, orientation, data)


def _read_tiff(data: bytes) -> PictureHeader:
    tags = _tiff_tags(data)
    if WIDTH_TAG not in tags or HEIGHT_TAG not in tags:
        raise BrokenPictureError("a TIFF file that does not say its size")
    return PictureHeader("TIFF", tags[WIDTH_TAG], tags[HEIGHT_TAG], 1, data)


def _read_gif(data: bytes) -> PictureHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureHeader("GIF", width, height, 1, data)


def _read_netpbm(data: bytes) -> PictureHeader:
    match = NETPBM.match(data)
    if match is None:
        raise BrokenPictureError("truncated within its header")
    return PictureHeader("Netpbm", int(match[2]), int(match[3]), 1, data)


def _orientation(exif: bytes) -> int:
    """Exif orientation, 1 where there is none or it makes no sense."""
    try:
        value = _tiff_tags(exif.removeprefix(EXIF_PREFIX)).get(ORIENTATION_TAG, 1)
    except (struct.error, BrokenPictureError):
        return 1
    return value if 1 <= value <= 8 else 1


def _tiff_tags(data: bytes) -> dict[int, int]:
    """The numbers in a TIFF file's first directory that hold one 16-bit or 32-bit integer."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise BrokenPictureError("damaged")
    (place,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, place)
    tags = {}
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
        if values == 1 and kind in (3, 4):
            form = "H" if kind == 3 else "I"
            (tags[tag],) = struct.unpack_from(order + form, data, entry + 8)
    return tags


READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], PictureHeader]], ...] = (
    (re.compile(re.escape(PNG_SIGNATURE)), _read_png),
    (re.compile(rb"\xff\xd8\xff"), _read_jpeg),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), _read_bmp),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _read_webp),
    (re.compile(rb"II\*\0|MM\0\*"), _read_tiff),
    (re.compile(rb"GIF8[79]a"), _read_gif),
    (re.compile(rb"P[1-6][\s#]"), _read_netpbm),
)
