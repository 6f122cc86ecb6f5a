"""The contract between training and everything after it, and the seal that carries it.

How pixels become the model's input is decided once, in training. The decision travels inside the
model: a sealed ``.tflite`` is the flatbuffer followed by a ZIP archive, the convention of TFLite
metadata. Interpreters ignore the tail; ``zipfile`` and ``unzip`` read it. It holds ``labels.txt``,
one label a line, and ``contract.json``, the fields of `ModelContract`. The SHA-256 in the contract
guards the flatbuffer, the ZIP's CRC-32 the tail: against damage, not against malice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ContractError, DamagedModelError, ModelError
from .files import read_limited
from .quantization import normalize

__all__ = [
    "FITS",
    "MAX_MODEL_BYTES",
    "OUTPUTS",
    "POLARITIES",
    "ModelContract",
    "SealedModel",
    "load_sealed",
    "read_sealed",
    "seal",
]

FITS = ("stretch", "letterbox", "ink")
POLARITIES = ("light-on-dark", "dark-on-light", "any")
OUTPUTS = ("probabilities", "logits")

SCHEMA_VERSION = 1
CONTRACT_MEMBER = "contract.json"
LABELS_MEMBER = "labels.txt"

# Far above any model that a Pi would run, far below what would exhaust its memory.
MAX_MODEL_BYTES = 256 * 2**20
# A contract with a thousand labels and all its facts has some 50 KB.
MAX_MEMBER_BYTES = 2**20
MAX_SIDE = 8192
# Pixels are 0 to 255; a mean or scale beyond this would only bring float32 to its limits.
MAX_NUMBER = 1e6
# The flatbuffer file identifier of TensorFlow Lite, bytes 4 to 8 (schema.fbs).
TFLITE_IDENTIFIER = b"TFL3"
# ZIP members carry a date; a constant one (the format's earliest) makes sealing reproducible.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
# The archive's end record, with no comment: the last bytes of a sealed file.
ZIP_END_BYTES = 22


@dataclass(frozen=True)
class ModelContract:
    """What one must know to use a model, and nothing that its flatbuffer already says.

    Attributes:
        name: Name of the model; part of file names.
        labels: One label for each output, in order.
        height: Input height in pixels.
        width: Input width in pixels.
        channels: 1 for grey, 3 for RGB.
        mean: Subtracted from a pixel (0 to 255): one value, or one for each channel.
        scale: Divides what is left: one value, or one for each channel. The model's real-valued
            input is ``(pixel - mean) / scale``.
        polarity: What the model was trained on: light strokes on dark, dark on light, or any
            pictures. The fit "ink" turns pictures of the other polarity over.
        fit: How a picture comes to the input's size: "stretch", "letterbox", or "ink", which
            isolates handwriting and places it as MNIST did.
        output: Whether the model ends in probabilities or in logits.
        rejection_threshold: Predictions scored below this probability are marked rejected.
        variant: The conversion's variant, for example "int8"; None before conversion.
        sha256: SHA-256 of the flatbuffer, in hexadecimal; None before sealing.
        training: How the model was trained (configuration, data, versions).
        conversion: How it was converted.
        schema_version: Version of this format.

    Raises:
        ContractError: A field has an impossible value.
    """

    name: str
    labels: tuple[str, ...]
    height: int
    width: int
    channels: int
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (255.0,)
    polarity: str = "any"
    fit: str = "stretch"
    output: str = "probabilities"
    rejection_threshold: float | None = None
    variant: str | None = None
    sha256: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    conversion: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name in ("labels", "mean", "scale"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)):
                object.__setattr__(self, name, tuple(value))
        _check(self)
        for name in ("training", "conversion"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one input."""
        return (self.height, self.width, self.channels)

    @cached_property
    def _pixel_values(self) -> NDArray[np.float32]:
        levels = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], self.channels, axis=1)
        table = normalize(levels, self.mean, self.scale)
        table.flags.writeable = False
        return table

    def pixel_values(self) -> NDArray[np.float32]:
        """The model's real-valued input for each 8-bit pixel.

        Returns:
            float32 array of shape (256, channels), read-only.

        >>> digits = ModelContract("digits", tuple("0123456789"), 28, 28, 1)
        >>> digits.pixel_values()[[0, 255], 0].tolist()
        [0.0, 1.0]
        """
        return self._pixel_values

    def replace(self, **changes: Any) -> ModelContract:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {
            name: list(value)
            if isinstance(value, tuple)
            else dict(value)
            if isinstance(value, Mapping)
            else value
            for name, value in values.items()
        }

    def to_json(self) -> str:
        """The contract as JSON text, as it stands in a sealed model."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "the contract") -> ModelContract:
        """Reads what `to_json` wrote.

        Args:
            text: JSON text.
            source: What to call it in an error.

        Returns:
            The contract.

        Raises:
            ContractError: It is not JSON, not an object, of a newer schema, or a field is missing,
                unknown or impossible.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"{source} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ContractError(f"{source} is a JSON {type(values).__name__}", "an object")
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ContractError(
                f"{source} has schema version {version}",
                f"version {SCHEMA_VERSION}",
                "update edge-runtime, or convert the model again",
            )
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ContractError(f"{source} has the unknown field {unknown[0]!r}")
        required = ("name", "labels", "height", "width", "channels")
        if missing := [name for name in required if name not in values]:
            raise ContractError(f"{source} lacks the field {missing[0]!r}")
        try:
            return cls(**values)
        except ContractError as error:
            raise ContractError(f"{source}: {error}") from None


@dataclass(frozen=True)
class SealedModel:
    """A model file taken apart.

    Attributes:
        flatbuffer: The bytes for an interpreter.
        contract: The contract, or None for a model that was never sealed.
        source: What to call the model in an error.
    """

    flatbuffer: bytes
    contract: ModelContract | None
    source: str = "the model"

    def require_contract(self) -> ModelContract:
        """The contract; without one nobody knows what the model's input and output mean.

        Raises:
            ContractError: There is none.
        """
        if self.contract is None:
            raise ContractError(
                f"{self.source} carries no contract",
                "a sealed model",
                "describe it (--labels FILE, and --scale, --mean, --fit, … as it needs), or "
                "convert it with this toolkit; a file that should have one is truncated",
            )
        return self.contract


def seal(flatbuffer: bytes, contract: ModelContract) -> bytes:
    """A flatbuffer with its contract behind it.

    Args:
        flatbuffer: A TensorFlow Lite model.
        contract: Its contract; `sha256` is filled in here.

    Returns:
        The bytes of a sealed ``.tflite``. The same arguments give the same bytes.

    Raises:
        ModelError: `flatbuffer` is not a TensorFlow Lite model, or is sealed already.
    """
    if read_sealed(flatbuffer).contract is not None:
        raise ModelError("the model is sealed already", "the flatbuffer alone")
    contract = contract.replace(sha256=hashlib.sha256(flatbuffer).hexdigest())
    buffer = io.BytesIO()
    buffer.write(flatbuffer)
    with zipfile.ZipFile(buffer, "a") as tail:
        for name, text in (
            # First, so that its name survives the loss of the file's end: see `read_sealed`.
            (CONTRACT_MEMBER, contract.to_json()),
            (LABELS_MEMBER, "\n".join(contract.labels) + "\n"),
        ):
            member = zipfile.ZipInfo(name, ZIP_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            tail.writestr(member, text.encode())
    return buffer.getvalue()


def read_sealed(data: bytes, source: str = "the model") -> SealedModel:
    """Takes a model file apart and checks both parts, before an interpreter sees a byte.

    Args:
        data: The bytes of a ``.tflite``, sealed or not.
        source: What to call it in an error.

    Returns:
        The flatbuffer and, if there is one, the contract.

    Raises:
        ModelError: Not a TensorFlow Lite model at all.
        DamagedModelError: Its parts disagree: truncated, or changed since it was sealed.
        ContractError: The contract is whole but says something impossible.
    """
    again = "copy the file again, or convert the model again"
    if len(data) < 8 or data[4:8] != TFLITE_IDENTIFIER:
        raise ModelError(
            f"{source} is not a TensorFlow Lite model", "a .tflite file (TFL3)", "check the path"
        )
    # The name also stands at the start of the tail; it outlives a lost end of the file.
    looks_sealed = data.rfind(CONTRACT_MEMBER.encode()) >= 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as tail:
            members = {member.filename: member for member in tail.infolist()}
            if data[-ZIP_END_BYTES : -ZIP_END_BYTES + 4] != b"PK\x05\x06" and looks_sealed:
                raise zipfile.BadZipFile("something stands behind it")
            if CONTRACT_MEMBER not in members and not looks_sealed:
                return SealedModel(data, None, source)
            if len(members) != len(tail.infolist()):
                raise zipfile.BadZipFile("two members of one name")
            if oversized := [m for m in members.values() if m.file_size > MAX_MEMBER_BYTES]:
                raise zipfile.BadZipFile(f"{oversized[0].filename} is too large")
            start = min(member.header_offset for member in members.values())
            contract_text = tail.read(CONTRACT_MEMBER).decode()
            labels_text = tail.read(LABELS_MEMBER).decode()
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        zlib.error,
    ) as error:
        if looks_sealed:
            raise DamagedModelError(
                f"the seal of {source} is damaged ({error})", "a whole sealed model", again
            ) from None
        return SealedModel(data, None, source)
    contract = ModelContract.from_json(contract_text, f"the contract of {source}")
    flatbuffer = data[:start]
    digest = hashlib.sha256(flatbuffer).hexdigest()
    if digest != contract.sha256:
        raise DamagedModelError(
            f"{source} was changed after it was sealed (SHA-256 {digest[:12]}…)",
            f"SHA-256 {str(contract.sha256)[:12]}…",
            again,
        )
    if tuple(labels_text.splitlines()) != contract.labels:
        raise DamagedModelError(
            f"{LABELS_MEMBER} and {CONTRACT_MEMBER} of {source} disagree", "the same labels", again
        )
    return SealedModel(flatbuffer, contract, source)


def load_sealed(path: str | os.PathLike[str]) -> SealedModel:
    """`read_sealed` for a file.

    Args:
        path: A ``.tflite`` file of at most `MAX_MODEL_BYTES`.

    Returns:
        The flatbuffer and, if there is one, the contract.

    Raises:
        InputError: There is no such file, or it is too large.
        ModelError: See `read_sealed`.
    """
    return read_sealed(read_limited(Path(path), MAX_MODEL_BYTES), str(path))


def _check(contract: ModelContract) -> None:
    """Raises ContractError for the first field that cannot be used."""

    def require(holds: bool, name: str, expected: str) -> None:
        if not holds:
            value = repr(getattr(contract, name))
            shown = value if len(value) <= 60 else value[:57] + "..."
            raise ContractError(f"{name} is {shown}", expected)

    def numbers(values: object, smallest: float) -> bool:
        return (
            isinstance(values, tuple)
            and len(values) in (1, contract.channels)
            and all(type(v) in (int, float) and smallest <= abs(v) <= MAX_NUMBER for v in values)
        )

    name, labels, threshold = contract.name, contract.labels, contract.rejection_threshold
    require(
        isinstance(name, str)
        and name.isprintable()
        and 0 < len(name) <= 64
        and not set(name) & set('/\\:*?"<>|')
        and not name.startswith("."),
        "name",
        "a name of at most 64 characters that can stand in a file name",
    )
    require(
        isinstance(labels, tuple)
        and len(labels) >= 2
        and all(isinstance(x, str) and x and x.isprintable() for x in labels)
        and len(set(labels)) == len(labels),
        "labels",
        "at least two different labels, each one line of text",
    )
    for side in ("height", "width"):
        value = getattr(contract, side)
        require(type(value) is int and 1 <= value <= MAX_SIDE, side, f"1 to {MAX_SIDE}")
    require(type(contract.channels) is int and contract.channels in (1, 3), "channels", "1 or 3")
    require(
        numbers(contract.mean, 0), "mean", f"one number of at most {MAX_NUMBER:g}, or one a channel"
    )
    require(
        numbers(contract.scale, 1 / MAX_NUMBER),
        "scale",
        f"one number from {1 / MAX_NUMBER:g} to {MAX_NUMBER:g}, or one a channel",
    )
    require(contract.polarity in POLARITIES, "polarity", " or ".join(POLARITIES))
    require(contract.fit in FITS, "fit", " or ".join(FITS))
    require(contract.output in OUTPUTS, "output", " or ".join(OUTPUTS))
    require(
        contract.fit != "ink" or (contract.channels == 1 and contract.polarity != "any"),
        "fit",
        "a grey model of known polarity for the fit 'ink'",
    )
    require(
        threshold is None or (type(threshold) in (int, float) and 0 <= threshold <= 1),
        "rejection_threshold",
        "a probability, or none",
    )
    for text in ("variant", "sha256"):
        value = getattr(contract, text)
        require(value is None or isinstance(value, str), text, "text, or none")
    for facts in ("training", "conversion"):
        require(isinstance(getattr(contract, facts), Mapping), facts, "an object")
