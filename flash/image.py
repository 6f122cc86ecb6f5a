"""The flash image: a model that lies in a microcontroller's flash beside the firmware.

The firmware finds it with ``edge_model_find()`` (``flash/firmware/edge_model.c``) and TensorFlow
Lite Micro runs it where it lies, so another model needs another image and no other firmware.

Format, version 2. Numbers are little-endian. The image begins at a multiple of 16 bytes in memory.

    at  bytes
     0      4  "EdgM"
     4      2  version of this format: 2
     6      2  length of this header: 80; the model begins there
     8      4  length of the model
    12      4  CRC-32 of the model's bytes (zlib's)
    16      4  counter: the model's version, as the operator counts them
    20      4  bytes that TFLM's tensor arena must have, with its margin
    24      4  interface id: labels, preparation of pixels and tensor types (`mcu.interface_id`)
    28     32  SHA-256 of the model's bytes, the same that a bundle and the contract name
    60      4  rejection threshold as a 32-bit float: a probability, 0 where the model sets none
    64     12  0, for later versions
    76      4  CRC-32 of the 76 bytes before
    80      …  the flatbuffer, without its seal
     …  0…15  0xFF, as erased flash, up to a multiple of 16

The checksums find damage: a write cut short, flash that wears out. They are no signature; who can
write this part of the flash can write the firmware too.
"""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.files import write_atomic

from .mcu import MicroModel, interface_id

__all__ = ["ALIGNMENT", "MAX_COUNTER", "Image", "Written", "make_image", "write_image"]

MAGIC = b"EdgM"
VERSION = 2
HEADER = struct.Struct("<4sHHIIIII32sf12x")
HEADER_BYTES = HEADER.size + 4
ALIGNMENT = 16
"""Bytes: what TFLM asks of a flatbuffer's address."""
MAX_COUNTER = 2**32 - 1
ERASED = b"\xff"
READER = Path(__file__).parent / "firmware"


@dataclass(frozen=True)
class Image:
    """A flash image.

    Attributes:
        data: The whole image; its length is a multiple of 16.
        model_bytes: Length of the model in it.
        counter: The model's version.
        arena_bytes: What the tensor arena must have.
        interface_id: What models must share to take each other's place.
        rejection_threshold: An answer whose probability is below this is none; 0 for no threshold.
        crc32: CRC-32 of the model.
        sha256: SHA-256 of the model, in hexadecimal.
    """

    data: bytes
    model_bytes: int
    counter: int
    arena_bytes: int
    interface_id: int
    rejection_threshold: float
    crc32: int
    sha256: str


@dataclass(frozen=True)
class Written:
    """What became of an image that was written to a device.

    Attributes:
        text: What was done, in words.
        confirmed: Whether the device or its tool said that all of it arrived.
    """

    text: str
    confirmed: bool = True


def make_image(model: MicroModel, counter: int | None = None) -> Image:
    """Puts the header before a model that TFLM has run.

    Args:
        model: The model.
        counter: Its version, 0 to `MAX_COUNTER`; a firmware with two slots takes the larger. None
            takes the seconds since 1970, as a bundle does: they grow by themselves until 2106.

    Returns:
        The image.
    """
    body, digest = model.flatbuffer, hashlib.sha256(model.flatbuffer)
    counter = int(time.time()) if counter is None else counter
    threshold = float(model.contract.rejection_threshold or 0)
    crc32, interface = zlib.crc32(body), interface_id(model.contract, model.run)
    header = HEADER.pack(
        MAGIC,
        VERSION,
        HEADER_BYTES,
        len(body),
        crc32,
        counter,
        model.arena_bytes,
        interface,
        digest.digest(),
        threshold,
    )
    data = header + struct.pack("<I", zlib.crc32(header)) + body
    return Image(
        data + ERASED * (-len(data) % ALIGNMENT),
        len(body),
        counter,
        model.arena_bytes,
        interface,
        threshold,
        crc32,
        digest.hexdigest(),
    )


def write_image(image: Image, name: str, out: Path) -> tuple[Path, ...]:
    """Writes an image and, beside it, the reader for the firmware.

    Args:
        image: The image.
        name: What its file is called, without the suffix.
        out: Folder for the files; made if it is missing.

    Returns:
        ``NAME.bin``, ``edge_model.c`` and ``edge_model.h``.
    """
    reader = [
        write_atomic(out / source.name, source.read_bytes())
        for source in sorted(READER.glob("*.[ch]"))
    ]
    return (write_atomic(out / f"{name}.bin", image.data), *reader)
