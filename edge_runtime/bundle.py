"""What travels to a device: one archive with a model, its golden inputs, and their checksums.

A bundle is a tar archive in POSIX ustar format with exactly these regular files, in this order:

    manifest.json       what it is, for whom, how new; size and SHA-256 of the two last files
    manifest.json.sig   OpenSSH signature of the manifest's bytes; absent in an unsigned bundle
    model.tflite        the sealed model
    golden.npz          arrays "pixels" (uint8, ready inputs) and "scores" (float32, their answers)

Any tar program can list one. Reading is another matter: the reader here knows this one shape and
refuses everything else (other names, links, devices, extension headers, wrong sizes), because a
general tar reader does what the archive says. Both ends use this file; it needs no more than the
standard library.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from .files import new_file
from .manifest import (
    DEFAULT_DEVICE_TYPE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MAX_GOLDEN_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_MODEL_BYTES,
    MINIMUM_RUNTIME,
    MODEL_FILE,
    SEND_AGAIN,
    SIGNATURE_FILE,
    BundleError,
    FileRecord,
    Manifest,
    is_sha256,
)

__all__ = [
    "GOLDEN_FILE",
    "MANIFEST_FILE",
    "MAX_BUNDLE_BYTES",
    "MAX_GOLDEN_BYTES",
    "MAX_MODEL_BYTES",
    "MODEL_FILE",
    "PROGRESS_PREFIX",
    "SIGNATURE_FILE",
    "BundleError",
    "BundleReader",
    "ByteStream",
    "FileRecord",
    "Manifest",
    "is_sha256",
    "pack",
]

PROGRESS_PREFIX = "receive: "
"""Begins each line of progress on the device's stderr, which others write to as well."""

# The armoured signature of a 16,384-bit RSA key, the largest that ssh-keygen makes, has 6 KB.
MAX_SIGNATURE_BYTES = 2**14

# POSIX.1-2017, pax(1), "ustar Interchange Format".
BLOCK_BYTES = 512
RECORD_BYTES = 20 * BLOCK_BYTES
REGULAR_FILE = b"0"
CHUNK_BYTES = 2**16
# Four files with a header each, filled up to whole records.
MAX_BUNDLE_BYTES = (
    MAX_MODEL_BYTES
    + MAX_GOLDEN_BYTES
    + MAX_MANIFEST_BYTES
    + MAX_SIGNATURE_BYTES
    + 8 * BLOCK_BYTES
    + 2 * RECORD_BYTES
)


class ByteStream(Protocol):
    """Where a bundle comes from: standard input, a file, bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, and none only at the end."""


def pack(
    *,
    name: str,
    variant: str,
    tolerance: float,
    model: bytes,
    golden: bytes,
    device_type: str = DEFAULT_DEVICE_TYPE,
    minimum_runtime: str = MINIMUM_RUNTIME,
    counter: int = 0,
    created_at: str = "1970-01-01T00:00:00+00:00",
    contract: Mapping[str, Any] | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """Makes a bundle.

    Args:
        name: The model's name.
        variant: Its variant.
        tolerance: How far a score may lie from the golden one; 0 to 1.
        model: The sealed model.
        golden: The content of ``golden.npz``.
        device_type: See `Manifest`, as for the four that follow.
        minimum_runtime: The oldest edge-runtime that may take it.
        counter: Grows from bundle to bundle.
        created_at: When it is made.
        contract: The sealed contract's fields.
        sign: Takes the manifest's bytes and returns their signature; None for an unsigned bundle.

    Returns:
        The archive. The same arguments give the same bytes.

    Raises:
        BundleError: A file is too large, or a field is impossible.

    >>> bundle = pack(name="digits", variant="int8", tolerance=0.01, model=b"TFL3", golden=b"PK")
    >>> BundleReader(io.BytesIO(bundle)).manifest.name
    'digits'
    """
    manifest = Manifest(
        name,
        variant,
        tolerance,
        FileRecord.of(model),
        FileRecord.of(golden),
        device_type,
        minimum_runtime,
        counter,
        created_at,
        dict(contract or {}),
    )
    text = manifest.to_json().encode()
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"the manifest has {len(text):,} bytes",
            f"at most {MAX_MANIFEST_BYTES:,} bytes",
            "shorten the model's labels",
        )
    files = [(MANIFEST_FILE, text), (MODEL_FILE, model), (GOLDEN_FILE, golden)]
    if sign is not None:
        files.insert(1, (SIGNATURE_FILE, sign(text)))
    return _archive(files)


def _archive(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class BundleReader:
    """Reads a bundle from a stream, front to back, never holding more than a piece in memory.

    Args:
        stream: Where the bundle comes from. Its manifest and signature are read at once.

    Attributes:
        manifest_bytes: The manifest as it arrived, which is what a signature is over.
        signature: The signature that came with it, not verified; None for an unsigned bundle.

    Raises:
        BundleError: The stream does not begin like a bundle.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._received_bytes = 0
        self.manifest_bytes = self._small(*self._header(MANIFEST_FILE), MAX_MANIFEST_BYTES)
        self.signature: bytes | None = None
        self._model_header = self._header(SIGNATURE_FILE, MODEL_FILE)
        if self._model_header[0] == SIGNATURE_FILE:
            self.signature = self._small(*self._model_header, MAX_SIGNATURE_BYTES)
            self._model_header = self._header(MODEL_FILE)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, whose promises `extract` checks.

        Taken apart when it is first asked for: by then its signature has been verified.

        Raises:
            BundleError: It cannot be understood.
        """
        return Manifest.from_json(self.manifest_bytes)

    def extract(self, folder: Path) -> None:
        """Writes the files into `folder`, checked against the manifest and on the disk.

        Args:
            folder: An existing folder, empty and ours alone. After an error it holds rubbish.

        Raises:
            BundleError: The rest of the stream is not what the manifest promises.
            OSError: The disk is full, or the folder cannot be written.
        """
        promised = {MODEL_FILE: self.manifest.model, GOLDEN_FILE: self.manifest.golden}
        for name, record in promised.items():
            _, size = self._model_header if name == MODEL_FILE else self._header(name)
            if size != record.size_bytes:
                raise BundleError(
                    f"{name} has {size:,} bytes", f"{record.size_bytes:,} bytes", SEND_AGAIN
                )
            with new_file(folder / name) as file:
                digest = hashlib.sha256()
                for start in range(0, size, CHUNK_BYTES):
                    chunk = self._read(min(CHUNK_BYTES, size - start))
                    digest.update(chunk)
                    file.write(chunk)
            self._padding(size)
            if digest.hexdigest() != record.sha256:
                raise BundleError(
                    f"{name} arrived with SHA-256 {digest.hexdigest()[:12]}…",
                    f"{record.sha256[:12]}…",
                    SEND_AGAIN,
                )
        self._end()
        for name, content in (
            (SIGNATURE_FILE, self.signature),
            (MANIFEST_FILE, self.manifest_bytes),
        ):
            if content is not None:
                with new_file(folder / name) as file:
                    file.write(content)

    def _small(self, name: str, size: int, limit_bytes: int) -> bytes:
        """The content of a file that fits in memory."""
        if not 0 < size <= limit_bytes:
            raise BundleError(f"{name} has {size:,} bytes", f"at most {limit_bytes:,} bytes")
        content = self._read(size)
        self._padding(size)
        return content

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

    def _header(self, *expected: str) -> tuple[str, int]:
        """Reads one header, which must be that of a regular file of one of these names."""
        header = self._read(BLOCK_BYTES)
        wanted = " or ".join(expected)
        # The checksum counts its own field as spaces.
        total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
        if header[257:263] != b"ustar\0" or _octal(header[148:156]) != total:
            raise BundleError("what arrived is not a bundle", f"file {wanted}", SEND_AGAIN)
        name, kind, prefix = header[:100].rstrip(b"\0"), header[156:157], header[345:500]
        shown = name.decode("ascii", "backslashreplace")
        if shown not in expected or kind != REGULAR_FILE or prefix.strip(b"\0"):
            what = "file" if kind == REGULAR_FILE else f"entry of type {kind.decode('latin-1')!r}"
            raise BundleError(
                f"the bundle has the {what} {shown!r}", f"the file {wanted}", SEND_AGAIN
            )
        size = _octal(header[124:136])
        if size is None:
            raise BundleError(f"the size of {shown} is not a number", "", SEND_AGAIN)
        return shown, size

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
