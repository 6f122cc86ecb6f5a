"""What travels to a device: one archive with a model, its golden inputs, and their checksums.

A bundle is a tar archive in POSIX ustar format with exactly these regular files, in this order:

    manifest.json   name, variant, tolerance; size and SHA-256 of the two files below
    model.tflite    the sealed model
    golden.npz      arrays "pixels" (uint8, ready inputs) and "scores" (float32, their answers)

Any tar program can list one. Reading is another matter: the reader here knows this one shape and
refuses everything else (other names, links, devices, extension headers, wrong sizes), because a
general tar reader does what the archive says. Both ends use this file; it needs no more than the
standard library.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import DeviceError

__all__ = [
    "GOLDEN_FILE",
    "MANIFEST_FILE",
    "MAX_GOLDEN_BYTES",
    "MAX_MODEL_BYTES",
    "MODEL_FILE",
    "PROGRESS_PREFIX",
    "BundleError",
    "BundleReader",
    "ByteStream",
    "FileRecord",
    "Manifest",
    "is_sha256",
    "pack",
]

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.tflite"
GOLDEN_FILE = "golden.npz"

FORMAT_VERSION = 1
PROGRESS_PREFIX = "receive: "
"""Begins each line of progress on the device's stderr, which others write to as well."""

# A model of 64 MiB is beyond what classifies in reasonable time on a Pi, and an eighth of the
# memory of the smallest 64-bit one (Zero 2: 512 MB).
MAX_MODEL_BYTES = 64 * 2**20
# Ten RGB inputs of 512 × 512 pixels have 7.5 MiB.
MAX_GOLDEN_BYTES = 16 * 2**20
MAX_MANIFEST_BYTES = 64 * 2**10

# POSIX.1-2017, pax(1), "ustar Interchange Format".
BLOCK_BYTES = 512
RECORD_BYTES = 20 * BLOCK_BYTES
REGULAR_FILE = b"0"
CHUNK_BYTES = 2**16

SEND_AGAIN = "send it again with python -m flash pi"


class BundleError(DeviceError):
    """A bundle that is not whole, or not a bundle."""


class ByteStream(Protocol):
    """Where a bundle comes from: standard input, a file, bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, and none only at the end."""


@dataclass(frozen=True)
class FileRecord:
    """What the manifest promises of a file.

    Attributes:
        size_bytes: Its length.
        sha256: Its SHA-256 in hexadecimal.
    """

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> FileRecord:
        """The record of `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """The first file of a bundle.

    Attributes:
        name: The model's name, from its contract.
        variant: Its variant, for example "int8".
        tolerance: How far a score (0 to 1) may lie from the golden one.
        model: The sealed model; its SHA-256 names the release on the device.
        golden: The golden inputs.
        format_version: Version of this format.

    Raises:
        BundleError: A field has an impossible value.
    """

    name: str
    variant: str
    tolerance: float
    model: FileRecord
    golden: FileRecord
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise BundleError(
                f"the bundle has format version {self.format_version!r}",
                f"version {FORMAT_VERSION}",
                "use the same version of edge-runtime on both ends",
            )
        for field in ("name", "variant"):
            value = getattr(self, field)
            if not (isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable()):
                raise BundleError(f"the {field} in the manifest is {value!r:.80}", "a short name")
        tolerance = self.tolerance
        if type(tolerance) not in (int, float) or not 0 <= tolerance < 1:
            raise BundleError(f"the tolerance is {tolerance!r:.80}", "a number from 0 to 1")
        for file, record, limit in (
            (MODEL_FILE, self.model, MAX_MODEL_BYTES),
            (GOLDEN_FILE, self.golden, MAX_GOLDEN_BYTES),
        ):
            if type(record.size_bytes) is not int or not 0 < record.size_bytes <= limit:
                raise BundleError(
                    f"the size of {file} is {record.size_bytes!r:.80}", f"1 to {limit:,} bytes"
                )
            if not is_sha256(record.sha256):
                raise BundleError(f"the SHA-256 of {file} is {record.sha256!r:.80}", "64 digits")

    @property
    def unpacked_bytes(self) -> int:
        """What the two files need on a disk."""
        return self.model.size_bytes + self.golden.size_bytes

    def to_json(self) -> str:
        """The manifest as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Reads what `to_json` wrote.

        Args:
            data: UTF-8 text.

        Returns:
            The manifest.

        Raises:
            BundleError: It is anything else.
        """
        try:
            fields: dict[str, Any] = json.loads(data.decode("utf-8"))
            for file in ("model", "golden"):
                fields[file] = FileRecord(**fields[file])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleError(
                f"{MANIFEST_FILE} cannot be understood ({type(error).__name__}: {error!s:.80})",
                "a manifest of the same version",
                "use the same version of edge-runtime on both ends",
            ) from None


def is_sha256(text: object) -> bool:
    """Whether `text` is a SHA-256 in lower-case hexadecimal, and so safe as a folder's name."""
    return isinstance(text, str) and len(text) == 64 and not set(text) - set("0123456789abcdef")


def pack(*, name: str, variant: str, tolerance: float, model: bytes, golden: bytes) -> bytes:
    """Makes a bundle.

    Args:
        name: The model's name.
        variant: Its variant.
        tolerance: How far a score may lie from the golden one; 0 to 1.
        model: The sealed model.
        golden: The content of ``golden.npz``.

    Returns:
        The archive. The same arguments give the same bytes.

    Raises:
        BundleError: A file is too large, or a field is impossible.

    >>> bundle = pack(name="digits", variant="int8", tolerance=0.01, model=b"TFL3", golden=b"PK")
    >>> BundleReader(io.BytesIO(bundle)).manifest.name
    'digits'
    """
    manifest = Manifest(name, variant, tolerance, FileRecord.of(model), FileRecord.of(golden))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file, content in (
            (MANIFEST_FILE, manifest.to_json().encode()),
            (MODEL_FILE, model),
            (GOLDEN_FILE, golden),
        ):
            member = tarfile.TarInfo(file)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class BundleReader:
    """Reads a bundle from a stream, front to back, never holding more than a piece in memory.

    Args:
        stream: Where the bundle comes from. Its manifest is read at once.

    Attributes:
        manifest: The manifest, whose promises `extract` checks.

    Raises:
        BundleError: The stream does not begin like a bundle.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._received_bytes = 0
        size = self._header(MANIFEST_FILE)
        if not 0 < size <= MAX_MANIFEST_BYTES:
            raise BundleError(
                f"{MANIFEST_FILE} has {size:,} bytes", f"at most {MAX_MANIFEST_BYTES:,} bytes"
            )
        self.manifest = Manifest.from_json(self._read(size))
        self._padding(size)

    def extract(self, folder: Path) -> None:
        """Writes the three files into `folder`, checked against the manifest and on the disk.

        Args:
            folder: An existing folder, empty and ours alone. After an error it holds rubbish.

        Raises:
            BundleError: The rest of the stream is not what the manifest promises.
            OSError: The disk is full, or the folder cannot be written.
        """
        promised = {MODEL_FILE: self.manifest.model, GOLDEN_FILE: self.manifest.golden}
        for name, record in promised.items():
            size = self._header(name)
            if size != record.size_bytes:
                raise BundleError(
                    f"{name} has {size:,} bytes", f"{record.size_bytes:,} bytes", SEND_AGAIN
                )
            with _new_file(folder / name) as file:
                digest = hashlib.sha256()
                for start in range(0, size, CHUNK_BYTES):
                    chunk = self._read(min(CHUNK_BYTES, size - start))
                    digest.update(chunk)
                    file.write(chunk)
                _to_disk(file)
            self._padding(size)
            if digest.hexdigest() != record.sha256:
                raise BundleError(
                    f"{name} arrived with SHA-256 {digest.hexdigest()[:12]}…",
                    f"{record.sha256[:12]}…",
                    SEND_AGAIN,
                )
        self._end()
        with _new_file(folder / MANIFEST_FILE) as file:
            file.write(self.manifest.to_json().encode())
            _to_disk(file)

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes; a stream may hand them over in pieces."""
        data = b""
        while len(data) < size:
            piece = self._stream.read(size - len(data))
            if not piece:
                raise BundleError(
                    f"the transfer ended after {self._received_bytes:,} bytes",
                    "a whole bundle",
                    SEND_AGAIN,
                )
            self._received_bytes += len(piece)
            data += piece
        return data

    def _padding(self, size: int) -> None:
        if self._read(-size % BLOCK_BYTES).strip(b"\0"):
            raise BundleError("there is data between the files of the bundle", "", SEND_AGAIN)

    def _header(self, expected_name: str) -> int:
        """Reads one header, which must be that of the regular file `expected_name`."""
        header = self._read(BLOCK_BYTES)
        # The checksum counts its own field as spaces.
        total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
        if header[257:263] != b"ustar\0" or _octal(header[148:156]) != total:
            raise BundleError("what arrived is not a bundle", f"file {expected_name}", SEND_AGAIN)
        name, kind, prefix = header[:100].rstrip(b"\0"), header[156:157], header[345:500]
        if name != expected_name.encode() or kind != REGULAR_FILE or prefix.strip(b"\0"):
            shown = name.decode("ascii", "backslashreplace")
            what = "file" if kind == REGULAR_FILE else f"entry of type {kind.decode('latin-1')!r}"
            raise BundleError(
                f"the bundle has the {what} {shown!r}", f"the file {expected_name}", SEND_AGAIN
            )
        size = _octal(header[124:136])
        if size is None:
            raise BundleError(f"the size of {expected_name} is not a number", "", SEND_AGAIN)
        return size

    def _end(self) -> None:
        """Two empty blocks end an archive, and writers fill up their last record."""
        rest = self._read(2 * BLOCK_BYTES)
        while len(rest) <= RECORD_BYTES + 2 * BLOCK_BYTES and not rest.strip(b"\0"):
            piece = self._stream.read(RECORD_BYTES)
            if not piece:
                return
            rest += piece
        raise BundleError("there is more data behind the bundle", "its end", SEND_AGAIN)


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    if not digits or set(digits) - set(b"01234567"):
        return None
    return int(digits, 8)


def _new_file(path: Path) -> io.BufferedWriter:
    # O_EXCL: never through a link that somebody put there.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    return io.BufferedWriter(io.FileIO(handle, "wb"))


def _to_disk(file: io.BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())
