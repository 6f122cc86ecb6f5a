"""The manifest of a bundle: what is in it, whom it is for, and how new it is.

Everything a device decides by stands here, and the manifest has the SHA-256 of the other files. A
signature over its bytes is therefore one over the whole bundle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import DeviceError

__all__ = [
    "DEFAULT_DEVICE_TYPE",
    "FORMAT_VERSION",
    "GOLDEN_FILE",
    "MANIFEST_FILE",
    "MAX_COUNTER",
    "MAX_GOLDEN_BYTES",
    "MAX_MANIFEST_BYTES",
    "MAX_MODEL_BYTES",
    "MINIMUM_RUNTIME",
    "MODEL_FILE",
    "SEND_AGAIN",
    "SIGNATURE_FILE",
    "BundleError",
    "FileRecord",
    "Manifest",
    "is_sha256",
    "utc_time",
    "version_numbers",
]

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.json.sig"
MODEL_FILE = "model.tflite"
GOLDEN_FILE = "golden.npz"

FORMAT_VERSION = 2
MINIMUM_RUNTIME = "0.1.0"
"""The first edge-runtime that reads this format; goes into each manifest."""
DEFAULT_DEVICE_TYPE = "raspberrypi"

# A model of 64 MiB is beyond what classifies in reasonable time on a Pi, and an eighth of the
# memory of the smallest 64-bit one (Zero 2: 512 MB).
MAX_MODEL_BYTES = 64 * 2**20
# Ten RGB inputs of 512 × 512 pixels have 7.5 MiB.
MAX_GOLDEN_BYTES = 16 * 2**20
# The labels are the only part that grows: ten thousand of 20 characters have 250 KB.
MAX_MANIFEST_BYTES = 2**19
# The largest whole number that every reader of JSON keeps exact (RFC 8259, section 6).
MAX_COUNTER = 2**53 - 1

# PEP 440, without its epochs.
VERSION = re.compile(r"(?P<numbers>[0-9]{1,9}(?:\.[0-9]{1,9}){0,4})[0-9A-Za-z.+_-]{0,40}", re.ASCII)

SEND_AGAIN = "send it again with python -m flash pi"
SAME_VERSION = "use the same version of edge-runtime on both ends"


class BundleError(DeviceError):
    """A bundle that is not whole, or not a bundle."""


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
        device_type: The kind of device that the bundle is for, for example "raspberrypi".
        minimum_runtime: The oldest edge-runtime that may take it, for example "0.1.0".
        counter: Grows from bundle to bundle, 0 to 2**53 - 1; a device takes none with a smaller
            one than the last it accepted.
        created_at: When it was made (ISO 8601, UTC).
        contract: The fields of the sealed contract, but not how the model was trained and
            converted; empty where nobody said.
        format_version: Version of this format.

    Raises:
        BundleError: A field has an impossible value.
    """

    name: str
    variant: str
    tolerance: float
    model: FileRecord
    golden: FileRecord
    device_type: str = DEFAULT_DEVICE_TYPE
    minimum_runtime: str = MINIMUM_RUNTIME
    counter: int = 0
    created_at: str = "1970-01-01T00:00:00+00:00"
    contract: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise BundleError(
                f"the bundle has format version {self.format_version!r:.80}",
                f"version {FORMAT_VERSION}",
                SAME_VERSION,
            )
        for name in ("name", "variant", "device_type"):
            value = getattr(self, name)
            if not (isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable()):
                raise BundleError(f"the {name} in the manifest is {value!r:.80}", "a short name")
        tolerance = self.tolerance
        if type(tolerance) not in (int, float) or not 0 <= tolerance < 1:
            raise BundleError(f"the tolerance is {tolerance!r:.80}", "a number from 0 to 1")
        if type(self.counter) is not int or not 0 <= self.counter <= MAX_COUNTER:
            raise BundleError(
                f"the counter is {self.counter!r:.80}", f"a whole number from 0 to {MAX_COUNTER}"
            )
        version_numbers(self.minimum_runtime)
        utc_time(self.created_at)
        if not isinstance(self.contract, Mapping):
            raise BundleError(f"the contract is {self.contract!r:.80}", "an object")
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

    @property
    def shape(self) -> tuple[Any, ...] | None:
        """Height, width, channels and labels: what programs around a model rely on, or None."""
        fields = self.contract
        if not all(name in fields for name in ("height", "width", "channels", "labels")):
            return None
        labels = fields["labels"]
        return (
            fields["height"],
            fields["width"],
            fields["channels"],
            tuple(labels) if isinstance(labels, list | tuple) else labels,
        )

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
            # Before anything else, for other versions have other fields.
            if (version := fields["format_version"]) != FORMAT_VERSION:
                raise BundleError(
                    f"the bundle has format version {version!r:.80}",
                    f"version {FORMAT_VERSION}",
                    SAME_VERSION,
                )
            for file in ("model", "golden"):
                fields[file] = FileRecord(**fields[file])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleError(
                f"{MANIFEST_FILE} cannot be understood ({type(error).__name__}: {error!s:.80})",
                "a manifest of the same version",
                SAME_VERSION,
            ) from None


def is_sha256(text: object) -> bool:
    """Whether `text` is a SHA-256 in lower-case hexadecimal, and so safe as a folder's name."""
    return isinstance(text, str) and len(text) == 64 and not set(text) - set("0123456789abcdef")


def version_numbers(text: object) -> tuple[int, ...]:
    """A version's numbers, for comparison.

    Args:
        text: For example "0.1.0"; letters that follow, as in "1.2rc1", are left out.

    Returns:
        The numbers, without zeros at the end.

    Raises:
        BundleError: It is no version.

    >>> version_numbers("0.10.0") > version_numbers("0.9.1")
    True
    """
    found = VERSION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise BundleError(f"the version of the runtime is {text!r:.80}", "a version such as 0.1.0")
    numbers = [int(part) for part in found["numbers"].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def utc_time(text: object) -> datetime:
    """A moment as the manifest writes it.

    Args:
        text: ISO 8601 with its distance from UTC, for example "2026-11-22T18:30:00+00:00".

    Returns:
        The moment, in UTC.

    Raises:
        BundleError: It is anything else, or names no time zone.
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BundleError(
        f"the bundle was made at {text!r:.80}", "a time such as 2026-11-22T18:30:00+00:00"
    )
