"""What is written down about a conversion: ``NAME.convert.json``, with a record a variant."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_runtime.contract import load_sealed
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.files import read_limited, write_atomic

from .check import BackendCheck

__all__ = ["ConversionRecord", "read_records", "versions", "write_records"]

SCHEMA_VERSION = 1
MAX_FACTS_BYTES = 2**22


@dataclass(frozen=True)
class ConversionRecord:
    """How one variant was made, and what was measured before it was let through.

    Attributes:
        variant: Its name.
        file: File name, beside the record.
        size_bytes: Size of the flatbuffer.
        sealed_bytes: Size of the file, with contract and labels.
        sha256: SHA-256 of the flatbuffer, in hexadecimal.
        recipe: How the converter was set.
        io: Type of input and output.
        data: Name of the data set that representative and comparison pictures came from.
        notice: What a reader of the figures must be told about that data, or None.
        samples: Number of representative pictures; 0 where the variant needs none.
        seed: Seed with which the pictures were drawn.
        compared: Number of pictures compared.
        agreeing: Pictures on which variant and Keras model name the same class.
        agreement: That share, 0 to 1.
        agreement_low: Lower end of its 95 % Wilson interval.
        agreement_high: Upper end.
        max_difference: The largest difference between two scores.
        accuracy: The variant's accuracy on these pictures of the training split.
        keras_accuracy: The Keras model's accuracy on the same pictures.
        backends: The same in each interpreter; the fields above are those of the one that agrees
            least.
        seconds: How long conversion and checks took.
    """

    variant: str
    file: str
    size_bytes: int
    sealed_bytes: int
    sha256: str
    recipe: Mapping[str, Any]
    io: str
    data: str
    notice: str | None
    samples: int
    seed: int
    compared: int
    agreeing: int
    agreement: float
    agreement_low: float
    agreement_high: float
    max_difference: float
    accuracy: float
    keras_accuracy: float
    backends: tuple[BackendCheck, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)


def versions() -> dict[str, str]:
    """Versions of what takes part in a conversion."""
    names = ("tensorflow", "tensorflow-cpu", "keras", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_records(
    path: Path,
    keras_name: str,
    keras_sha256: str,
    records: Iterable[ConversionRecord],
    refused: Mapping[str, str],
) -> None:
    """Writes ``NAME.convert.json``.

    Args:
        path: The file.
        keras_name: File name of the Keras model.
        keras_sha256: SHA-256 of that file.
        records: The variants that were let through.
        refused: The others, with the reason.
    """
    facts = {
        "schema_version": SCHEMA_VERSION,
        "keras_file": keras_name,
        "keras_sha256": keras_sha256,
        "versions": versions(),
        "variants": {record.variant: record.to_dict() for record in records},
        "refused": dict(refused),
    }
    write_atomic(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def read_records(path: Path, keras_sha256: str) -> list[ConversionRecord]:
    """The records of an earlier conversion that still hold.

    Args:
        path: The file; it need not be there.
        keras_sha256: SHA-256 of the Keras model in hand.

    Returns:
        The records of variants that were made from the same Keras model and whose files beside
        `path` are still the ones described.
    """
    try:
        facts = json.loads(read_limited(path, MAX_FACTS_BYTES))
        if facts["schema_version"] != SCHEMA_VERSION or facts["keras_sha256"] != keras_sha256:
            return []
        found = [
            ConversionRecord(
                **{**values, "backends": tuple(BackendCheck(**one) for one in values["backends"])}
            )
            for values in facts["variants"].values()
        ]
    except (EdgeRuntimeError, ValueError, TypeError, LookupError, AttributeError):
        return []  # No record, or one of another version: it is replaced by a new one.
    return [record for record in found if _still_there(path.with_name(record.file), record)]


def _still_there(path: Path, record: ConversionRecord) -> bool:
    try:
        contract = load_sealed(path).contract
    except EdgeRuntimeError:
        return False
    return contract is not None and contract.sha256 == record.sha256
