"""What the rooms wrote down about one model, read back and held against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime.contract import ModelContract
from edge_runtime.errors import InputError
from edge_runtime.files import read_limited
from train.keras_file import contained_contract

from .robustness.card import check_record

__all__ = ["Records", "read_record", "read_records", "whole_records"]

MAX_RECORD_BYTES = 2**24


@dataclass(frozen=True)
class Records:
    """What the rooms wrote down about one model.

    Attributes:
        contract: Its contract.
        training: ``NAME.metrics.json``.
        conversion: ``NAME.convert.json``.
        report: ``report.json``.
        robustness: ``robustness.json``, or None.
    """

    contract: ModelContract
    training: Mapping[str, Any]
    conversion: Mapping[str, Any]
    report: Mapping[str, Any]
    robustness: Mapping[str, Any] | None = None


def read_records(folder: Path) -> Records:
    """Reads all records of the one model in a folder.

    Args:
        folder: The folder.

    Returns:
        The records.

    Raises:
        InputError: A record is missing, is not JSON or is about another model, or the report's
            accuracies say nothing because of the images they were measured on.
        ModelError: The model file is damaged.
    """
    report = read_record(folder / "report.json", "python -m benchmarks")
    name = report.get("name")
    robustness = folder / "robustness.json"
    records = Records(
        contained_contract(folder / f"{name}.keras"),
        read_record(folder / f"{name}.metrics.json", "python -m train"),
        read_record(folder / f"{name}.convert.json", "python -m convert"),
        report,
    )
    if robustness.is_file():
        found = read_record(robustness, "python -m benchmarks robustness")
        check_record(found, report, robustness)
        records = replace(records, robustness=found)
    data = report.get("data") or {}
    if data.get("withheld") or data.get("limited"):
        raise InputError(
            f"{folder / 'report.json'} was made with other images than the whole test set",
            f"all test images of {records.training.get('data', {}).get('name')}",
            "run python -m benchmarks with that data and without --limit",
        )
    converted = {v: r["sha256"] for v, r in records.conversion.get("variants", {}).items()}
    for label, found in report.get("variants", {}).items():
        if converted.get(label) != found["sha256"]:
            raise InputError(
                f"{folder / 'report.json'} is about another {label} file than {name}.convert.json",
                "records of the same files",
                "run python -m benchmarks again",
            )
    return records


def read_record(path: Path, writer: str) -> dict[str, Any]:
    """Reads a record: a JSON object.

    Args:
        path: The file.
        writer: The command that writes it, for an error.

    Returns:
        The object.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    try:
        facts = json.loads(read_limited(path, MAX_RECORD_BYTES))
    except ValueError as error:
        if isinstance(error, InputError):
            raise InputError(f"{error}", "", f"{writer} writes it") from None
        facts = None
    if not isinstance(facts, dict):
        raise InputError(f"{path} is not a JSON object", "a record", f"{writer} writes it")
    return facts


@contextmanager
def whole_records(folder: Path) -> Iterator[None]:
    """Words it as an error for a person if the block misses an entry in records.

    Args:
        folder: Where the records are.

    Raises:
        InputError: The block raised LookupError or TypeError.
    """
    try:
        yield
    except (LookupError, TypeError) as error:
        raise InputError(
            f"the records in {folder} lack the entry {error}",
            "records of this version's training, conversion and benchmarks",
            "make release",
        ) from error
