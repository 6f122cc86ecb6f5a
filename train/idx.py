"""IDX, the format of MNIST's files: a magic number, the sizes, then the values.

The format is described at the foot of http://yann.lecun.com/exdb/mnist/: two zero bytes, a type
code (0x08: unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit number,
and the values in C order.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .dataset import Images, Labels
from .errors import DataError

__all__ = ["content_sha256", "find_idx_files", "idx_bytes", "read_idx"]

UNSIGNED_BYTE = 0x08
# The types of the specification that we do not read, for an error that says what the file holds.
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP_MAGIC = b"\x1f\x8b"

# EMNIST's largest file has 547 MB; beyond this an image classifier's data do not belong in memory.
MAX_IDX_BYTES = 2**31
CHUNK_BYTES = 2**20

# train-images-idx3-ubyte, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte.gz
FILE_NAME = re.compile(r"(?:.*-)?(train|t10k|test)-(images|labels)[.-]idx\d-ubyte(?:\.gz)?")


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Reads an IDX file of unsigned bytes, gzipped or not (whatever its name says).

    Memory is taken as data arrive, never because a header promises them.

    Args:
        path: The file.
        dimensions: 3 or 4 for images, 1 for labels.

    Returns:
        uint8 array with that many dimensions.

    Raises:
        DataError: The file is unreadable, truncated, too long, or not IDX of this kind.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if packed else raw as file:
                return _parse(file, path, dimensions)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is a damaged gzip file ({error})", "a whole one", "copy or download it again"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """`array` as an IDX file.

    >>> idx_bytes(np.array([7, 9], np.uint8)).hex(" ")
    '00 00 08 01 00 00 00 02 07 09'
    """
    return _header(array.shape) + array.tobytes()


def content_sha256(array: Images | Labels) -> str:
    """SHA-256 of images or labels as an IDX file, however they were packed when they came.

    Args:
        array: uint8 images (N, H, W, C), of which grey ones count as (N, H, W), or labels (N,).

    Returns:
        64 hexadecimal digits.
    """
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8:
        # IDX has no 64-bit type. Labels up to 255 are bytes, as MNIST's are.
        array = array.astype(np.uint8 if array.max(initial=0) < 256 else ">i4")
    digest = hashlib.sha256(_header(array.shape, 0x08 if array.itemsize == 1 else 0x0C))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def find_idx_files(folder: Path) -> dict[tuple[str, str], Path]:
    """Finds the IDX files of a folder by their usual names.

    Args:
        folder: Where to look.

    Returns:
        Paths by part ("train", "test") and content ("images", "labels").

    Raises:
        DataError: Two different sets lie in one folder.
    """
    found: dict[tuple[str, str], Path] = {}
    # Sorted, the unpacked file comes before its gzipped twin, and is quicker to read.
    for path in sorted(folder.iterdir()):
        match = FILE_NAME.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        key = ("train" if match[1] == "train" else "test", match[2])
        other = found.setdefault(key, path)
        if other.name.removesuffix(".gz") != path.name.removesuffix(".gz"):
            raise DataError(
                f"{folder} holds both {other.name} and {path.name}",
                "one data set in a folder",
                "move one of them to its own folder",
            )
    return found


def _parse(file: BinaryIO | gzip.GzipFile, path: Path, dimensions: int) -> NDArray[np.uint8]:
    kind = {1: "labels", 3: "grey images", 4: "colour images"}.get(dimensions, "values")
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(
            f"{path} is no IDX file (it begins with {header.hex(' ') or 'nothing'})",
            f"the magic number {_header((0,) * dimensions)[:4].hex(' ')}",
        )
    if header[2] != UNSIGNED_BYTE:
        held = OTHER_TYPES.get(header[2], f"the unknown type 0x{header[2]:02x}")
        raise DataError(f"{path} holds {held}", "unsigned bytes (type 0x08)")
    if header[3] != dimensions:
        raise DataError(
            f"{path} has {header[3]} dimension{'s' if header[3] != 1 else ''}",
            f"{dimensions}, as {kind} have",
        )
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path} ends inside its header", f"{4 + 4 * dimensions} bytes of header")
    shape = struct.unpack(f">{dimensions}I", sizes)
    size_bytes = math.prod(shape)
    promise = " x ".join(f"{side:,}" for side in shape)
    if size_bytes > MAX_IDX_BYTES:
        raise DataError(
            f"the header of {path} promises {promise} values", f"at most {MAX_IDX_BYTES:,}"
        )
    content = bytearray()
    # One byte more than promised shows whether the file goes on.
    while chunk := file.read(min(CHUNK_BYTES, size_bytes + 1 - len(content))):
        content += chunk
    if len(content) != size_bytes:
        state = "goes on after" if len(content) > size_bytes else f"has only {len(content):,} of"
        raise DataError(
            f"{path} {state} the {size_bytes:,} bytes ({promise}) that its header promises",
            "exactly as many",
            "copy or download it again",
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _header(shape: tuple[int, ...], type_code: int = UNSIGNED_BYTE) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, type_code, len(shape), *shape)
