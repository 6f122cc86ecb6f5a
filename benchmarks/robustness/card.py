"""The part of a model card that tells how robust the model is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError

from ..markdown import markdown_table
from .tables import (
    ABOUT_DIGITS,
    ABOUT_OTHERS,
    DIGITS_HEADER,
    OTHERS_HEADER,
    bullets,
    digit_rows,
    not_measured,
    other_rows,
    sentences,
)

__all__ = ["check_record", "robustness_part"]

REMEDY = "run python -m benchmarks robustness again, or remove it"


def check_record(record: Mapping[str, Any], report: Mapping[str, Any], path: Path) -> None:
    """Checks that a record may stand in a model card beside a report.

    Args:
        record: What ``robustness.json`` holds.
        report: What ``report.json`` holds.
        path: The record's file, for an error.

    Raises:
        InputError: It was made with a part of the images, or is about other files than the report.
    """
    models = record.get("models") or {}
    if record.get("limit") or any(entry.get("withheld") for entry in models.values()):
        raise InputError(f"{path} was made with a part of the images", "all of them", REMEDY)
    reported = {found["sha256"] for found in report.get("variants", {}).values()}
    if not models or not {entry.get("sha256") for entry in models.values()} <= reported:
        raise InputError(
            f"{path} is about other files than report.json", "records of the same files", REMEDY
        )


def robustness_part(record: Mapping[str, Any] | None, report: Mapping[str, Any]) -> list[str]:
    """A heading and what stands below it.

    Args:
        record: What ``robustness.json`` holds, or None.
        report: What ``report.json`` holds. Of several models, the one it recommends is shown, or
            else the first.

    Returns:
        Markdown, paragraph by paragraph; nothing without a record.
    """
    if record is None:
        return []
    models = record["models"]
    entry = models.get(report["recommended"]) or next(iter(models.values()))
    return ["## Robustness", *_paragraphs(entry)]


def _paragraphs(entry: Mapping[str, Any]) -> list[str]:
    return [
        f"Measured on `{entry['file']}`. {ABOUT_DIGITS}",
        markdown_table(DIGITS_HEADER, digit_rows(entry)),
        ABOUT_OTHERS,
        markdown_table(OTHERS_HEADER, other_rows(entry)),
        *bullets(not_measured(entry)),
        " ".join(sentences(entry)),
        "More in [robustness.md](robustness.md): what each set is, and the most confident mistakes "
        "as pictures.",
    ]
